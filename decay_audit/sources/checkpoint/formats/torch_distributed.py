"""`torch.distributed.checkpoint`: the `.metadata` of a folder describes all tensors, which are in its `.distcp` files.

Of these files only the settings of optimizers are read: each is a small file of torch.save.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any, Final

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import MalformedError, Tensor
from decay_audit.sources.checkpoint.formats.byte_source import FileStream, OpenFile, open_file
from decay_audit.sources.checkpoint.pickle.allowlist import read_shape
from decay_audit.sources.checkpoint.pickle.inert_values import Global, OpaqueObject, PickleResult
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import Machine
from decay_audit.sources.checkpoint.pickle.storages import storage_resolver
from decay_audit.sources.checkpoint.state_dict.pickled_modules import attributes

METADATA_MODULE: Final = "torch.distributed.checkpoint.metadata"
"""The module of the classes in a metadata file."""
_MAX_DEPTH: Final = 32
"""The most keys on the way from the saved dict to a tensor."""

METADATA_NAMES: Final = frozenset(
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

# Names of the settings, and of the state, of an optimizer in the metadata.
_PARAM_GROUPS = re.compile(r"(?:^|\.)param_groups(?:\.|$)")
_OPTIMIZER_STATE = re.compile(r"(?:^|\.)optim\w*\.state\.")

_MAX_SETTINGS: Final = 200_000
"""The most settings of param groups that are read."""
_MAX_FILES: Final = 256
"""The most files that settings are read from."""
_MAX_SETTING_BYTES: Final = 1 << 20
"""The largest setting that is read: some are lists of names."""

KeyPath = tuple[str, ...]
ReadValue = Callable[[OpenFile], PickleResult]
"""Reads a value that torch.save has written."""


def read(file: OpenFile, read_value: ReadValue) -> PickleResult:
    """Interpret the metadata, nest its tensors as they were when they were saved, and read the optimizers' settings.

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
    root_dict = _nest((path, tensor) for path, tensor in tensors if tensor)
    try:
        optimizers, opaque = _optimizers(file, entries, prefixes, metadata.get("storage_data"), read_value)
        notes: tuple[str, ...] = ()
    except TargetError as error:
        optimizers, opaque, notes = {}, (), (f"its optimizer state was not read: {error.message}",)
    return PickleResult(
        root={**root_dict, **{name: content for name, content in optimizers.items() if name not in root_dict}},
        opaque=(*(name for name in machine.opaque if name not in METADATA_NAMES), *opaque),
        notes=notes,
    )


def _optimizers(
    file: OpenFile,
    entries: Sequence[tuple[KeyPath, object]],
    prefixes: frozenset[str],
    storage: object,
    read_value: ReadValue,
) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Return the state dict of each optimizer by its name, nested or flat; and the opaque names in them.

    Raises:
        TargetError: a setting cannot be read.
    """
    optimizers: dict[str, dict[str, Any]] = {prefix: {} for prefix in prefixes}
    settings: dict[tuple[str, str], str] = {}
    longest_first = sorted(prefixes, key=len, reverse=True)
    for path, description in entries:
        name = ".".join(path)
        prefix = next((prefix for prefix in longest_first if not prefix or name.startswith(f"{prefix}.")), None)
        if prefix is None:
            continue
        key = name[len(prefix) :].lstrip(".")
        if type(description) is OpaqueObject and (tensor := _tensor(description)) is not None:
            optimizers[prefix][key] = tensor
        elif key.startswith("param_groups."):
            settings[prefix, key] = name
    storage_infos = _storage_infos(storage, frozenset(settings.values()))
    with ExitStack() as stack:
        values = _Settings(file, stack, read_value)
        for (prefix, key), name in settings.items():
            optimizers[prefix][key] = values.read(storage_infos.get(name), name)
        opaque = values.opaque
    return {prefix or "optimizer": _nested_optimizer(flat) for prefix, flat in optimizers.items()}, opaque


def _nested_optimizer(flat: Mapping[str, Any]) -> Mapping[str, object]:
    """Return `state` and `param_groups` if groups have numbers; groups by name stay flat."""
    groups: dict[int, dict[str, object]] = {}
    states: dict[object, dict[str, object]] = {}
    for key, value in flat.items():
        kind, _, rest = key.partition(".")
        member, _, last = rest.rpartition(".") if kind == "state" else rest.partition(".")
        if kind == "param_groups" and not (member.isdecimal() and "." not in last):
            return flat
        if kind == "param_groups":
            groups.setdefault(int(member), {})[last] = value
        elif kind == "state":
            states.setdefault(int(member) if member.isdecimal() else member, {})[last] = value
    return {"state": states, "param_groups": [groups[number] for number in sorted(groups)]}


def _storage_infos(storage: object, names: Collection[str]) -> Mapping[str, OpaqueObject]:
    """Find where the values of these names are stored."""
    if not isinstance(storage, dict) or len(names) > _MAX_SETTINGS:
        return {}
    storage_infos = {}
    for index, storage_info in storage.items():
        name = attributes(index).get("fqn") if type(index) is OpaqueObject else None
        if isinstance(name, str) and name in names and type(storage_info) is OpaqueObject:
            storage_infos[name] = storage_info
    return storage_infos


class _Settings:
    """Reads settings from the files of a folder. Equal bytes are read once: most settings are equal."""

    def __init__(self, metadata: OpenFile, stack: ExitStack, read_value: ReadValue) -> None:
        self._folder = metadata.folder
        self._stack = stack
        self._read_value = read_value
        self._files: dict[str, OpenFile] = {}
        self._values: dict[bytes, PickleResult] = {}

    def read(self, storage_info: OpaqueObject | None, name: str) -> object:
        """Read the value that torch's metadata puts at this file and offset.

        Raises:
            TargetError: the file is not in the folder, or has no value there that can be read.
        """
        if storage_info is None:
            raise MalformedError(f"{name[:96]!r} has no place in the metadata")
        fields = attributes(storage_info)
        match fields:
            case {"length": int() as length} if length > _MAX_SETTING_BYTES:
                raise MalformedError(f"{name[:96]!r} is larger than {_MAX_SETTING_BYTES:,} bytes")
            case {"relative_path": str() as path, "offset": int() as at, "length": int() as length} if not fields.get(
                "transform_descriptors"
            ):
                part = self._file(path).part(at, length)
            case _:
                raise MalformedError(f"{name[:96]!r} is stored in a form that is not read")
        content = part.read(0, length)
        if content not in self._values:
            self._values[content] = self._read_value(part)
        return self._values[content].root

    @property
    def opaque(self) -> tuple[str, ...]:
        """The names in all values that are not on the allowlist."""
        return tuple(name for value in self._values.values() for name in value.opaque)

    def _file(self, path: str) -> OpenFile:
        if path not in self._files:
            parts = PurePosixPath(path).parts
            if len(parts) != 1 or parts[0] in ("/", "..") or "\\" in path:
                raise MalformedError(f"its metadata names {path[:96]!r}, which is not a file in its folder")
            if len(self._files) >= _MAX_FILES:
                raise MalformedError(f"its settings are in more than {_MAX_FILES} files")
            self._files[path] = self._stack.enter_context(open_file(self._folder / path, path))
        return self._files[path]


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
    """Whether a tensor is a state of an optimizer: its keys begin with an optimizer's prefix, or name such a state."""
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
