"""The persistent ids of torch's pickles become storages: a key, a type and a length, never the data."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from decay_audit.sources.checkpoint.pickle.allowlist import MAX_ELEMENTS
from decay_audit.sources.checkpoint.pickle.values import ITEM_SIZES, MalformedError, Name, Storage

Persistent = Callable[[object], object]
Make = Callable[[Name, str, int], Storage]


class Resolver(Struct, frozen=True, kw_only=True, eq=False):
    """The way from persistent ids to storages.

    Attributes:
        persistent: gives the storage of a whole id.
        storage: gives the storage of a type, a key and a length: the same one each time.
        made: the storages by key that were given so far.
    """

    persistent: Persistent
    storage: Make
    made: Mapping[str, Storage]


def resolver(length: Callable[[str], int | None] | None = None) -> Resolver:
    """Make the functions that give storages.

    Args:
        length: gives the bytes that the file holds for a key, None for a key that it lacks; without it that cannot be
            known yet.
    """
    made: dict[str, Storage] = {}

    def storage(kind: Name, key: str, count: int) -> Storage:
        known = made.get(key)
        if known is None or known.dtype != kind.dtype:
            known = made[key] = _storage(kind, key, count)
            if length is not None:
                _check(known, length(key))
        return known

    def persistent(saved: object) -> object:
        match saved:
            case ("storage", Name() as kind, str() as key, _, int() as count, *view):
                known = storage(kind, key, count)
                return _viewed(known, view[0]) if view and isinstance(view[0], tuple) else known
            case ("module", kind, *_):
                return kind
            case _:
                raise MalformedError("a persistent id of the pickle is neither a storage nor a module")

    return Resolver(persistent=persistent, storage=storage, made=made)


def _storage(kind: Name, key: str, count: int) -> Storage:
    if not kind.dtype or not 0 <= count <= MAX_ELEMENTS:
        raise MalformedError(f"storage {key[:32]!r} has an unknown type or an impossible length")
    return Storage(key=key, dtype=kind.dtype, count=count)


def _check(storage: Storage, held: int | None) -> None:
    needed = (storage.count or 0) * ITEM_SIZES.get(storage.dtype, 1)
    if held is None:
        raise MalformedError(f"the data of storage {storage.key[:32]!r} is missing")
    if held < needed:
        raise MalformedError(f"the data of storage {storage.key[:32]!r} is {held} bytes; its tensors need {needed}")


def _viewed(root: Storage, view: tuple[object, ...]) -> Storage:
    """Read the legacy form's view into a larger storage: (key, first element, count)."""
    match view:
        case (_, int() as first, int() as count) if 0 <= first <= MAX_ELEMENTS and 0 <= count <= MAX_ELEMENTS:
            return Storage(key=root.key, dtype=root.dtype, count=count, first=first)
        case _:
            raise MalformedError("a storage's view is not a key, an offset and a length")
