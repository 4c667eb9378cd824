"""The object in a checkpoint becomes named tensors and optimizer states, found by their shape, not by their name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import prod
from typing import Any, Final

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.modules import Flat, attributes, flatten, is_module, mapping
from decay_audit.sources.checkpoint.values import MalformedError, Opaque, Pickled, Saved, Table, Tensor

MAX_DEPTH: Final = 32
MAX_TENSORS: Final = 2_000_000
MAX_PART: Final = 256
MAX_RIVALS: Final = 16
_PEER: Final = 0.98  # a copy may lack a few counters of the original
_COPY = re.compile(r"(^|[_\-.])(s?ema|averaged?|avg|swa|shadow|teacher|target|momentum)\d*([_\-.]|$)", re.IGNORECASE)

_NESTING: Final = frozenset({dict, list, tuple, Opaque})

Path = tuple[str, ...]


class Candidate(Struct, frozen=True, kw_only=True):
    """A state dict, or a module, and where it is."""

    path: Path
    node: object
    flat: Flat
    numel: int


def table(pickled: Pickled, key: str | None) -> Table:
    """Take the largest state dict, or the one at `key`, and every optimizer state.

    Raises:
        TargetError: there is nothing at `key`.
    """
    nodes = list(_walk(pickled.root))
    candidates = _candidates(nodes)
    saved = tuple(found for path, node in nodes if (found := _saved(path, node)))
    chosen = _at(key, nodes, candidates) if key else _largest(candidates)
    if chosen is None:
        return Table(tensors={}, saved=saved, opaque=pickled.opaque)
    return Table(
        tensors=chosen.flat.tensors,
        others=_others(chosen.node),
        buffers=chosen.flat.buffers,
        types=chosen.flat.types,
        saved=saved,
        rivals=_rivals(chosen, candidates) if saved else {},
        opaque=pickled.opaque,
        notes=_notes(chosen, candidates),
    )


def _rivals(chosen: Candidate, candidates: Sequence[Candidate]) -> Mapping[str, Table]:
    others = sorted((found for found in candidates if found.path != chosen.path), key=lambda found: -found.numel)
    return {
        _dotted(found.path): Table(tensors=found.flat.tensors, buffers=found.flat.buffers, types=found.flat.types)
        for found in others[:MAX_RIVALS]
    }


def _candidates(nodes: Sequence[tuple[Path, object]]) -> Sequence[Candidate]:
    found: list[Candidate] = []
    total = 0
    for path, node in nodes:
        if candidate := _candidate(path, node):
            found.append(candidate)
            total += len(candidate.flat.tensors)
        if total > MAX_TENSORS:
            raise MalformedError(f"it names more than {MAX_TENSORS} tensors")
    return found


def _dotted(path: Path) -> str:
    return ".".join(part[:MAX_PART] for part in path)


def _walk(root: object) -> Iterator[tuple[Path, object]]:
    """Visit every mapping, list and opaque value once, outer before inner, in the file's order."""
    seen: set[int] = set()
    waiting: list[tuple[Path, object]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen or len(path) > MAX_DEPTH:
            continue
        seen.add(id(node))
        yield path, node
        if _is_optimizer(node) or is_module(node):
            continue
        below = [((*path, name), child) for name, child in _below(node) if type(child) in _NESTING]
        waiting.extend(reversed(below))


def _below(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        yield from ((str(name), child) for name, child in node.items() if isinstance(name, str | int))
    elif isinstance(node, list | tuple):
        yield from ((str(index), child) for index, child in enumerate(node))
    elif type(node) is Opaque:
        for part in (node.items, attributes(node)):
            yield from _below(part)
        yield from _below(node.elements)
        yield from _below(node.arguments)


def _is_optimizer(node: object) -> bool:
    held = _mapping(node)
    groups = held.get("param_groups")
    return isinstance(groups, list) and all("params" in mapping(group) for group in groups)


def _mapping(node: object) -> Mapping[Any, object]:
    if type(node) is Opaque and node.items is None:
        return attributes(node)
    return mapping(node)


def _saved(path: Path, node: object) -> Saved | None:
    if not _is_optimizer(node):
        return None
    return Saved(
        name=_dotted(path) or "optimizer",
        content=_mapping(node),
        type=node.name.rpartition(".")[2] if type(node) is Opaque and node.items is None else "",
    )


def _candidate(path: Path, node: object) -> Candidate | None:
    if _is_optimizer(node):
        return None
    if is_module(node) and type(node) is Opaque:
        flat = flatten(node)
    else:
        held = mapping(node)
        flat = Flat(tensors={name: it for name, it in held.items() if type(it) is Tensor and type(name) is str})
    if not flat.tensors:
        return None
    return Candidate(path=path, node=node, flat=flat, numel=sum(prod(it.shape) for it in flat.tensors.values()))


def _largest(candidates: Sequence[Candidate]) -> Candidate | None:
    """Take the one with the most elements; of copies of a model (EMA, teacher) the original."""
    if not candidates:
        return None
    most = max(found.numel for found in candidates)
    peers = [found for found in candidates if found.numel >= _PEER * most]
    return next((found for found in peers if not any(map(_COPY.search, found.path))), peers[0])


def _at(key: str, nodes: Sequence[tuple[Path, object]], candidates: Sequence[Candidate]) -> Candidate:
    for found in candidates:
        if _dotted(found.path) == key:
            return found
    for path, node in nodes:
        if _dotted(path) == key and (tensors := _tree(node)):
            flat = Flat(tensors=tensors)
            return Candidate(path=path, node=node, flat=flat, numel=0)
    known = [_dotted(found.path) for found in candidates if found.path]
    near = get_close_matches(key[:64], [name[:64] for name in known], n=1)
    listed = f"it holds {_listed(known)}" if known else "it holds one state dict, at its root"
    raise TargetError(f"no tensors at --key {key!r}", f"did you mean {near[0]!r}? {listed}" if near else listed)


def _tree(node: object) -> dict[str, Tensor]:
    """Name every tensor below a node of nested dicts by its dotted path."""
    return {
        _dotted((*path, name)): value
        for path, inner in _walk(node)
        if not _is_optimizer(inner)
        for name, value in mapping(inner).items()
        if isinstance(name, str) and type(value) is Tensor
    }


def _others(node: object) -> Mapping[str, str]:
    """Name what a state dict holds besides tensors, and not counting what is read on its own."""
    return {
        name: f"an object of {value.name[:96]}" if type(value) is Opaque and value.name else "not a tensor"
        for name, value in mapping(node).items()
        if type(value) is not Tensor and isinstance(name, str) and not isinstance(value, dict | list)
    }


def _notes(chosen: Candidate, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    others = [found for found in candidates if found.path != chosen.path and found.path and len(found.flat.tensors) > 1]
    if not others:
        return ()
    listed = _listed([_dotted(found.path) for found in others])
    where = f"at {_dotted(chosen.path)[:96]!r}" if chosen.path else "at the root"
    return (f"the state dict {where} was read; the file also holds {listed}: choose with --key",)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(repr(name[:96]) for name in names[:5]) + more
