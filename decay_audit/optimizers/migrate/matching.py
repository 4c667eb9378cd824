"""Match the parameters of a new optimizer with the positions of a saved optimizer, by name.

A parameter that only the saved optimizer has must be named by `--drop`; a parameter that only the new optimizer has, by
`--init`.
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
"""How many names an error message shows."""


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


class MatchedParameters(Struct, frozen=True, kw_only=True):
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
    state: StateDict,
    saved_optimizer: Optimizer,
    new_optimizer: torch.optim.Optimizer,
    names: Mapping[int, str],
    changes: ParameterChanges,
) -> MatchedParameters:
    """Match the parameters of a new optimizer with the saved positions.

    Raises:
        OptimizerError: a position has no name, or two have the same name; a parameter is in only one of the optimizers,
            or its state has another shape, and `changes` does not name it; a change matches nothing.
    """
    positions = saved_positions(state, saved_optimizer, changes.renames)
    groups = _names_by_group(new_optimizer, names)
    new_names = [*chain.from_iterable(groups)]
    shapes = {
        names[id(tensor)]: tuple(tensor.shape) for group in new_optimizer.param_groups for tensor in group["params"]
    }
    without_position = [name for name in new_names if name not in positions]
    # the shape of the saved state, where it is not the shape that the parameter has now
    old_shapes = {
        name: shape
        for name in new_names
        if name in positions and (shape := _state_shape(state, positions[name])) not in (None, shapes[name])
    }
    keys_with_state = {key for key, value in state["state"].items() if value}
    only_saved = [name for name in positions if name not in shapes]
    initialized = [name for name in (*without_position, *old_shapes) if _matches(name, changes.init)]
    dropped = [name for name in only_saved if _matches(name, changes.drop)]
    _refuse_states_of_no_group(state, saved_optimizer)
    _refuse_unused_patterns(changes, (*without_position, *old_shapes), only_saved, [*positions])
    _refuse_unsaved([name for name in without_position if name not in initialized], saved_optimizer)
    _refuse_other_shapes({name: shape for name, shape in old_shapes.items() if name not in initialized}, shapes)
    _refuse_left_over([name for name in only_saved if name not in dropped and positions[name].key in keys_with_state])
    return MatchedParameters(
        groups=groups,
        positions={name: positions[name] for name in new_names if name in positions and name not in initialized},
        initialized=tuple(initialized),
        dropped=tuple(dropped),
    )


def saved_positions(
    state: StateDict, saved_optimizer: Optimizer, renames: Mapping[str, str]
) -> dict[str, SavedPosition]:
    """Find where each parameter was saved, by its new name."""
    positions: dict[str, SavedPosition] = {}
    for index, (group, named_group) in enumerate(zip(state["param_groups"], saved_optimizer.groups, strict=True)):
        if len(group["params"]) != len(named_group.parameters) or not all(named_group.parameters):
            raise OptimizerError(
                f"group {index} of the saved {saved_optimizer.type} has positions without a name",
                "name the model that was trained: --model TARGET",
            )
        for key, name in zip(group["params"], named_group.parameters, strict=True):
            new_name = renames.get(name, name)
            if new_name in positions:
                raise OptimizerError(
                    f"{new_name} is at two positions of the saved {saved_optimizer.type}",
                    "list each parameter once, and save again",
                )
            positions[new_name] = SavedPosition(group, key)
    return positions


def _names_by_group(new_optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> tuple[tuple[str, ...], ...]:
    groups = tuple(
        tuple(names.get(id(tensor), "") for tensor in group["params"]) for group in new_optimizer.param_groups
    )
    all_names = [*chain.from_iterable(groups)]
    if "" in all_names:
        raise OptimizerError(
            f"{type(new_optimizer).__name__} holds a tensor that is not a parameter of the model",
            "see `decay-audit explain DA203`",
        )
    if len(set(all_names)) < len(all_names):
        raise OptimizerError(
            f"{type(new_optimizer).__name__} lists a parameter twice", "see `decay-audit explain DA202`"
        )
    return groups


def _state_shape(state: StateDict, position: SavedPosition) -> tuple[int, ...] | None:
    """Return the shape of a parameter's state; None if it has no state of the parameter's own shape."""
    states = state["state"].get(position.key) or {}
    tensors = (states.get(key) for key in _FULL_STATES) if isinstance(states, Mapping) else ()
    return next((tuple(tensor.shape) for tensor in tensors if isinstance(tensor, torch.Tensor)), None)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _refuse_states_of_no_group(state: StateDict, saved_optimizer: Optimizer) -> None:
    listed = {key for group in state["param_groups"] for key in group["params"]}
    unlisted = [str(key) for key, value in state["state"].items() if value and key not in listed]
    if unlisted:
        raise OptimizerError(
            f"the saved {saved_optimizer.type} has states that no group lists: {first_few(unlisted, _MAX_NAMED)}",
            "save optimizer.state_dict() again",
        )


def _refuse_unused_patterns(
    changes: ParameterChanges, without_state: Sequence[str], only_saved: Sequence[str], saved: Sequence[str]
) -> None:
    """Refuse patterns of `--drop` and `--init` that match no parameter for which the option is needed."""
    for option, patterns, candidates in (
        ("--drop", changes.drop, only_saved),
        ("--init", changes.init, without_state),
    ):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in candidates):
                can_keep_state = [name for name in saved if fnmatchcase(name, pattern)]
                reason = (
                    f"{first_few(can_keep_state, _MAX_NAMED)} can keep the saved state"
                    if can_keep_state
                    else "no parameter has this name"
                )
                raise OptimizerError(
                    f"{option} {pattern!r} has no effect: {reason}",
                    f"{option} can name {first_few([*candidates], _MAX_NAMED)}"
                    if candidates
                    else f"leave {option} out",
                )


def _refuse_unsaved(names: Sequence[str], saved_optimizer: Optimizer) -> None:
    if names:
        raise OptimizerError(
            f"{first_few([*names], _MAX_NAMED)} {_are(names)} not in the saved {saved_optimizer.type}",
            f"if the model got new layers, start them without a saved state: {_options('--init', names)}",
        )


def _refuse_other_shapes(old_shapes: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if old_shapes:
        texts = [
            f"{name} ({format_shape(shape)}, now {format_shape(shapes[name])})" for name, shape in old_shapes.items()
        ]
        raise OptimizerError(
            f"the saved state has another shape than its parameter: {first_few(texts, _MAX_NAMED)}",
            f"if these layers are new, start them without a saved state: {_options('--init', [*old_shapes])}",
        )


def _refuse_left_over(names: Sequence[str]) -> None:
    if names:
        raise OptimizerError(
            f"{first_few([*names], _MAX_NAMED)} {_are(names)} in the saved state, and not in the new optimizer",
            f"if training goes on without, leave the state out: {_options('--drop', names)}",
        )


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


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
