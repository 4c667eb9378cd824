"""Rewrite a saved optimizer state for the param groups of another optimizer, by the names of parameters.

State tensors are not changed. If it is not certain to which parameter a state belongs, an error is raised.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import ALGORITHM_SETTINGS, Optimizer
from decay_audit.model.position_order import explain_ambiguity
from decay_audit.optimizers.migrate.matching import MatchedParameters, StateDict

_SAVE_WITH_NAMES = "save it with names: give the optimizer model.named_parameters() (torch 2.6 or newer)"
_PARAMETER_KEYS = frozenset({"params", "param_names"})
"""Keys of a group that list its parameters."""
_FROM_NEW_GROUPS = frozenset({"weight_decay"})
"""Settings that always come from the new groups. Other settings come from the saved groups where these agree."""


def rewrite_state(
    state: StateDict,
    saved_optimizer: Optimizer,
    new_optimizer: torch.optim.Optimizer,
    matched_parameters: MatchedParameters,
    order: Sequence[str],
) -> dict[str, Any]:
    """Rewrite an optimizer's state dict for the groups of another optimizer.

    The groups are those of the new optimizer. A group keeps each hyperparameter that its parameters had in common in
    the saved groups, so that a schedule continues; `weight_decay` is always that of the new group. If the saved state
    has names as keys, the result has them, too. A parameter without a saved state gets the state that the new optimizer
    has for it now; most classes have none before the first step.

    Args:
        state: the state dict as it was saved.
        saved_optimizer: the saved optimizer as it was read, with the names of its positions.
        new_optimizer: the optimizer that is going to load the result.
        matched_parameters: the parameters of the new optimizer, matched with the saved positions.
        order: the names of the saved parameters, in the order of the model that was trained.

    Raises:
        OptimizerError: the optimizers are of different algorithms; or no names were saved, and the positions do not
            tell the parameters: two groups have the same weight_decay, or are not in the order of the model.
    """
    _refuse_another_algorithm(state, saved_optimizer, new_optimizer)
    _refuse_ambiguous_positions(saved_optimizer, order)
    by_name = any(isinstance(position.key, str) for position in matched_parameters.positions.values())
    all_names = [*chain.from_iterable(matched_parameters.groups)]
    keys: dict[str, Any] = {name: name if by_name else index for index, name in enumerate(all_names)}
    if by_name:
        names = {name for group in saved_optimizer.groups for name in group.parameters}
        keys |= {name: position.key for name, position in matched_parameters.positions.items() if name in names}
    new_state = new_optimizer.state_dict()
    groups = [
        _merged_group(group, [state["param_groups"][index] for index in sources], [keys[name] for name in members])
        for group, members, sources in zip(
            new_state["param_groups"],
            matched_parameters.groups,
            group_sources(state, new_optimizer, matched_parameters),
            strict=True,
        )
    ]
    old_states, initial_states = state["state"], new_state["state"]
    states = {}
    for index, name in enumerate(all_names):
        position = matched_parameters.positions.get(name)
        if position is None and index in initial_states:
            states[keys[name]] = _with_values(initial_states[index], name)
        if position is not None and position.key in old_states:
            states[keys[name]] = old_states[position.key]
    return {**state, "state": states, "param_groups": groups}


def _with_values(states: StateDict, name: str) -> StateDict:
    """Return the new state of a parameter; refuse a state on the meta device, which has no values."""
    if any(isinstance(value, torch.Tensor) and value.is_meta for value in states.values()):
        raise OptimizerError(
            f"the new state of {name} has no values on the meta device", "build on the CPU: --device cpu"
        )
    return states


def group_sources(
    state: StateDict, new_optimizer: torch.optim.Optimizer, matched_parameters: MatchedParameters
) -> list[tuple[int, ...]]:
    """For each group of the new optimizer, list the indices of the saved groups in which its parameters were.

    A group without saved parameters has all saved groups as its sources: it takes the settings in which they agree. If
    the learning rates of the new groups differ, it has no source.
    """
    index_of = {id(group): index for index, group in enumerate(state["param_groups"])}
    same_lr = len({str(group.get("lr")) for group in new_optimizer.param_groups}) == 1
    return [
        tuple(
            sorted(
                {
                    index_of[id(matched_parameters.positions[name].group)]
                    for name in members
                    if name in matched_parameters.positions
                }
            )
        )
        or (tuple(range(len(index_of))) if same_lr else ())
        for members in matched_parameters.groups
    ]


def _refuse_another_algorithm(
    state: StateDict, saved_optimizer: Optimizer, new_optimizer: torch.optim.Optimizer
) -> None:
    """Refuse a new optimizer of another algorithm, whose step needs other state tensors."""
    algorithms = {
        frozenset(group.keys() & set(ALGORITHM_SETTINGS))
        for groups in (state["param_groups"], new_optimizer.param_groups)
        for group in groups[:1]
    }
    if len(algorithms) > 1:
        raise OptimizerError(
            f"the saved state is {saved_optimizer.type}'s, but --to makes {type(new_optimizer).__name__}",
            "use the class of the saved optimizer, or start the new optimizer without this state",
        )


def _refuse_ambiguous_positions(saved_optimizer: Optimizer, order: Sequence[str]) -> None:
    if reason := explain_ambiguity(saved_optimizer, order):
        raise OptimizerError(f"the mapping is ambiguous: {reason}", _SAVE_WITH_NAMES)


def replace_state(checkpoint: object, path: str, state: StateDict) -> object:
    """Copy a checkpoint with the state dict at a dotted path replaced. All other values are shared."""
    return _replace_at(checkpoint, path, state)


def find_state_paths(contents: Mapping[str, object], names: Sequence[str]) -> list[str]:
    """Find the dotted path of each optimizer state in the contents of files.

    Args:
        contents: what is in each file, by its path.
        names: the dotted path of each optimizer in its file; `optimizer` also means that it is the whole file.

    Raises:
        OptimizerError: no file has an optimizer state there.
    """
    unused = [(file, path) for file, content in contents.items() for path, _ in _optimizer_states(content, file)]
    paths = []
    for name in names:
        fitting = [(file, path) for file, path in unused if path == f"{file}.{name}"]
        fitting += [(file, path) for file, path in unused if path == file and name == "optimizer"]
        if not fitting:
            raise OptimizerError(f"no optimizer state at {name}", "the file has changed since it was read")
        unused.remove(fitting[0])
        paths.append(fitting[0][1])
    return paths


def find_state(checkpoint: object, path: str) -> StateDict:
    """Find the optimizer state dict at a dotted path.

    Raises:
        OptimizerError: the checkpoint has no optimizer state there.
    """
    state = next((state for state_path, state in _optimizer_states(checkpoint) if state_path == path), None)
    if state is None:
        raise OptimizerError(f"no optimizer state at {path}", "the file has changed since it was read")
    return _with_position_keys(state)


def _with_position_keys(state: StateDict) -> StateDict:
    """Turn the keys of states that torch.distributed.checkpoint has made strings, "0", into positions again."""
    positions = {key for group in state["param_groups"] for key in group["params"] if isinstance(key, int)}
    position_of = {str(position): position for position in positions}
    return {**state, "state": {position_of.get(key, key): value for key, value in state["state"].items()}}


def _optimizer_states(node: object, path: str = "") -> Iterator[tuple[str, StateDict]]:
    if _is_optimizer_state(node):
        yield path, node  # type: ignore[misc]
        return
    for key, child in _children(node):
        yield from _optimizer_states(child, f"{path}.{key}" if path else str(key))


def _children(node: object) -> Iterator[tuple[Any, object]]:
    if isinstance(node, Mapping):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from enumerate(node)


def _replace_at(node: object, path: str, state: StateDict) -> object:
    if not path:
        return state
    for key, child in _children(node):
        if path == str(key) or path.startswith(f"{key}."):
            changed = _replace_at(child, path.removeprefix(str(key)).removeprefix("."), state)
            return _copy_with(node, key, changed)
    return node


def _copy_with(node: object, key: Any, changed: object) -> object:  # noqa: ANN401 - a key of any mapping
    if isinstance(node, Mapping):
        copied = dict(node)
        copied[key] = changed
        return copied
    items = [*node]  # type: ignore[misc]
    items[key] = changed
    return type(node)(items)  # type: ignore[call-arg]


def _is_optimizer_state(node: object) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("param_groups"), list) and "state" in node


def _merged_group(new_group: StateDict, saved_groups: Sequence[StateDict], keys: list[Any]) -> dict[str, Any]:
    """Return the new group, with the settings that are equal in all saved groups of its parameters."""
    common = {
        key: value
        for key, value in (saved_groups[0] if saved_groups else {}).items()
        if key not in _PARAMETER_KEYS | _FROM_NEW_GROUPS
        and all(key in group and _equal(group[key], value) for group in saved_groups)
    }
    return {**new_group, **common, "params": keys}


def _equal(value: object, other: object) -> bool:
    if isinstance(value, torch.Tensor) or isinstance(other, torch.Tensor):
        return isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor) and value.equal(other)
    return value == other
