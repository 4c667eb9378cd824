"""Live optimizers become copies: the arguments of their constructors, and the settings of each group."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from decay_audit.emit.like.constructor import find_arguments, is_equal, parameters
from decay_audit.emit.like.copies import GroupCopy, OptimizerCopy, Settings
from decay_audit.emit.like.expressions import NotWritableError, public_path, write
from decay_audit.optimizers.find import NamedOptimizers, wrapper_chain
from decay_audit.optimizers.identity import display_name
from decay_audit.optimizers.table.group_keys import COEFFICIENT_KEYS, PROGRESS_KEYS
from decay_audit.optimizers.watch_construction import COEFFICIENT, ConstructionLog

SCHEDULER_KEYS = frozenset({"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum"})
"""Keys that the schedulers of torch add to groups. A scheduler adds them again when it is made."""
SCHEDULED_KEYS = frozenset({"lr", "momentum", "betas"})
"""Settings of a group that these schedulers change."""

NOT_SETTINGS = frozenset({"params", "param_names", *COEFFICIENT_KEYS, *PROGRESS_KEYS})
"""Keys of a group that are not copied: its parameters, its coefficient, and how far the run has progressed."""
_MISSING = object()
"""The value of a key that a group or the defaults do not have; it is equal to no other value."""


def copy_optimizers(
    optimizers: NamedOptimizers, names: Mapping[int, str], log: ConstructionLog | None = None
) -> tuple[OptimizerCopy, ...]:
    """Copy live optimizers.

    Args:
        optimizers: the optimizers and their names, as `find` returns them.
        names: `id(tensor)` -> canonical name, for every parameter of the model.
        log: the calls of constructors that were recorded while the optimizers were built.
    """
    return tuple(_copy(name, optimizer, names, log) for name, optimizer in optimizers)


def _copy(name: str, optimizer: Any, names: Mapping[int, str], log: ConstructionLog | None) -> OptimizerCopy:  # noqa: ANN401
    groups = [_settings_before_scheduler(optimizer, index, log) for index in range(len(optimizer.param_groups))]
    defaults = dict(getattr(optimizer, "defaults", {}))
    arguments: dict[str, object] = {}
    try:
        problem = _problem(optimizer, names)
        arguments = {} if problem else dict(find_arguments(optimizer, log))
        if not problem:
            arguments |= _changed_for_all(optimizer, groups)
            defaults |= {key: value for key, value in arguments.items() if key in defaults}
    except NotWritableError as error:
        problem = str(error)
    own_settings = [_own_settings(settings, defaults) for settings in groups]
    return OptimizerCopy(
        name=name,
        type=display_name(optimizer),
        class_path=public_path(type(optimizer)),
        arguments=tuple(arguments.items()),
        groups=tuple(
            GroupCopy(
                parameters=tuple(names.get(id(tensor), "") for tensor in group["params"]),
                settings=tuple(item for item in settings_of_group if not _why_not_writable(item[1])),
                lr=_plain_number(settings.get("lr")),
                all_settings=settings,
            )
            for group, settings, settings_of_group in zip(optimizer.param_groups, groups, own_settings, strict=True)
        ),
        lr=_plain_number(defaults.get("lr") if problem else arguments.get("lr")),
        attributes={
            key: value
            for key, value in vars(optimizer).items()
            if isinstance(value, bool | int | float | str) and key[0] != "_" and key not in NOT_SETTINGS
        },
        problem=problem or next(_problems_of_settings(own_settings), ""),
    )


def _problem(optimizer: Any, names: Mapping[int, str]) -> str:  # noqa: ANN401
    """Say why code cannot make an optimizer, whatever its arguments are; "" if there is no reason."""
    if len(wrapper_chain(optimizer)) > 1:
        return "it wraps another optimizer"
    if not public_path(type(optimizer)):
        return f"code cannot import the class {type(optimizer).__qualname__}"
    for index, group in enumerate(optimizer.param_groups):
        if any(id(tensor) not in names for tensor in group["params"]):
            return f"its group {index} has a tensor that is no parameter of the model"
        if COEFFICIENT not in group:
            return f"its group {index} has no {COEFFICIENT}"
    return ""


def _settings_before_scheduler(optimizer: Any, index: int, log: ConstructionLog | None) -> dict[str, object]:  # noqa: ANN401
    """Read the settings of a group, with the values that they had before a scheduler changed them."""
    group = {key: value for key, value in optimizer.param_groups[index].items() if key not in NOT_SETTINGS}
    recorded = log.group_settings.get(id(optimizer), []) if log else []
    initial = recorded[index] if index < len(recorded) else {}
    scheduled = SCHEDULER_KEYS & group.keys() - initial.keys()
    if not scheduled:
        return group
    restored = {key: initial[key] for key in SCHEDULED_KEYS & initial.keys()}
    if "lr" not in restored and "initial_lr" in group:
        restored["lr"] = group["initial_lr"]
    return {**{key: value for key, value in group.items() if key not in scheduled}, **restored}


def _changed_for_all(optimizer: Any, groups: list[dict[str, object]]) -> Iterator[tuple[str, object]]:  # noqa: ANN401
    """Yield settings that are equal in all groups and differ from the defaults: the constructor can be given them."""
    accepted = {parameter.name for parameter in parameters(type(optimizer))}
    defaults = getattr(optimizer, "defaults", {})
    for key, value in groups[0].items():
        is_equal_in_all = all(is_equal(value, settings.get(key, _MISSING)) for settings in groups)
        if key in accepted and is_equal_in_all and not is_equal(value, defaults.get(key, _MISSING)):
            yield key, value


def _own_settings(settings: Mapping[str, object], defaults: Mapping[str, object]) -> Settings:
    """List the settings of a group that differ from the defaults of the optimizer, without the learning rate."""
    return tuple(
        (key, value)
        for key, value in settings.items()
        if key != "lr" and not is_equal(value, defaults.get(key, _MISSING))
    )


def _problems_of_settings(own_settings: Iterable[Settings]) -> Iterator[str]:
    for index, settings in enumerate(own_settings):
        for key, value in settings:
            if reason := _why_not_writable(value):
                yield f"{key} of its group {index} is {reason}"


def _why_not_writable(value: object) -> str:
    """Say why code cannot write a value; "" if it can."""
    try:
        write(value)
    except NotWritableError as error:
        return str(error)
    return ""


def _plain_number(value: object) -> float | None:
    """Turn a number, or a tensor with one element, into a float; None for other values."""
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        return float(value.item())
    return float(value) if isinstance(value, int | float) else None
