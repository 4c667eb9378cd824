"""`torch.save` of 2016, a tar of `storages`, `tensors` and `pickle`: lengths and shapes are read, data is skipped."""

from collections.abc import Callable, Mapping
from struct import unpack_from

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.formats.byte_source import Opened, Stream
from decay_audit.sources.checkpoint.pickle.machine import Machine, run
from decay_audit.sources.checkpoint.pickle.opcodes import TABLE
from decay_audit.sources.checkpoint.pickle.values import ITEM_SIZES, MalformedError, Name, Pickled, Storage, Tensor

_BLOCK = 512
_MAX_MEMBERS = 64
_MAX_OBJECTS = 100_000


def read(opened: Opened) -> Pickled:
    """Interpret the three members.

    Raises:
        MalformedError: a member is damaged.
        TargetError: it is a tar of something else.
    """
    members = _members(opened)
    if not {"storages", "tensors", "pickle"} <= members.keys():
        raise TargetError(
            f"{opened.name} is a tar archive without a torch checkpoint in it", "unpack it and name the checkpoint"
        )
    known: dict[object, object] = dict(_storages(opened, *members["storages"]))
    known |= _tensors(opened, known, *members["tensors"])
    opaque: dict[str, None] = {}
    root, _ = _load(opened, *members["pickle"], known.get, opaque)
    return Pickled(root=root, opaque=tuple(opaque))


def _members(opened: Opened) -> Mapping[str, tuple[int, int]]:
    """List where each member begins and ends."""
    found: dict[str, tuple[int, int]] = {}
    at = 0
    while at + _BLOCK <= opened.size and len(found) < _MAX_MEMBERS:
        header = opened.read(at, _BLOCK)
        name = header[:100].split(b"\0")[0].decode("utf-8", "replace")
        if not name:
            break
        try:
            size = int(header[124:136].strip(b"\0 ") or b"0", 8)
        except ValueError as error:
            raise MalformedError("a header of the tar archive is malformed") from error
        at += _BLOCK
        found[name.removeprefix("./")] = (at, at + size)
        at += -(-size // _BLOCK) * _BLOCK
    return found


def _load(
    opened: Opened,
    at: int,
    end: int,
    persistent: Callable[[object], object] | None = None,
    opaque: dict[str, None] | None = None,
) -> tuple[object, int]:
    """Interpret one pickle at `at`, and return its value and the position after it."""
    stream = Stream(opened, at, end)
    machine = Machine(stream, persistent=_persistent(persistent))
    value, after = run(machine, 0, TABLE)
    if opaque is not None:
        opaque.update(dict.fromkeys(machine.opaque))
    return value, stream.at - len(machine.data) + after


def _persistent(known: Callable[[object], object] | None) -> Callable[[object], object]:
    def resolve(saved: object) -> object:
        if isinstance(saved, tuple):
            return saved[0]
        found = known(_number(saved)) if known else None
        if found is None:
            raise MalformedError("the pickle refers to a tensor that the archive does not hold")
        return found

    return resolve


def _number(key: object) -> object:
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else key


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_OBJECTS:
        raise MalformedError("the archive does not say how many objects it holds")
    return value


def _storages(opened: Opened, at: int, end: int) -> Mapping[object, Storage]:
    found: dict[object, Storage] = {}
    total, at = _load(opened, at, end)
    for _ in range(_count(total)):
        entry, at = _load(opened, at, end)
        match entry:
            case (int() | str() as key, _, Name() as kind) if kind.dtype in ITEM_SIZES:
                length = int.from_bytes(opened.read(at, 8), "little", signed=True)
            case _:
                raise MalformedError("a storage of the archive is not a key, a place and a type")
        at += 8 + length * ITEM_SIZES[kind.dtype]
        if length < 0 or at > end:
            raise MalformedError(f"a storage of the archive claims {length} elements")
        found[_number(key)] = Storage(key=str(key), dtype=kind.dtype, count=length)
    views, _ = _load(opened, at, end)
    return {**found, **_views(views, found)}


def _views(views: object, roots: Mapping[object, Storage]) -> Mapping[object, Storage]:
    found = {}
    for view in views if isinstance(views, list) else []:
        match view:
            case (key, root, int() as first, int() as count) if _number(root) in roots and first >= 0 <= count:
                base = roots[_number(root)]
                found[_number(key)] = Storage(key=base.key, dtype=base.dtype, count=count, first=first)
            case _:
                raise MalformedError("a view of the archive is not a key, a storage, an offset and a length")
    return found


def _tensors(opened: Opened, known: Mapping[object, object], at: int, end: int) -> Mapping[object, Tensor]:
    found = {}
    total, at = _load(opened, at, end)
    for _ in range(_count(total)):
        entry, at = _load(opened, at, end)
        match entry:
            case (int() | str() as key, int() | str() as holder, _) if type(known.get(_number(holder))) is Storage:
                found[_number(key)], at = _tensor(opened, at, known[_number(holder)])
            case _:
                raise MalformedError("a tensor of the archive is not a key, a storage and a type")
    return found


def _tensor(opened: Opened, at: int, storage: object) -> tuple[Tensor, int]:
    """Read number of dimensions (8 bytes, 4 of them used), sizes, strides and offset."""
    dimensions = int.from_bytes(opened.read(at, 4), "little", signed=True)
    if not 0 <= dimensions <= 64 or type(storage) is not Storage:
        raise MalformedError(f"a tensor of the archive claims {dimensions} dimensions")
    numbers = unpack_from(f"<{2 * dimensions + 1}q", opened.read(at + 8, 16 * dimensions + 8))
    if min(numbers) < 0:
        raise MalformedError("a tensor of the archive has a negative size")
    tensor = Tensor(
        shape=numbers[:dimensions],
        dtype=storage.dtype,
        storage=storage,
        offset=numbers[-1] + storage.first,
        stride=numbers[dimensions:-1],
    )
    return tensor, at + 16 + 16 * dimensions
