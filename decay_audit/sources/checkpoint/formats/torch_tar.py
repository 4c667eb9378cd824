"""Read what `torch.save` wrote in 2016: a tar archive of `storages`, `tensors` and `pickle`. No tensor data is read."""

from collections.abc import Callable, Mapping
from struct import unpack_from

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import ITEM_SIZES, MalformedError, Storage, Tensor
from decay_audit.sources.checkpoint.formats.byte_source import FileStream, OpenFile
from decay_audit.sources.checkpoint.pickle.inert_values import Global, PickleResult
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import Machine

_BLOCK = 512
"""The size of a tar block in bytes: a header is one block, and each member fills whole blocks."""
_MAX_MEMBERS = 64
"""The most members that are looked at; a checkpoint has three."""
_MAX_ENTRIES = 100_000
"""The most storages, and the most tensors, that are read."""
_MAX_DIGITS = 20
"""Longer keys are not read as numbers."""


def read(file: OpenFile) -> PickleResult:
    """Read the three members of the archive.

    Raises:
        MalformedError: a member is damaged.
        TargetError: the archive has no torch checkpoint in it.
    """
    members = _members(file)
    if not {"storages", "tensors", "pickle"} <= members.keys():
        raise TargetError(
            f"{file.name} is a tar archive without a torch checkpoint in it", "unpack it and name the checkpoint"
        )
    opaque: dict[str, None] = {}
    storages = _storages(file, *members["storages"], opaque)
    tensors = _tensors(file, storages, *members["tensors"], opaque)
    root, _ = _interpret(file, *members["pickle"], {**storages, **tensors}, opaque)
    return PickleResult(root=root, opaque=tuple(opaque))


def _members(file: OpenFile) -> Mapping[str, tuple[int, int]]:
    """Return where each member begins and ends."""
    members: dict[str, tuple[int, int]] = {}
    position = 0
    while position + _BLOCK <= file.size and len(members) < _MAX_MEMBERS:
        header = file.read(position, _BLOCK)
        name = header[:100].split(b"\0")[0].decode("utf-8", "replace")
        if not name:
            break
        try:
            size = int(header[124:136].strip(b"\0 ") or b"0", 8)
        except ValueError as error:
            raise MalformedError("a header in the tar archive is malformed") from error
        if size < 0:
            raise MalformedError("a member of the tar archive has a negative size")
        position += _BLOCK
        members[name.removeprefix("./")] = (position, position + size)
        position += -(-size // _BLOCK) * _BLOCK  # rounded up to whole blocks
    return members


def _interpret(
    file: OpenFile,
    position: int,
    end: int,
    objects: Mapping[object, object],
    opaque: dict[str, None],
) -> tuple[object, int]:
    """Interpret one pickle at `position`, and return its value and the position after it.

    Args:
        objects: storages and tensors by the persistent ids that the pickle refers to.
        opaque: collects the names that are not on the allowlist.
    """
    stream = FileStream(file, position, end)
    machine = Machine(stream, persistent_load=_persistent_load(objects))
    value, after = interpret(machine, 0)
    opaque.update(dict.fromkeys(machine.opaque))
    return value, stream.position - len(machine.data) + after  # `after` counts from the first byte read


def _persistent_load(objects: Mapping[object, object]) -> Callable[[object], object]:
    def persistent_load(persistent_id: object) -> object:
        if isinstance(persistent_id, tuple):  # a module's class with its source: the pickle needs only the class
            return persistent_id[0]
        value = objects.get(_number(persistent_id))
        if value is None:
            raise MalformedError("its pickle refers to a tensor that the tar archive does not hold")
        return value

    return persistent_load


def _number(key: object) -> object:
    """Return a key of digits as a number, so that a key is found whether it is written as a text or as a number."""
    return int(key) if isinstance(key, str) and len(key) <= _MAX_DIGITS and key.isascii() and key.isdigit() else key


def _count(value: object) -> int:
    if type(value) is int and value > _MAX_ENTRIES:
        raise MalformedError(f"its tar archive claims more than {_MAX_ENTRIES:,} entries")
    if type(value) is not int or value < 0:
        raise MalformedError("its tar archive does not say how many tensors and storages it holds")
    return value


def _storages(file: OpenFile, position: int, end: int, opaque: dict[str, None]) -> Mapping[object, Storage]:
    storages: dict[object, Storage] = {}
    total, position = _interpret(file, position, end, {}, opaque)
    for _ in range(_count(total)):
        entry, position = _interpret(file, position, end, {}, opaque)
        match entry:
            case (int() | str() as key, _, Global() as storage_type) if storage_type.dtype in ITEM_SIZES:
                length = int.from_bytes(file.read(position, 8), "little", signed=True)
            case _:
                raise MalformedError("a storage in its tar archive is not a key, a device and a type")
        position += 8 + length * ITEM_SIZES[storage_type.dtype]
        if length < 0 or position > end:
            raise MalformedError(f"a storage in its tar archive claims {length} elements")
        storages[_number(key)] = Storage(key=str(key), dtype=storage_type.dtype, count=length)
    views, _ = _interpret(file, position, end, {}, opaque)
    return {**storages, **_views(views, storages)}


def _views(views: object, roots: Mapping[object, Storage]) -> Mapping[object, Storage]:
    """Make the storages that are a section of another storage, its root."""
    storages = {}
    for view in views if isinstance(views, list) else []:
        match view:
            case (key, root, int() as first, int() as count) if _number(root) in roots and first >= 0 and count >= 0:
                base = roots[_number(root)]
                storages[_number(key)] = Storage(key=base.key, dtype=base.dtype, count=count, first=first)
            case _:
                raise MalformedError(
                    "a storage view in its tar archive is not a key, a storage, an offset and a length"
                )
    return storages


def _tensors(
    file: OpenFile, storages: Mapping[object, Storage], position: int, end: int, opaque: dict[str, None]
) -> Mapping[object, Tensor]:
    tensors = {}
    total, position = _interpret(file, position, end, {}, opaque)
    for _ in range(_count(total)):
        entry, position = _interpret(file, position, end, {}, opaque)
        match entry:
            case (int() | str() as key, int() | str() as storage_key, _) if _number(storage_key) in storages:
                tensors[_number(key)], position = _tensor(file, position, storages[_number(storage_key)])
            case _:
                raise MalformedError("a tensor in its tar archive is not a key, a storage and a type")
    return tensors


def _tensor(file: OpenFile, position: int, storage: Storage) -> tuple[Tensor, int]:
    """Read the number of dimensions (8 bytes, 4 of them used), sizes, strides and offset."""
    dimensions = int.from_bytes(file.read(position, 4), "little", signed=True)
    if not 0 <= dimensions <= 64:
        raise MalformedError(f"a tensor in its tar archive claims {dimensions} dimensions")
    numbers = unpack_from(f"<{2 * dimensions + 1}q", file.read(position + 8, 16 * dimensions + 8))
    if min(numbers) < 0:
        raise MalformedError("a tensor in its tar archive has a negative size")
    tensor = Tensor(
        shape=numbers[:dimensions],
        dtype=storage.dtype,
        storage=storage,
        offset=numbers[-1] + storage.first,
        stride=numbers[dimensions:-1],
    )
    return tensor, position + 16 + 16 * dimensions
