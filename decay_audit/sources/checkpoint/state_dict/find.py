"""The object in a checkpoint becomes named tensors and optimizer states, found by their shape, not by their name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from math import prod
from typing import Any, Final

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.optimizer_state.groups import entries
from decay_audit.sources.checkpoint.pickle.values import TRAINED, MalformedError, Opaque, Pickled, Saved, Table, Tensor
from decay_audit.sources.checkpoint.state_dict.deepspeed import completed
from decay_audit.sources.checkpoint.state_dict.pickled_modules import Flat, attributes, flatten, is_module, mapping
from decay_audit.text import first_few

MAX_DEPTH: Final = 32
MAX_ENTRIES: Final = 4_000_000
MAX_LOOKED: Final = 64
MAX_OPTIMIZERS: Final = 256
MAX_PAIRS: Final = 5_000_000
MAX_PART: Final = 256
MAX_RIVALS: Final = 16
_PEER: Final = 0.98  # a copy may lack a few counters of the original
_COPY = re.compile(r"(^|[_\-.])(s?ema|averaged?|avg|swa|shadow|teacher|target|momentum)\d*([_\-.]|$)", re.IGNORECASE)

_OF_A_MODULE: Final = frozenset({"weight", "bias"})
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
    candidates = _candidates(nodes, pickled.parameters)
    chosen = _at(key, nodes, candidates) if key else _whole(_largest(candidates), nodes, candidates)
    saved = _optimizers(nodes)
    if not (chosen or saved) and any(is_module(node) for _, node in nodes):
        packed = "the module in it has no parameters: those of quantized modules are packed, and not trained"
        raise MalformedError(packed, "name the checkpoint that was quantized")
    read = saved[: max(1, min(MAX_OPTIMIZERS, MAX_PAIRS // max(1, len(chosen.flat.tensors) if chosen else 1)))]
    beyond = (f"it holds {len(saved)} optimizer states; the first {len(read)} are read",) if read != saved else ()
    if chosen is None:
        return Table(tensors={}, saved=read, opaque=pickled.opaque, notes=(*pickled.notes, *beyond))
    above = next((node for path, node in nodes if path == chosen.path[:-1] and isinstance(node, dict)), {})
    flat = completed(chosen.flat, above) if chosen.path else chosen.flat
    return Table(
        tensors=flat.tensors,
        others=_others(chosen.node),
        buffers=flat.buffers,
        types=flat.types,
        saved=read,
        rivals=_rivals(chosen, candidates) if read else {},
        opaque=pickled.opaque,
        notes=(*_notes(chosen, candidates), *pickled.notes, *beyond),
    )


def _rivals(chosen: Candidate, candidates: Sequence[Candidate]) -> Mapping[str, Table]:
    others = sorted(_apart(chosen, candidates), key=lambda found: -found.numel)
    return {
        _dotted(found.path): Table(tensors=found.flat.tensors, buffers=found.flat.buffers, types=found.flat.types)
        for found in others[:MAX_RIVALS]
    }


def _apart(chosen: Candidate, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Give the candidates that hold something else than the chosen one and its parts."""
    held = {id(tensor) for tensor in chosen.flat.tensors.values()}
    for found in candidates:
        if found.path != chosen.path and any(id(tensor) not in held for tensor in found.flat.tensors.values()):
            yield found


def _candidates(nodes: Sequence[tuple[Path, object]], parameters: Mapping[str, frozenset[str]]) -> Sequence[Candidate]:
    found: list[Candidate] = []
    looked = 0
    for path, node in nodes:
        flat = _flat(node, parameters)
        looked += flat.looked
        if looked > MAX_ENTRIES:
            raise MalformedError(f"its modules and state dicts have more than {MAX_ENTRIES} entries")
        if flat.tensors:
            numel = sum(prod(it.shape) for it in flat.tensors.values() if it.dtype in TRAINED)
            found.append(Candidate(path=path, node=node, flat=flat, numel=numel))
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
        waiting.extend(reversed([(place, child) for place, child in _below(path, node) if type(child) in _NESTING]))


