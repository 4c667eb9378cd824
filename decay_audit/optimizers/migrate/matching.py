"""Match the parameters of a new optimizer with the positions of a saved one, by name.

A parameter without a counterpart is refused, unless the user asks to drop or to initialize its state.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, NamedTuple

import torch
from msgspec import Struct

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Optimizer
from decay_audit.text import first_few, format_shape

StateDict = Mapping[str, Any]

_FULL_STATES = ("exp_avg", "momentum_buffer", "exp_avg_sq", "square_avg", "sum")
"""States that have the shape of their parameter."""
_MAX_NAMED = 3


class ParameterChanges(Struct, frozen=True, kw_only=True):
    """What changed in the model since the state was saved.

    Attributes:
        drop: patterns of names whose saved states are left out; `*` stands for any characters.
        init: patterns of names that start without a saved state, as torch starts a new parameter.
        renames: maps saved names to the new names of the same parameters.
    """

    drop: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    renames: Mapping[str, str] = {}


NO_CHANGES = ParameterChanges()


class SavedPosition(NamedTuple):
    """The group of a parameter in a saved optimizer, and the key of its state."""

    group: StateDict
    key: Any


class Match(Struct, frozen=True, kw_only=True):
    """The parameters of a new optimizer, matched with saved positions.

    Attributes:
        groups: the names in each group of the new optimizer.
        positions: the saved position of each name that keeps its state.
        initialized: names that start without a saved state.
        dropped: saved names whose states are left out.
    """

    groups: tuple[tuple[str, ...], ...]
    positions: Mapping[str, SavedPosition]
    initialized: tuple[str, ...]
    dropped: tuple[str, ...]


def match(
    state: StateDict, saved: Optimizer, new: torch.optim.Optimizer, names: Mapping[int, str], changes: ParameterChanges
) -> Match:
    """Match the parameters of a new optimizer with the saved positions.

    Raises:
        OptimizerError: a position has no name, or two have the same; a parameter is in only one of the optimizers or
            its state has another shape, and no change says so; a change matches nothing.
    """
    positions = saved_positions(state, saved, changes.renames)
    groups = _names_by_group(new, names)
    new_names = [*chain.from_iterable(groups)]
    shapes = {names[id(tensor)]: tuple(tensor.shape) for group in new.param_groups for tensor in group["params"]}
    absent = [name for name in new_names if name not in positions]
    reshaped = {
        name: shape
        for name in new_names
        if name in positions and (shape := _state_shape(state, positions[name])) not in (None, shapes[name])
    }
    with_state = {key for key, value in state["state"].items() if value}
    unplaced = [name for name in positions if name not in shapes]
    initialized = [name for name in (*absent, *reshaped) if _matches(name, changes.init)]
    dropped = [name for name in unplaced if _matches(name, changes.drop)]
    _refuse_states_of_no_group(state, saved)
    _refuse_unused_patterns(changes, (*absent, *reshaped), unplaced)
    _refuse_absent([name for name in absent if name not in initialized], saved)
    _refuse_reshaped({name: shape for name, shape in reshaped.items() if name not in initialized}, shapes)
    _refuse_lost([name for name in unplaced if name not in dropped and positions[name].key in with_state])
    return Match(
        groups=groups,
        positions={name: positions[name] for name in new_names if name in positions and name not in initialized},
        initialized=tuple(initialized),
        dropped=tuple(dropped),
    )


def saved_positions(state: StateDict, saved: Optimizer, renames: Mapping[str, str]) -> dict[str, SavedPosition]:
    """Find where each parameter was saved, by its new name."""
    positions: dict[str, SavedPosition] = {}
    for index, (group, named_group) in enumerate(zip(state["param_groups"], saved.groups, strict=True)):
        if len(group["params"]) != len(named_group.parameters) or not all(named_group.parameters):
            raise OptimizerError(
                f"group {index} of the saved {saved.type} has positions without a name",
                "name the model that was trained: --model TARGET",
            )
        for key, name in zip(group["params"], named_group.parameters, strict=True):
            new_name = renames.get(name, name)
            if new_name in positions:
                raise OptimizerError(
                    f"{new_name} is at two positions of the saved {saved.type}",
                    "list each parameter once, and save again",
                )
            positions[new_name] = SavedPosition(group, key)
    return positions


def _names_by_group(new: torch.optim.Optimizer, names: Mapping[int, str]) -> tuple[tuple[str, ...], ...]:
    groups = tuple(tuple(names.get(id(tensor), "") for tensor in group["params"]) for group in new.param_groups)
    all_names = [*chain.from_iterable(groups)]
    if "" in all_names:
        raise OptimizerError(
            f"{type(new).__name__} holds a tensor that is not a parameter of the model",
            "see `decay-audit explain DA203`",
        )
    if len(set(all_names)) < len(all_names):
        raise OptimizerError(f"{type(new).__name__} lists a parameter twice", "see `decay-audit explain DA202`")
    return groups


def _state_shape(state: StateDict, position: SavedPosition) -> tuple[int, ...] | None:
    """Return the shape of a parameter's state; None if it has no state of the parameter's own shape."""
    states = state["state"].get(position.key) or {}
    tensors = (states.get(key) for key in _FULL_STATES) if isinstance(states, Mapping) else ()
    return next((tuple(tensor.shape) for tensor in tensors if isinstance(tensor, torch.Tensor)), None)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _refuse_states_of_no_group(state: StateDict, saved: Optimizer) -> None:
    listed = {key for group in state["param_groups"] for key in group["params"]}
    unlisted = [str(key) for key, value in state["state"].items() if value and key not in listed]
    if unlisted:
        raise OptimizerError(
            f"the saved {saved.type} has states that no group lists: {first_few(unlisted, _MAX_NAMED)}",
            "save optimizer.state_dict() again",
        )


def _refuse_unused_patterns(changes: ParameterChanges, without_state: Sequence[str], unplaced: Sequence[str]) -> None:
    for option, patterns, candidates, reason in (
        (
            "--drop",
            changes.drop,
            unplaced,
            "it names no saved parameter that the new optimizer lacks",
        ),
        ("--init", changes.init, without_state, "it names no parameter that lacks a saved state of its shape"),
    ):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in candidates):
                listed = first_few([*candidates], _MAX_NAMED)
                raise OptimizerError(
                    f"{option} {pattern!r} has no effect: {reason}",
                    f"it can name {listed}" if candidates else f"leave {option} out",
                )


def _refuse_absent(names: Sequence[str], saved: Optimizer) -> None:
    if names:
        raise OptimizerError(
            f"the saved {saved.type} has no state for {first_few([*names], _MAX_NAMED)} of the new optimizer",
            f"if new since it was saved, start without a state: {_options('--init', names)}",
        )


def _refuse_reshaped(reshaped: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if reshaped:
        texts = [
            f"{name} ({format_shape(shape)}, now {format_shape(shapes[name])})" for name, shape in reshaped.items()
        ]
        raise OptimizerError(
            f"the saved state has another shape than its parameter: {first_few(texts, _MAX_NAMED)}",
            f"if the layer is new, start without a state: {_options('--init', [*reshaped])}",
        )


def _refuse_lost(names: Sequence[str]) -> None:
    if names:
        them = "it" if len(names) == 1 else "them"
        raise OptimizerError(
            f"the state of {first_few([*names], _MAX_NAMED)} would be lost: the new optimizer does not hold {them}",
            f"if no longer trained, leave the state out: {_options('--drop', names)}",
        )


def _options(option: str, names: Sequence[str]) -> str:
    """Write an option for each name. For a long list, write one pattern that matches all: `blocks.3.*`, or `*`."""
    if len(names) <= _MAX_NAMED:
        return " ".join(f"{option} {name}" for name in names)
    parts = [name.split(".") for name in names]
    common = []
    for position in zip(*parts, strict=False):
        if len(set(position)) > 1:
            break
        common.append(position[0])
    return f"{option} '{'.'.join([*common, '*'])}'"
