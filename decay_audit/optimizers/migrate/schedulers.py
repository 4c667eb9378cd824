"""Rewrite the saved state of learning rate schedulers for new param groups.

A scheduler stores lists with one entry for each group, such as `base_lrs`. A new group gets the entry of the old groups
in which its parameters were; these groups must have equal entries. The keys of torch, timm and mmengine are known. A
list under another key is refused if it may have an entry for each group.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from decay_audit.errors import OptimizerError
from decay_audit.optimizers.migrate.state import replace_state

GroupSources = Sequence[tuple[int, ...]]
"""For each new group, the indices of the old groups in which its parameters were."""

_OF_TORCH = "base_lrs _last_lr lr_lambdas min_lrs max_lrs base_momentums max_momentums _initial_lrs"
_OF_TIMM_AND_MMENGINE = "base_values warmup_steps _last_value"
PER_GROUP = frozenset(f"{_OF_TORCH} {_OF_TIMM_AND_MMENGINE}".split())
"""Keys of schedulers that hold a list with one entry for each param group."""
NOT_PER_GROUP = frozenset(
    {"_schedulers", "_milestones", "milestones", "_schedule_phases", "step_size", "decay_t", "noise_range_t"}
)
"""Keys of schedulers whose lists have nothing to do with param groups."""
_SCHEDULER_KEYS = frozenset({"last_epoch", "last_step", "base_values"})
"""The state of a scheduler has at least one of these keys."""
_SCHEDULED_SETTING_KEYS = ("param_group_field", "param_name")
"""Keys under which a scheduler of timm or mmengine stores the name of the setting that it changes."""
_CONFIGURATIONS = frozenset({"hyper_parameters", "hparams", "args", "config", "cfg", "meta"})
"""Keys of a checkpoint that hold a configuration and no state."""


def find_scheduler_states(node: object, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Find the states of schedulers in a checkpoint, with their dotted paths; not those inside another scheduler."""
    if is_scheduler_state(node) or (_is_called_scheduler(path) and _has_lists(node)):
        yield path, node  # type: ignore[misc]
        return
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, child in children:
        if key not in _CONFIGURATIONS:
            yield from find_scheduler_states(child, f"{path}.{key}" if path else str(key))


def is_scheduler_state(node: object) -> bool:
    """Whether a value is the state dict of a scheduler of torch, timm or mmengine."""
    return isinstance(node, Mapping) and (
        (not _SCHEDULER_KEYS.isdisjoint(node) and not PER_GROUP.isdisjoint(node))
        or ("_schedulers" in node and "_last_lr" in node)
    )


def _is_called_scheduler(path: str) -> bool:
    """Whether a dotted path ends in the name of a scheduler, or in an index of a list with such a name.

    >>> [_is_called_scheduler(path) for path in ("lr_schedulers.0", "state.lr_sched", "loops.scheduler.progress")]
    [True, True, False]
    """
    name = path.rstrip("0123456789").rstrip(".").rpartition(".")[2]
    return "sched" in name.lower()


def _has_lists(node: object) -> bool:
    return isinstance(node, Mapping) and any(isinstance(value, list | tuple) for value in node.values())


def rewrite_schedulers(content: object, sources: Sequence[GroupSources], group_counts: Sequence[int]) -> object:
    """Copy a checkpoint with the states of its schedulers rewritten for the new groups.

    Args:
        sources: for each optimizer, in the order of the checkpoint, where its new groups come from.
        group_counts: for each optimizer, how many groups were saved.

    Raises:
        OptimizerError: a list of a scheduler may have an entry for each group, but its key is not known; or a new group
            would need two different entries; or it is not clear to which optimizer a scheduler belongs.
    """
    states = [*find_scheduler_states(content)]
    unchanged = [is_unchanged(group_sources, count) for group_sources, count in zip(sources, group_counts, strict=True)]
    if all(unchanged):
        return content
    for index, (path, state) in enumerate(states):
        optimizer = _optimizer_of(index, state, len(states), group_counts)
        if optimizer is None:
            raise OptimizerError(
                f"the checkpoint does not say for which optimizer the scheduler at {path} is",
                "migrate one optimizer at a time, each in a file with its own scheduler",
            )
        if not unchanged[optimizer]:
            new_state = rewrite_scheduler(state, sources[optimizer], group_counts[optimizer], path)
            content = replace_state(content, path, new_state)
    return content


def is_unchanged(sources: GroupSources, count: int) -> bool:
    """Whether each new group holds the parameters of the old group at the same position."""
    return [*sources] == [(index,) for index in range(count)]


def rewrite_scheduler(state: Mapping[str, Any], sources: GroupSources, count: int, path: str) -> dict[str, Any]:
    """Rewrite the state dict of one scheduler."""
    if any(state.get(key) == "weight_decay" for key in _SCHEDULED_SETTING_KEYS):
        raise OptimizerError(
            f"the scheduler at {path} changes weight_decay, which comes from the new groups",
            "start the scheduler anew, and advance it to the step of the checkpoint",
        )
    return {key: _rewrite_value(key, value, sources, count, f"{path}.{key}") for key, value in state.items()}


def _rewrite_value(key: str, value: Any, sources: GroupSources, count: int, path: str) -> Any:  # noqa: ANN401
    if key == "_schedulers":
        return [
            rewrite_scheduler(inner, sources, count, f"{path}.{index}") if is_scheduler_state(inner) else inner
            for index, inner in enumerate(value)
        ]
    if key in PER_GROUP and isinstance(value, list | tuple):
        if len(value) != count:
            raise OptimizerError(
                f"{path} has {len(value)} entries, and its optimizer {count} groups",
                "the scheduler is of another optimizer: start it anew, and advance it to the step of the checkpoint",
            )
        return type(value)(_common_entry(value, group, path) for group in sources)
    if isinstance(value, list | tuple) and key not in NOT_PER_GROUP and len(value) == count:
        raise OptimizerError(
            f"it is not known whether {path} has an entry for each param group",
            "start the scheduler anew, and advance it to the step of the checkpoint",
        )
    return value


def _common_entry(values: Sequence[Any], group: tuple[int, ...], path: str) -> Any:  # noqa: ANN401
    entries = [values[index] for index in group]
    if not entries or any(not _equal(entry, entries[0]) for entry in entries):
        reason = (
            "groups that are merged have different entries"
            if entries
            else "a new group has no saved parameter, and a learning rate of its own"
        )
        raise OptimizerError(
            f"{path} cannot be moved: {reason}", "make groups whose parameters had one learning rate schedule"
        )
    return entries[0]


def _equal(value: object, other: object) -> bool:
    if isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor):
        return value.equal(other)
    return bool(value == other)


def _optimizer_of(
    index: int, state: Mapping[str, Any], scheduler_count: int, group_counts: Sequence[int]
) -> int | None:
    """Find the index of a scheduler's optimizer: the only one, the only one with as many groups, or its own index."""
    lengths = {len(state[key]) for key in PER_GROUP & state.keys() if isinstance(state[key], list | tuple)}
    candidates = [position for position, count in enumerate(group_counts) if lengths <= {count}]
    if len(group_counts) == 1:
        return 0
    if len(candidates) == 1:
        return candidates[0]
    return index if scheduler_count == len(group_counts) and index in candidates else None
