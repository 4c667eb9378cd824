"""`torch.distributed.checkpoint`: the `.metadata` of a folder names all tensors; the `.distcp` files are not read.

Values that are no tensors, such as an optimizer's settings, are in the `.distcp` files: of those nothing is said.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from decay_audit.sources.checkpoint.formats.byte_source import Opened, Stream
from decay_audit.sources.checkpoint.pickle.allowlist import shape_of
from decay_audit.sources.checkpoint.pickle.machine import Machine, run
from decay_audit.sources.checkpoint.pickle.opcodes import TABLE
from decay_audit.sources.checkpoint.pickle.storages import resolver
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Name, Opaque, Pickled, Tensor
from decay_audit.sources.checkpoint.state_dict.pickled_modules import attributes

CLASSES: Final = "torch.distributed.checkpoint.metadata"
MAX_DEPTH: Final = 32

_OWN: Final = ("torch.distributed.checkpoint.", "pathlib.")
"""What every metadata names: its own classes, and the folder that it was written to."""

_GROUPS = re.compile(r"(?:^|\.)param_groups(?:\.|$)")
_STATES = re.compile(r"(?:^|\.)optim\w*\.state\.")

Path = tuple[str, ...]


def read(opened: Opened) -> Pickled:
    """Interpret the metadata, and nest its tensors as they were when they were saved.

    Raises:
        MalformedError: the pickle is damaged, or is no metadata.
    """
    machine = Machine(Stream(opened, 0, opened.size), persistent=resolver().persistent)
    root, _ = run(machine, 0, TABLE)
    held = attributes(root) if type(root) is Opaque else {}
    described, paths = held.get("state_dict_metadata"), held.get("planner_data")
    if not isinstance(described, dict):
        raise MalformedError("it is not the metadata of a distributed checkpoint")
    placed = [(_path(key, paths), value) for key, value in described.items() if isinstance(key, str)]
    before = _optimizers([path for path, _ in placed])
    tensors = [(path, it) for path, it in placed if type(it) is Opaque and not _is_of_optimizer(path, before)]
    return Pickled(
        root=_nested((path, found) for path, it in tensors if (found := _tensor(it))),
        opaque=tuple(name for name in machine.opaque if not name.startswith(_OWN)),
        notes=("what its optimizer decayed is in the .distcp files, which are not read",) if before else (),
    )


def _path(key: str, paths: object) -> Path:
    """Give where a tensor was in the dict that was saved; its flat name, where the metadata does not say."""
    path = paths.get(key) if isinstance(paths, dict) else None
    if not isinstance(path, tuple) or not path or len(path) > MAX_DEPTH:
        return (key,)
    return tuple(map(str, path)) if all(isinstance(part, str | int) for part in path) else (key,)


def _optimizers(paths: list[Path]) -> frozenset[str]:
    """Give what stands before the `param_groups` of each optimizer."""
    found = ((name, _GROUPS.search(name)) for name in map(".".join, paths))
    return frozenset(name[: match.start()] for name, match in found if match)


def _is_of_optimizer(path: Path, before: frozenset[str]) -> bool:
    name = ".".join(path)
    parts = name.split(".")
    above = {".".join(parts[:depth]) for depth in range(1, min(len(parts), MAX_DEPTH))}
    return not above.isdisjoint(before) or ("" in before and parts[0] == "state") or _STATES.search(name) is not None


def _tensor(described: Opaque) -> Tensor | None:
    if described.name != f"{CLASSES}.TensorStorageMetadata":
        return None
    held = attributes(described)
    properties = held.get("properties")
    state = properties.state if type(properties) is Opaque else None
    kind = state[0] if isinstance(state, tuple) and state else None
    if type(kind) is not Name or not kind.dtype:
        raise MalformedError("a tensor of its metadata has no type")
    return Tensor(shape=shape_of(held.get("size")), dtype=kind.dtype)


def _nested(tensors: Iterator[tuple[Path, Tensor]]) -> Mapping[Any, object]:
    root: dict[str, Any] = {}
    for path, tensor in tensors:
        inner = root
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
            if type(inner) is not dict:
                raise MalformedError("a tensor of its metadata lies within another")
        inner[path[-1]] = tensor
    return root
