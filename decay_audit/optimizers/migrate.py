"""A saved optimizer state and a new optimizer go in, the state in the new layout comes out, moved by name.

State tensors are carried as they are. What cannot be mapped without a guess is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Optimizer
from decay_audit.text import first_few

State = Mapping[str, Any]

_WITH_NAMES = "save it with names: give the optimizer model.named_parameters() (torch 2.6 or newer)"
ALGORITHM = frozenset({"betas", "momentum", "rho", "alpha"})
"""Hyperparameters that tell algorithms apart."""
_PLACES = frozenset({"params", "param_names"})
_NEW = frozenset({"weight_decay"})
"""What a migration is for: these come from the new groups, everything else from the saved ones where they agree."""


def rewrite(state: State, saved: Optimizer, new: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Any]:
    """Rewrite an optimizer's state dict for the groups of another optimizer over the same parameters.

    Each group is the new optimizer's. Hyperparameters that all its parameters had in common are kept, so that a
    schedule goes on where it was; `weight_decay` is always the new one. A state that is keyed by names stays so.

    Args:
        state: the state dict as it was saved.
        saved: the same as read, with the names of its positions.
        new: the optimizer that shall load the result.
        names: `id(tensor)` -> canonical name, for every parameter of the model.

    Raises:
        OptimizerError: the optimizers are not of one kind, a position has no name or two have the same, a parameter
            of one side is not on the other, or positions without names may be mixed up: groups share a coefficient, or
            are not in the order of the model.
    """
    _must_be_of_one_kind(state, saved, new)
    _must_be_sure(state, saved, [*dict.fromkeys(names.values())])
    old = _by_name(state, saved)
    wanted = _wanted(new, names)
    _agree(old, [*chain.from_iterable(wanted)], state, saved)
    places = {name: _place(old[name], index) for index, name in enumerate(chain.from_iterable(wanted))}
    groups = [
        _group(fresh, [old[name][0] for name in members], [places[name] for name in members])
        for fresh, members in zip(new.state_dict()["param_groups"], wanted, strict=True)
    ]
    kept = {place: state["state"][old[name][1]] for name, place in places.items() if old[name][1] in state["state"]}
    return {**state, "state": kept, "param_groups": groups}


def _place(before: tuple[State, Any], index: int) -> Any:  # noqa: ANN401 - a name, or a number
    """A position's key among the new states: its number, as torch has it, or the name by which it was saved."""
    return before[1] if isinstance(before[1], str) else index


def _must_be_of_one_kind(state: State, saved: Optimizer, new: torch.optim.Optimizer) -> None:
    """Refuse to hand the states of one algorithm to another, which would look for its own."""
    held = [set(group) & ALGORITHM for groups in (state["param_groups"], new.param_groups) for group in groups[:1]]
    if len({frozenset(keys) for keys in held}) > 1:
        raise OptimizerError(
            f"the saved state is of {saved.type}, and --to makes {type(new).__name__}",
            "a state goes on in an optimizer of its class; start another one anew",
        )


def _must_be_sure(state: State, saved: Optimizer, order: Sequence[str]) -> None:
    """Refuse groups that shapes cannot keep apart.

    A reader tells positions apart as far as their coefficient is concerned: groups that share one may be mixed up with
    each other, and so may positions of one shape that are not in the order of the model. That is all the same to an
    audit, and not to the state that is to be moved.
    """
    groups = state["param_groups"]
    if not any(group.shapes for group in saved.groups):
        return
    coefficients = [group.get("weight_decay") for group in groups]
    if len(set(coefficients)) < len(coefficients):
        raise OptimizerError(
            f"the mapping is ambiguous: {len(groups)} groups, some of the same weight_decay, without names",
            _WITH_NAMES,
        )
    places = {name: index for index, name in enumerate(order)}
    found = [[places[name] for name in group.parameters if name in places] for group in saved.groups]
    alike = any(len(set(group.shapes)) < len(group.shapes) for group in saved.groups)
    if alike and any(each != sorted(each) for each in found):
        raise OptimizerError(
            "the mapping is ambiguous: the groups are not in the order of the model, some parameters have the same "
            "shape, and none has a name",
            _WITH_NAMES,
        )


