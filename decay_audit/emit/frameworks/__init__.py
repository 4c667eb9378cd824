"""Write a Plan as code or configuration for a framework that makes the param groups itself.

- settings: plans -> the setting of each trainable parameter: its coefficient, its learning rate and its optimizer
- patterns: names -> few patterns that match these names and no others
- request: the input and the output of the functions that write code for a framework
- name_lists: timm, torchtitan and optax, which choose parameters by their names
- kinds: mmengine and detectron2, which choose parameters by their kinds, too
- methods: Lightning and transformers, in whose classes the emitted function is called

`write` finds the framework, and refuses a plan that it cannot express.
"""

from collections.abc import Callable, Mapping

from decay_audit.emit.frameworks import kinds, methods, name_lists
from decay_audit.emit.frameworks.request import FrameworkCode, FrameworkRequest
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Framework
from decay_audit.text import first_few

NAMES_SHOWN = 5
"""How many parameters an error names."""

WRITERS: Mapping[Framework, Callable[[FrameworkRequest], FrameworkCode]] = {
    "lightning": methods.lightning,
    "trainer": methods.trainer,
    "timm": name_lists.timm,
    "mmengine": kinds.mmengine,
    "detectron2": kinds.detectron2,
    "torchtitan": name_lists.torchtitan,
    "optax": name_lists.optax,
}


def write(framework: Framework, request: FrameworkRequest, *, approximate: bool = False) -> FrameworkCode:
    """Write the code of a framework.

    Args:
        approximate: write it even if the framework would treat some parameters differently.

    Raises:
        DecayAuditError: the framework cannot express the plan.
    """
    code = WRITERS[framework](request)
    if code.differences and not approximate:
        examples = first_few([f"{name} ({reason})" for name, reason in code.differences.items()], NAMES_SHOWN)
        raise DecayAuditError(
            f"{framework} would treat {examples} differently; nothing was written",
            "--approximate writes the nearest code; --for torch writes param groups that are exact",
        )
    return code


__all__ = ["FrameworkCode", "FrameworkRequest", "write"]
