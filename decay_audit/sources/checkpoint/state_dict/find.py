"""Find the largest state dict and all optimizer states in the object that a torch checkpoint holds.

Both are recognized by what they hold, not by their keys: training scripts use any key.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from math import prod
from typing import Any, Final

from msgspec import Struct

from decay_audit import work
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import (
    TRAINABLE_DTYPES,
    FileContents,
    MalformedError,
    SavedOptimizer,
    Tensor,
)
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject, PickleResult
from decay_audit.sources.checkpoint.state_dict.deepspeed import (
    MASTER_WEIGHTS,
    NO_STATE_DICTS,
    group_shapes,
    with_deepspeed_shapes,
)
from decay_audit.sources.checkpoint.state_dict.flattened_optimizer import SLOT_NAMES, unflatten
from decay_audit.sources.checkpoint.state_dict.pickled_modules import (
    NamedTensors,
    attributes,
    flatten,
    is_module,
    items_of,
)
from decay_audit.text import first_few

_MAX_DEPTH: Final = 32
"""How deeply dicts and lists are searched."""
_MAX_ENTRIES: Final = 4_000_000
"""The most entries of all state dicts and modules together."""
_MAX_OPTIMIZER_ENTRIES: Final = 1_000_000
"""The most entries of all param groups together."""
_MAX_GROUPS_CHECKED: Final = 64
"""How many param groups are looked at to recognize an optimizer."""
_MAX_OPTIMIZERS: Final = 256
"""The most optimizers that are read."""
_MAX_TENSORS_OF_ALL_OPTIMIZERS: Final = 5_000_000
"""The most tensors of the model, counted once for each optimizer that is read."""
_MAX_KEY_LENGTH: Final = 256
"""How many characters of a key are kept in a path."""
_MAX_OTHERS: Final = 16
"""How many other state dicts are kept, and compared with the one that is chosen."""
_MAX_SHOWN: Final = 5
"""How many paths a message lists."""
_COPY_SIZE: Final = 0.98
"""A copy of a model has at least this share of the model's elements: it may lack a few counters."""
_COPY_NAME = re.compile(
    r"(^|[_\-.])(s?ema|averaged?|avg|swa|shadow|teacher|target|momentum)\d*([_\-.]|$)", re.IGNORECASE
)
"""The name of a copy of a model: of a moving average, a teacher and the like."""

_LEAVES_OF_ONE_LAYER: Final = frozenset({"weight", "bias"})
"""The names in a dict that holds the tensors of one layer."""
_NESTING: Final = frozenset({dict, list, tuple, OpaqueObject})
"""The types of values that are searched for state dicts."""

KeyPath = tuple[str, ...]
"""The keys that lead from the root of the object to a value in it."""


class StateDictCandidate(Struct, frozen=True, kw_only=True):
    """A state dict or a module in the file.

    Attributes:
        node: the dict or the module itself.
        state_dict: its tensors.
        elements: the number of elements of its floating-point tensors.
    """

    path: KeyPath
    node: object
    state_dict: NamedTensors
    elements: int