def _below(path: Path, node: object) -> Iterator[tuple[Path, object]]:
    """Give what a node holds; an opaque value's parts, which others may share, are at its own place."""
    if isinstance(node, dict):
        yield from (((*path, str(name)), child) for name, child in node.items() if isinstance(name, str | int))
    elif isinstance(node, list | tuple):
        yield from (((*path, str(index)), child) for index, child in enumerate(node))
    elif type(node) is Opaque:
        yield from ((path, part) for part in (node.items, attributes(node), node.elements, node.arguments) if part)


def _is_optimizer(node: object) -> bool:
    held = _mapping(node)
    groups = held.get("param_groups")
    return isinstance(groups, list) and all("params" in mapping(group) for group in groups[:MAX_LOOKED])


def _mapping(node: object) -> Mapping[Any, object]:
    if type(node) is Opaque and node.items is None:
        return attributes(node)
    return mapping(node)


def _optimizers(nodes: Sequence[tuple[Path, object]]) -> tuple[Saved, ...]:
    """Take every optimizer state; those that share their groups are held to what a file can honestly hold of them."""
    found = tuple(
        Saved(
            name=_dotted(path) or "optimizer",
            content=_mapping(node),
            type=node.name.rpartition(".")[2] if type(node) is Opaque and node.items is None else "",
        )
        for path, node in nodes
        if _is_optimizer(node)
    )
    if any(total > MAX_ENTRIES for total in accumulate(count for saved in found for count in entries(saved))):
        raise MalformedError(f"the groups of its optimizers have more than {MAX_ENTRIES} entries")
    return found


def _flat(node: object, parameters: Mapping[str, frozenset[str]]) -> Flat:
    if type(node) is Opaque and is_module(node) and not _is_optimizer(node):
        return flatten(node, parameters)
    if not isinstance(node, dict) or _is_optimizer(node):
        return Flat(tensors={})
    tensors = {name: it for name, it in node.items() if type(it) is Tensor and type(name) is str}
    return Flat(tensors=tensors, looked=len(node))


def _largest(candidates: Sequence[Candidate]) -> Candidate | None:
    """Take the one with the most elements; of copies of a model (EMA, teacher) the original."""
    if not candidates:
        return None
    most = max(found.numel for found in candidates)
    peers = [found for found in candidates if found.numel >= _PEER * most]
    return next((found for found in peers if not any(map(_COPY.search, found.path))), peers[0])


def _whole(
    chosen: Candidate | None, nodes: Sequence[tuple[Path, object]], candidates: Sequence[Candidate]
) -> Candidate | None:
    """Take the tree that holds the chosen one, where it nests its modules as Megatron's models do.

    A dict of a `weight` alone, two steps down, is no model: {"embedding": {"words": {"weight": ...}}, "encoder": ...}.
    """
    roots = {found.path[:-2] for found in candidates if found.path[2:] and found.flat.tensors.keys() <= _OF_A_MODULE}
    above = [path for path in roots if chosen and path == chosen.path[: len(path)]]
    if not above:
        return chosen
    top = min(above, key=len)
    tree = next(node for path, node in nodes if path == top and isinstance(node, dict))
    return Candidate(path=top, node=tree, flat=Flat(tensors=_tree(tree)), numel=0)


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
    listed = (
        f"it holds {first_few([repr(name[:96]) for name in known], 5)}"
        if known
        else "it holds one state dict, at its root"
    )
    raise TargetError(f"no tensors at --key {key!r}", f"did you mean {near[0]!r}? {listed}" if near else listed)


def _tree(node: object) -> dict[str, Tensor]:
    """Name every tensor below a node of nested dicts by its dotted path."""
    return {
        _dotted((*path, name)): value
        for path, inner in _walk(node)
        if not _is_optimizer(inner)
        for name, value in (inner.items() if isinstance(inner, dict) else ())
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
    others = [found for found in _apart(chosen, candidates) if found.path and len(found.flat.tensors) > 1]
    if not others:
        return ()
    listed = first_few([repr(_dotted(found.path)[:96]) for found in others], 5)
    where = f"at {_dotted(chosen.path)[:96]!r}" if chosen.path else "at the root"
    return (f"the state dict {where} was read; the file also holds {listed}: choose with --key",)
