"""Emitting: a plan becomes Python that was executed where the target's code lives, and compared with the plan."""

from typing import Any

from decay_audit.api.loading import Loaded, beside
from decay_audit.rulesets.plan import Plan


def code(loaded: Loaded, decided: Plan, *, optimizer: str | None = None, **options: Any) -> str:  # noqa: ANN401
    """Write the param groups of a plan as Python, execute it, and compare it with the plan.

    Args:
        options: `lr` and `settings`, as `decay_audit.emit.code` takes them.

    Raises:
        DecayAuditError: the optimizer is not known, or the code's groups differ from the plan.
    """
    from decay_audit import emit

    text = emit.code(decided, target=loaded.inventory.target, optimizer=optimizer, **options)
    with beside(loaded):
        emit.verify(text, decided, None if loaded.built is None else loaded.built.model)
    return text