def find_contents(result: PickleResult, key: str | None) -> FileContents:
    """Find the largest state dict, or the one at `key`, and every optimizer state.

    Raises:
        TargetError: there is no state dict at `key`.
    """
    nodes = list(_walk(result.root))
    candidates = _candidates(nodes, result.script_parameters)
    chosen = _at_key(key, nodes, candidates) if key else _whole_tree(_largest(candidates), nodes, candidates)
    optimizers = _optimizers(nodes)
    if not (chosen or optimizers) and any(is_module(node) for _, node in nodes):
        raise _module_without_parameters(result)
    tensor_count = len(chosen.state_dict.tensors) if chosen else 0
    limit = max(1, min(_MAX_OPTIMIZERS, _MAX_TENSORS_OF_ALL_OPTIMIZERS // max(1, tensor_count)))
    notes = result.notes
    if len(optimizers) > limit:
        notes = (*notes, f"{len(optimizers)} optimizer states are in the file; only the first {limit} were read")
    if chosen is None:
        return FileContents(tensors={}, optimizers=optimizers[:limit], opaque=result.opaque, notes=notes)
    parent = next((node for path, node in nodes if path == chosen.path[:-1] and isinstance(node, dict)), {})
    state_dict = with_deepspeed_shapes(chosen.state_dict, parent) if chosen.path else chosen.state_dict
    return FileContents(
        tensors=state_dict.tensors,
        non_tensors=_non_tensors(chosen.node),
        buffers=state_dict.buffers,
        module_types=state_dict.module_types,
        optimizers=optimizers[:limit],
        group_shapes=group_shapes(parent),
        other_state_dicts=_other_state_dicts(chosen, candidates) if optimizers else {},
        opaque=result.opaque,
        notes=(*_choice_notes(chosen, candidates), *notes),
    )


def _module_without_parameters(result: PickleResult) -> MalformedError:
    if result.has_constants:
        return MalformedError(
            "its TorchScript module is frozen: its tensors are constants without names, and are not trained",
            "name the checkpoint from before torch.jit.freeze",
        )
    return MalformedError(
        "the module in it has no parameters: those of quantized modules are packed, and are not trained",
        "name the checkpoint from before the quantization",
    )


def _other_state_dicts(
    chosen: StateDictCandidate, candidates: Sequence[StateDictCandidate]
) -> Mapping[str, FileContents]:
    others = sorted(_with_other_tensors(chosen, candidates), key=lambda candidate: -candidate.elements)
    return {
        _dotted(candidate.path): FileContents(
            tensors=candidate.state_dict.tensors,
            buffers=candidate.state_dict.buffers,
            module_types=candidate.state_dict.module_types,
        )
        for candidate in others[:_MAX_OTHERS]
    }


def _with_other_tensors(
    chosen: StateDictCandidate, candidates: Sequence[StateDictCandidate]
) -> Iterator[StateDictCandidate]:
    """List the candidates that hold a tensor which the chosen one does not hold."""
    chosen_ids = {id(tensor) for tensor in chosen.state_dict.tensors.values()}
    for candidate in candidates:
        if candidate.path != chosen.path and any(
            id(tensor) not in chosen_ids for tensor in candidate.state_dict.tensors.values()
        ):
            yield candidate


def _candidates(
    nodes: Sequence[tuple[KeyPath, object]], script_parameters: Mapping[str, frozenset[str]]
) -> Sequence[StateDictCandidate]:
    candidates: list[StateDictCandidate] = []
    entry_count = 0
    for path, node in nodes:
        state_dict = _state_dict(node, script_parameters)
        entry_count += state_dict.entry_count
        names = len(state_dict.module_types)
        work.spend(state_dict.entry_count // work.OPERATIONS_PER_UNIT + names * work.UNITS_PER_KIND)
        if entry_count > _MAX_ENTRIES:
            raise MalformedError(f"its modules and state dicts have more than {_MAX_ENTRIES} entries")
        tensors = state_dict.tensors
        if tensors:
            work.spend(work.UNITS_PER_STATE_DICT)
            elements = sum(prod(tensor.shape) for tensor in tensors.values() if tensor.dtype in TRAINABLE_DTYPES)
            candidates.append(StateDictCandidate(path=path, node=node, state_dict=state_dict, elements=elements))
    return candidates


def _dotted(path: KeyPath) -> str:
    return ".".join(key[:_MAX_KEY_LENGTH] for key in path)


def _walk(root: object) -> Iterator[tuple[KeyPath, object]]:
    """Visit every dict, list and object once, outer before inner, in the file's order.

    Raises:
        TargetError: there are more of them than a file of its size may have.
    """
    seen: set[int] = set()
    queue: list[tuple[KeyPath, object]] = [((), root)]
    while queue:
        path, node = queue.pop()
        if id(node) in seen or len(path) > _MAX_DEPTH:
            continue
        seen.add(id(node))
        work.spend(work.UNITS_PER_CONTAINER)
        yield path, node
        if _is_optimizer(node) or is_module(node):
            continue
        queue.extend(
            reversed([(child_path, child) for child_path, child in _children(path, node) if type(child) in _NESTING])
        )


def _children(path: KeyPath, node: object) -> Iterator[tuple[KeyPath, object]]:
    """List the values in a node with their paths. The values in an object have no keys: they get its path."""
    if isinstance(node, dict):
        yield from (((*path, str(name)), child) for name, child in node.items() if isinstance(name, str | int))
    elif isinstance(node, list | tuple):
        yield from (((*path, str(index)), child) for index, child in enumerate(node))
    elif type(node) is OpaqueObject:
        yield from ((path, part) for part in (node.items, attributes(node), node.elements, node.arguments) if part)


def _is_optimizer(node: object) -> bool:
    groups = _items_or_attributes(node).get("param_groups")
    return isinstance(groups, list) and all("params" in items_of(group) for group in groups[:_MAX_GROUPS_CHECKED])


def _items_or_attributes(node: object) -> Mapping[Any, object]:
    if type(node) is OpaqueObject and node.items is None:
        return attributes(node)
    return items_of(node)


def _optimizers(nodes: Sequence[tuple[KeyPath, object]]) -> tuple[SavedOptimizer, ...]:
    """List every optimizer state. They may share their groups, so that a short file can have millions of entries."""
    parents = {path: node for path, node in nodes if isinstance(node, dict)}
    optimizers = tuple(
        SavedOptimizer(
            name=_dotted(path) or "optimizer",
            content=unflatten(node) or _items_or_attributes(node),
            type=node.name.rpartition(".")[2] if type(node) is OpaqueObject and node.items is None else "",
            partitions=_partitions(parents.get(path[:-1], {})) if path else 0,
            # not isdisjoint, which looks at every key: a dict may hold thousands of optimizers
            has_master_weights=bool(path) and any(name in parents.get(path[:-1], {}) for name in MASTER_WEIGHTS),
        )
        for path, node in nodes
        if _is_optimizer(node) or unflatten(node)
    )
    counts = (count for optimizer in optimizers for count in _entry_counts(optimizer))
    for total in accumulate(counts):
        if total > _MAX_OPTIMIZER_ENTRIES:
            raise MalformedError(f"the groups of its optimizers have more than {_MAX_OPTIMIZER_ENTRIES:,} entries")
    return optimizers


def _partitions(node: Mapping[Any, object]) -> int:
    """Return into how many parts ZeRO has split the optimizer in a dict: the most parts of any param group."""
    counts = node.get("partition_count") if "zero_stage" in node else None
    numbers = [count for count in (counts if isinstance(counts, list) else [counts]) if type(count) is int]
    return max(numbers, default=0)


def _entry_counts(optimizer: SavedOptimizer) -> Iterator[int]:
    """Count the entries of each param group."""
    groups = optimizer.content.get("param_groups")
    for group in map(items_of, groups if isinstance(groups, list) else ()):
        params = group.get("params")
        yield 1 + len(group) + (len(params) if isinstance(params, list | tuple) else 0)


def _state_dict(node: object, script_parameters: Mapping[str, frozenset[str]]) -> NamedTensors:
    if type(node) is OpaqueObject and is_module(node) and not _is_optimizer(node):
        return flatten(node, script_parameters)
    if not isinstance(node, dict) or _is_optimizer(node) or unflatten(node):
        return NamedTensors(tensors={})
    tensors = {name: value for name, value in node.items() if type(value) is Tensor and type(name) is str}
    return NamedTensors(tensors=tensors, entry_count=len(node))


def _largest(candidates: Sequence[StateDictCandidate]) -> StateDictCandidate | None:
    """Choose the candidate with the most elements. Of a model and its copies (EMA, teacher), choose the model itself.

    The slots of an optimizer may have more elements than the model. They are chosen only if nothing else is there.
    """
    if not candidates:
        return None
    models = _with_most_tensors(candidates)
    candidates = [candidate for candidate in candidates if not _holds_slots(candidate, models)] or candidates
    most = max(candidate.elements for candidate in candidates)
    largest = [candidate for candidate in candidates if candidate.elements >= _COPY_SIZE * most]
    return next((candidate for candidate in largest if not any(map(_COPY_NAME.search, candidate.path))), largest[0])


def _holds_slots(candidate: StateDictCandidate, models: Sequence[StateDictCandidate]) -> bool:
    """Tell whether the tensors are slots of an optimizer: by their names, by their path, or by the names of a model.

    An optimizer of an unknown format may keep its slots in `state`, by the position or by the name of the parameter.

    Args:
        models: candidates that may be the model of the slots.
    """
    tensors, path = candidate.state_dict.tensors, candidate.path
    slots = sum(name.rpartition(".")[2] in SLOT_NAMES for name in tensors)
    if slots == len(tensors) or path[-1:] in {(slot,) for slot in SLOT_NAMES}:
        return True
    if path[-2:-1] == ("state",) and (path[-1].isdecimal() or any(_has(other, path[-1]) for other in models)):
        return True
    owners = {name.rpartition(".")[0] for name in tensors}
    return any(owners <= other.state_dict.tensors.keys() for other in models if other is not candidate)


def _with_most_tensors(candidates: Sequence[StateDictCandidate]) -> Sequence[StateDictCandidate]:
    return sorted(candidates, key=lambda candidate: -len(candidate.state_dict.tensors))[:_MAX_OTHERS]


def _has(candidate: StateDictCandidate, name: str) -> bool:
    return name in candidate.state_dict.tensors


def _whole_tree(
    chosen: StateDictCandidate | None,
    nodes: Sequence[tuple[KeyPath, object]],
    candidates: Sequence[StateDictCandidate],
) -> StateDictCandidate | None:
    """Return the whole model as one candidate, if it is saved in nested dicts, as Megatron does.

    A dict that holds only a `weight` or a `bias` is one layer. The model is the dict two levels above it:
    {"embedding": {"words": {"weight": ...}}, "encoder": ...}. Any other candidate is returned as it is.
    """
    roots = {
        candidate.path[:-2]
        for candidate in candidates
        if candidate.path[2:] and candidate.state_dict.tensors.keys() <= _LEAVES_OF_ONE_LAYER
    }
    parents = [path for path in roots if chosen and path == chosen.path[: len(path)]]
    if not parents:
        return chosen
    top = min(parents, key=len)
    tree = next(node for path, node in nodes if path == top and isinstance(node, dict))
    return StateDictCandidate(path=top, node=tree, state_dict=NamedTensors(tensors=_nested_tensors(tree)), elements=0)


def _at_key(
    key: str, nodes: Sequence[tuple[KeyPath, object]], candidates: Sequence[StateDictCandidate]
) -> StateDictCandidate:
    for candidate in candidates:
        if _dotted(candidate.path) == key:
            return candidate
    for path, node in nodes:
        if _dotted(path) == key and (tensors := _nested_tensors(node)):
            return StateDictCandidate(path=path, node=node, state_dict=NamedTensors(tensors=tensors), elements=0)
    keys = [_dotted(candidate.path) for candidate in candidates if candidate.path]
    nearest = get_close_matches(key[:64], [name[:64] for name in keys], n=1)
    hint = f"the file has state dicts at {_listed(keys)}" if keys else "the only state dict is at its root: omit --key"
    if nearest:
        hint = f"did you mean {nearest[0]!r}? {hint}"
    raise TargetError(f"there are no tensors at --key {key!r}", hint)


def _nested_tensors(node: object) -> dict[str, Tensor]:
    """Return every tensor in nested dicts by its dotted path."""
    return {
        _dotted((*path, name)): value
        for path, inner in _walk(node)
        if not _is_optimizer(inner)
        for name, value in (inner.items() if isinstance(inner, dict) else ())
        if isinstance(name, str) and type(value) is Tensor
    }


def _non_tensors(node: object) -> Mapping[str, str]:
    """Say what the entries are that are not tensors. Dicts and lists are left out: they are searched themselves."""
    return {
        name: f"an object of {value.name[:96]}" if type(value) is OpaqueObject and value.name else "not a tensor"
        for name, value in items_of(node).items()
        if type(value) is not Tensor and isinstance(name, str) and not isinstance(value, dict | list)
    }


def _choice_notes(chosen: StateDictCandidate, candidates: Sequence[StateDictCandidate]) -> tuple[str, ...]:
    models = _with_most_tensors(candidates)
    others = [
        _dotted(candidate.path)
        for candidate in _with_other_tensors(chosen, candidates)
        if candidate.path
        and candidate.path[-1] not in NO_STATE_DICTS
        and len(candidate.state_dict.tensors) > 1
        and not _holds_slots(candidate, models)
    ]
    if not others:
        return ()
    where = f"at {_dotted(chosen.path)[:96]!r}" if chosen.path else "at the root"
    return (f"the state dict {where} was read; the file also holds {_listed(others)}: choose one with --key",)


def _listed(keys: Sequence[str]) -> str:
    return first_few([repr(key[:96]) for key in keys], _MAX_SHOWN)