def replaced(checkpoint: object, path: str, value: State) -> object:
    """Copy a checkpoint with the state dict at a dotted path replaced; nothing else is copied or changed."""
    if _is_state(checkpoint) and path == "optimizer":
        return value
    return _replaced(checkpoint, path, value)


def at(checkpoint: object, path: str) -> State:
    """Find the optimizer state dict at a dotted path, as a reader of the file names it.

    Raises:
        OptimizerError: there is none.
    """
    if _is_state(checkpoint) and path == "optimizer":
        return checkpoint  # type: ignore[return-value]
    found = next((value for key, value in _states(checkpoint) if key == path), None)
    if found is None:
        raise OptimizerError(f"no optimizer state at {path}", "the file has changed since it was read")
    return found


def _states(node: object, path: str = "") -> Iterator[tuple[str, State]]:
    if _is_state(node):
        yield path, node  # type: ignore[misc]
        return
    for key, child in _children(node):
        yield from _states(child, f"{path}.{key}" if path else str(key))


def _children(node: object) -> Iterator[tuple[Any, object]]:
    if isinstance(node, Mapping):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from enumerate(node)


def _replaced(node: object, path: str, value: State) -> object:
    if not path:
        return value
    for key, child in _children(node):
        if path == str(key) or path.startswith(f"{key}."):
            changed = _replaced(child, path.removeprefix(str(key)).removeprefix("."), value)
            return _with(node, key, changed)
    return node


def _with(node: object, key: Any, changed: object) -> object:  # noqa: ANN401 - a key of any mapping
    if isinstance(node, Mapping):
        copied = dict(node)
        copied[key] = changed
        return copied
    listed = [*node]  # type: ignore[misc]
    listed[key] = changed
    return type(node)(listed)  # type: ignore[call-arg]


def _is_state(node: object) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("param_groups"), list) and "state" in node


def _by_name(state: State, saved: Optimizer) -> dict[str, tuple[State, Any]]:
    """Each name's saved group and its key among the states."""
    found: dict[str, tuple[State, Any]] = {}
    for index, (group, read) in enumerate(zip(state["param_groups"], saved.groups, strict=True)):
        if len(group["params"]) != len(read.parameters) or not all(read.parameters):
            raise OptimizerError(
                f"group {index} of the saved {saved.type} has positions that cannot be told by name",
                "the mapping would be a guess; name the model that was trained with --model",
            )
        for key, name in zip(group["params"], read.parameters, strict=True):
            if name in found:
                raise OptimizerError(f"{name} is at two positions of the saved {saved.type}", "nothing was written")
            found[name] = (group, key)
    return found


def _wanted(new: torch.optim.Optimizer, names: Mapping[int, str]) -> list[list[str]]:
    wanted = [[names.get(id(tensor), "") for tensor in group["params"]] for group in new.param_groups]
    every = [name for group in wanted for name in group]
    if "" in every:
        raise OptimizerError(f"{type(new).__name__} holds a tensor that is not the model's", "see DA203")
    if len(set(every)) < len(every):
        raise OptimizerError(f"{type(new).__name__} holds a parameter twice", "see DA202")
    return wanted


def _agree(old: Mapping[str, tuple[State, Any]], wanted: Sequence[str], state: State, saved: Optimizer) -> None:
    """Refuse to lose a state, and to make one up."""
    missing = [name for name in wanted if name not in old]
    if missing:
        raise OptimizerError(
            f"{first_few(missing, 3)} of the new optimizer {'has' if len(missing) == 1 else 'have'} no place in the "
            f"saved {saved.type}",
            "its state would have to be made up; migrate to groups over the same parameters",
        )
    held = {key for key, value in state["state"].items() if value}
    lost = [name for name, (_, key) in old.items() if name not in set(wanted) and key in held]
    if lost:
        raise OptimizerError(
            f"the state of {first_few(lost, 3)} would be lost: the new optimizer does not hold "
            f"{'it' if len(lost) == 1 else 'them'}",
            "migrate to groups over the same parameters",
        )


def _group(fresh: State, before: Sequence[State], places: list[Any]) -> dict[str, Any]:
    """The new group's settings, with what all its members had before in place of what it starts with."""
    kept = {
        key: before[0][key]
        for key in (before[0] if before else ())
        if key not in _PLACES | _NEW and all(key in group and _same(group[key], before[0][key]) for group in before)
    }
    return {**fresh, **kept, "params": places}


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.equal(other)
    return one == other
