"""Make copies of the optimizers in a checkpoint, from the class that the checkpoint shows and the saved settings."""

from collections.abc import Iterable
from typing import Any

from decay_audit.emit.like.constructor import is_equal, parameters
from decay_audit.emit.like.copies import GroupCopy, OptimizerCopy
from decay_audit.emit.like.live import NOT_SETTINGS, SCHEDULER_KEYS
from decay_audit.emit.optimizer import TORCH_CLASSES
from decay_audit.model.observations import Optimizer, ParamGroup

_MISSING = object()
"""The default of a key that has no default; it is equal to no other value."""


def copy_saved_optimizers(optimizers: Iterable[Optimizer]) -> tuple[OptimizerCopy, ...]:
    """Copy saved optimizers. If torch.optim has no class of that name, the copy has a `problem`."""
    return tuple(map(_copy, optimizers))


def saved_class(optimizer: Optimizer) -> str:
    """Return the name of the innermost class of a saved optimizer: `Adam` for `Lookahead(Adam)`.

    If the checkpoint fits several classes, as with the type `Adam or AdamW`, the first class is returned.
    """
    return optimizer.type.rpartition("(")[2].rstrip(")").partition(" ")[0]


def _copy(optimizer: Optimizer) -> OptimizerCopy:
    name = saved_class(optimizer)
    groups = [_settings(group) for group in optimizer.groups]
    if name not in TORCH_CLASSES:
        return _with_problem(optimizer, groups, f"torch.optim has no class {name}")
    kind, defaults = _class_and_defaults(name)
    accepted = {parameter.name for parameter in parameters(kind)}
    settings_of_largest = max(zip(optimizer.groups, groups, strict=True), key=lambda pair: len(pair[0].parameters))[1]
    arguments = {
        key: value
        for key, value in settings_of_largest.items()
        if key in accepted and (key == "lr" or not is_equal(value, defaults.get(key, _MISSING)))
    }
    defaults |= arguments
    lr = arguments.get("lr")
    unnamed = len(groups) > 1 and any("" in group.parameters for group in optimizer.groups)
    return OptimizerCopy(
        name=optimizer.name,
        type=name,
        class_path=f"torch.optim.{name}",
        arguments=tuple(arguments.items()),
        groups=tuple(
            GroupCopy(
                parameters=group.parameters,
                settings=tuple(
                    (key, value)
                    for key, value in settings.items()
                    if key != "lr" and not is_equal(value, defaults.get(key, _MISSING))
                ),
                lr=_number(settings.get("lr")),
                all_settings=settings,
            )
            for group, settings in zip(optimizer.groups, groups, strict=True)
        ),
        lr=_number(lr),
        problem="the checkpoint does not tell which parameters are in which group" if unnamed else "",
    )


def _with_problem(optimizer: Optimizer, groups: list[dict[str, Any]], problem: str) -> OptimizerCopy:
    return OptimizerCopy(
        name=optimizer.name,
        type=optimizer.type,
        class_path="",
        groups=tuple(
            GroupCopy(parameters=group.parameters, lr=_number(settings.get("lr")))
            for group, settings in zip(optimizer.groups, groups, strict=True)
        ),
        problem=problem,
    )


def _settings(group: ParamGroup) -> dict[str, Any]:
    """List the settings of a saved group, with the learning rate from which its schedule starts."""
    settings = {
        key: value
        for key, value in group.hyperparameters.items()
        if key not in NOT_SETTINGS and key not in SCHEDULER_KEYS
    }
    initial = group.hyperparameters.get("initial_lr")
    return {**settings, "lr": initial} if isinstance(initial, int | float) else settings


def _class_and_defaults(name: str) -> tuple[type, dict[str, Any]]:
    import torch

    kind: Any = getattr(torch.optim, name)
    return kind, dict(kind([torch.nn.Parameter(torch.zeros(1, 1))]).defaults)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
