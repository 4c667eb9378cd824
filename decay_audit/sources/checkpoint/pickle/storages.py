"""Make storages from the persistent ids in torch's pickles: a key, a dtype and a length, never the data."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from decay_audit.sources.checkpoint.contents import ITEM_SIZES, MalformedError, Storage
from decay_audit.sources.checkpoint.pickle.allowlist import MAX_ELEMENTS
from decay_audit.sources.checkpoint.pickle.inert_values import Global


class StorageResolver(Struct, frozen=True, kw_only=True, eq=False):
    """Makes the storages of one file; a key that comes again with the same dtype is not made again.

    Attributes:
        persistent_load: returns the storage of a persistent id, as `pickle.Unpickler.persistent_load` does.
        make_storage: returns the storage of a storage class, a key and a length.
        by_key: the storages made so far.
    """

    persistent_load: Callable[[object], object]
    make_storage: Callable[[Global, str, int], Storage]
    by_key: Mapping[str, Storage]


def storage_resolver(byte_count: Callable[[str], int | None] | None = None) -> StorageResolver:
    """Make the functions that return storages.

    Args:
        byte_count: returns how many bytes the file has for a key, None for a key that it lacks. Without this function,
            the sizes of storages are not checked.
    """
    by_key: dict[str, Storage] = {}

    def make_storage(storage_type: Global, key: str, count: int) -> Storage:
        storage = by_key.get(key)
        if storage is None or storage.dtype != storage_type.dtype:
            storage = by_key[key] = _new_storage(storage_type, key, count)
            if byte_count is not None:
                _check_size(storage, byte_count(key))
        return storage

    def persistent_load(persistent_id: object) -> object:
        match persistent_id:
            case ("storage", Global() as storage_type, str() as key, _, int() as count, *view):
                storage = make_storage(storage_type, key, count)
                return _view(storage, view[0]) if view and isinstance(view[0], tuple) else storage
            case ("module", module_type, *_):
                return module_type
            case _:
                raise MalformedError("a persistent id in its pickle is neither a storage nor a module")

    return StorageResolver(persistent_load=persistent_load, make_storage=make_storage, by_key=by_key)


def _new_storage(storage_type: Global, key: str, count: int) -> Storage:
    if not storage_type.dtype or not 0 <= count <= MAX_ELEMENTS:
        raise MalformedError(f"its storage {key[:32]!r} has an unknown dtype or an impossible length")
    return Storage(key=key, dtype=storage_type.dtype, count=count)


def _check_size(storage: Storage, byte_count: int | None) -> None:
    needed = (storage.count or 0) * ITEM_SIZES.get(storage.dtype, 1)
    if byte_count is None:
        raise MalformedError(f"the data of its storage {storage.key[:32]!r} is missing")
    if byte_count < needed:
        raise MalformedError(
            f"the data of its storage {storage.key[:32]!r} is {byte_count} bytes; its tensors need {needed}"
        )


def _view(root: Storage, view: tuple[object, ...]) -> Storage:
    """Read a view into a larger storage, as the legacy format has it: (key, first element, count)."""
    match view:
        case (_, int() as first, int() as count) if 0 <= first <= MAX_ELEMENTS and 0 <= count <= MAX_ELEMENTS:
            return Storage(key=root.key, dtype=root.dtype, count=count, first=first)
        case _:
            raise MalformedError("a storage view in its pickle is not a key, an offset and a length")
