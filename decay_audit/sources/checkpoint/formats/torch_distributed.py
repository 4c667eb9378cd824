"""`torch.distributed.checkpoint`: the `.metadata` of a folder describes all tensors; its `.distcp` files are not read.

Other values, such as an optimizer's weight_decay, are in the `.distcp` files.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from decay_audit.sources.checkpoint.contents import MalformedError, Tensor
from decay_audit.sources.checkpoint.formats.byte_source import FileStream, OpenFile
from decay_audit.sources.checkpoint.pickle.allowlist import read_shape
from decay_audit.sources.checkpoint.pickle.inert_values import Global, OpaqueObject, PickleResult
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import Machine
from decay_audit.sources.checkpoint.pickle.storages import storage_resolver
from decay_audit.sources.checkpoint.state_dict.pickled_modules import attributes

METADATA_MODULE: Final = "torch.distributed.checkpoint.metadata"
_MAX_DEPTH: Final = 32

_USUAL_NAMES: Final = frozenset(
    {
        *(
            f"{METADATA_MODULE}.{name}"
            for name in (
                *("Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
                *("TensorProperties", "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING"),
            )
        ),
        "torch.distributed.checkpoint.filesystem._StorageInfo",
        "torch.distributed.checkpoint._extension.StreamTransformExtension",
        *(f"pathlib.{name}" for name in ("PosixPath", "WindowsPath", "Path", "PurePosixPath", "PureWindowsPath")),
    }
)
"""Names that every metadata file refers to. They are full names: a prefix would let `pathlib.os.system` pass."""

_PARAM_GROUPS = re.compile(r"(?:^|\.)param_groups(?:\.|$)")
_OPTIMIZER_STATE = re.compile(r"(?:^|\.)optim\w*\.state\.")

KeyPath = tuple[str, ...]


def read(file: OpenFile) -> PickleResult:
    """Interpret the metadata, and nest its tensors as they were when they were saved.

    Raises:
        MalformedError: the pickle is damaged, or is not a metadata file.
    """
    machine = Machine(FileStream(file, 0, file.size), persistent_load=storage_resolver().persistent_load)
    root, _ = interpret(machine, 0)
    metadata = attributes(root) if type(root) is OpaqueObject else {}
    descriptions, paths = metadata.get("state_dict_metadata"), metadata.get("planner_data")
    if not isinstance(descriptions, dict):
        raise MalformedError("it is not the metadata of a distributed checkpoint")
    entries = [(_key_path(key, paths), value) for key, value in descriptions.items() if isinstance(key, str)]
    prefixes = _optimizer_prefixes([path for path, _ in entries])
    tensors = (
        (path, _tensor(value))
        for path, value in entries
        if type(value) is OpaqueObject and not _belongs_to_optimizer(path, prefixes)
    )
    return PickleResult(
        root=_nest((path, tensor) for path, tensor in tensors if tensor),
        opaque=tuple(name for name in machine.opaque if name not in _USUAL_NAMES),
        notes=("its optimizer state was not read: weight_decay is in the .distcp files, not in the metadata",)
        if prefixes
        else (),
    )


def _key_path(key: str, paths: object) -> KeyPath:
    """Return the keys that led to a tensor in the saved dict; its flat name if the metadata does not have them."""
    path = paths.get(key) if isinstance(paths, dict) else None
    if not isinstance(path, tuple) or not path or len(path) > _MAX_DEPTH:
        return (key,)
    return tuple(map(str, path)) if all(isinstance(part, str | int) for part in path) else (key,)


def _optimizer_prefixes(paths: list[KeyPath]) -> frozenset[str]:
    """Return the part before `param_groups` in the names of each optimizer."""
    matches = map(_PARAM_GROUPS.search, map(".".join, paths))
    return frozenset(match.string[: match.start()] for match in matches if match)


def _belongs_to_optimizer(path: KeyPath, prefixes: frozenset[str]) -> bool:
    name = ".".join(path)
    parts = name.split(".")
    parents = {".".join(parts[:depth]) for depth in range(1, min(len(parts), _MAX_DEPTH))}
    at_root = "" in prefixes and parts[0] == "state"
    return not parents.isdisjoint(prefixes) or at_root or _OPTIMIZER_STATE.search(name) is not None


def _tensor(description: OpaqueObject) -> Tensor | None:
    if description.name != f"{METADATA_MODULE}.TensorStorageMetadata":
        return None
    fields = attributes(description)
    properties = fields.get("properties")
    state = properties.state if type(properties) is OpaqueObject else None
    dtype = state[0] if isinstance(state, tuple) and state else None
    if type(dtype) is not Global or not dtype.dtype:
        raise MalformedError("a tensor in its metadata has no dtype")
    return Tensor(shape=read_shape(fields.get("size")), dtype=dtype.dtype)


def _nest(tensors: Iterator[tuple[KeyPath, Tensor]]) -> Mapping[Any, object]:
    root: dict[str, Any] = {}
    for path, tensor in tensors:
        inner = root
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
            if type(inner) is not dict:
                raise MalformedError("a tensor in its metadata has the name of a dict")
        inner[path[-1]] = tensor
    return root
