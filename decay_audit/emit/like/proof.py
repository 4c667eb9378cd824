"""Compare the optimizers that emitted code makes with those that it should copy, setting by setting."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from decay_audit.emit.groups import OriginalOptimizers
from decay_audit.emit.like.constructor import is_equal
from decay_audit.emit.like.copies import OptimizerCopy
from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.plan import Plan

_MISSING = object()
"""The value of a setting that an optimizer does not have; it is equal to no other value."""


class DifferentOptimizerError(DecayAuditError):
    """The code makes an optimizer that differs from the one that it should copy, or it cannot make the optimizer."""


class HasNames(Protocol):
    """A model, or a placeholder for one."""

    def named_parameters(self, *, remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """Yield each parameter with its name in torch."""


def compare(
    optimizers: Any,  # noqa: ANN401
    plan: Plan,
    model: HasNames,
    originals: OriginalOptimizers,
    *,
    has_scaled_lr: bool,
) -> None:
    """Compare the class, the attributes and the settings of each group, except the coefficient.

    Args:
        optimizers: what `make_optimizer` returned: one optimizer, or several by their `use`.
        has_scaled_lr: whether the ruleset sets the learning rates; they may then differ.

    Raises:
        DifferentOptimizerError: something differs.
    """
    canonical = {decision.classified.parameter.raw_name: decision.name for decision in plan.decisions}
    names = {id(tensor): canonical.get(name, name) for name, tensor in model.named_parameters()}
    by_use: Mapping[str | None, Any] = optimizers if isinstance(optimizers, dict) else {None: optimizers}
    for use, optimizer in by_use.items():
        if use in originals.copies:
            for difference in _differences(optimizer, originals.copies[use], names, has_scaled_lr=has_scaled_lr):
                raise DifferentOptimizerError(f"{originals.copies[use].type} would differ: {difference}")


def _differences(
    optimizer: Any,  # noqa: ANN401
    copy: OptimizerCopy,
    names: Mapping[int, str],
    *,
    has_scaled_lr: bool,
) -> Iterator[str]:
    if type(optimizer).__name__ != copy.class_path.rpartition(".")[2]:
        yield f"its class is {type(optimizer).__name__}"
    for name, value in copy.attributes.items():
        if not is_equal(getattr(optimizer, name, _MISSING), value):
            yield f"its attribute {name} is {getattr(optimizer, name, 'missing')}, not {value}"
    settings_of = {name: group.all_settings for group in copy.groups for name in group.parameters}
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            for key, value in settings_of.get(names[id(tensor)], {}).items():
                if not (has_scaled_lr and key == "lr") and not is_equal(group.get(key, _MISSING), value):
                    yield f"{key} of {names[id(tensor)]} is {group.get(key, 'missing')}, not {value}"
