"""A cache of the parts of remote files that were read: a second run asks for the ETag alone.

An entry is a file in the user's cache folder. Its name is a hash of the URL, the ETag and the position; it holds a
checksum and the bytes. A URL with a password or a query has no entry, nor has a file without an ETag.
"""

import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from threading import Lock
from typing import Final

from decay_audit import files
from decay_audit.errors import DecayAuditError
from decay_audit.sources.remote.store import ByteLimit, FolderListing, RemoteFile, Store

MAX_CACHE: Final = 256 * 2**20
"""The most bytes of all entries; beyond, the oldest are removed."""
_MAX_ENTRY: Final = 64 * 2**20
_AFTER_REMOVAL: Final = 0.75
"""The share of `MAX_CACHE` that is left when entries were removed."""
_ENTRY = re.compile(r"\.?[0-9a-f]{64}(\..*)?")
"""The name of an entry, or of the temporary file of one that was not finished."""
_CHECKSUM_BYTES: Final = 32
_PLATFORM_FOLDERS: Final = {"win32": "~/AppData/Local", "darwin": "~/Library/Caches"}


class HeaderCache:
    """The entries in a folder. Threads may share it; a folder or a disk that cannot be written to is no error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()
        self._size: int | None = None
        """The bytes of all entries; None until the first is written."""

    def read(self, name: str, count: int) -> bytes | None:
        """Read an entry of `count` bytes; None if there is none, or it is damaged."""
        path = self.folder / name
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                entry = file.read(_CHECKSUM_BYTES + count + 1)
        except OSError:
            return None
        checksum, content = entry[:_CHECKSUM_BYTES], entry[_CHECKSUM_BYTES:]
        return content if len(content) == count and sha256(content).digest() == checksum else None

    def write(self, name: str, content: bytes) -> None:
        """Write an entry, and remove the oldest entries if there are too many bytes."""
        try:
            with self._lock:  # one at a time: atomic_write changes the umask for a moment
                with files.atomic_write(self.folder / name) as temporary:
                    temporary.write_bytes(sha256(content).digest() + content)
                if self._size is None:
                    self._size = sum(status.st_size for _, status in self._entries())
                else:
                    self._size += _CHECKSUM_BYTES + len(content)
                if self._size > MAX_CACHE:
                    self._size = self._remove_oldest()
        except (DecayAuditError, OSError):
            return

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.iterdir():
            status = path.lstat()
            if S_ISREG(status.st_mode) and _ENTRY.fullmatch(path.name):
                yield path, status

    def _remove_oldest(self) -> int:
        """Remove entries, the oldest first, and return the bytes of those that are left."""
        entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime_ns)
        size = sum(status.st_size for _, status in entries)
        for path, status in entries:
            if size <= _AFTER_REMOVAL * MAX_CACHE:
                break
            path.unlink(missing_ok=True)
            size -= status.st_size
        return size


class CachedStore:
    """Reads from a Store what the cache does not have. What is known of a file is always asked of the Store."""

    def __init__(self, store: Store, header_cache: HeaderCache) -> None:
        self._store = store
        self._cache = header_cache
        self._limit = ByteLimit()

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Ask the Store, which gives the ETag that the file has now."""
        return self._store.find(path)

    def read(self, path: PurePosixPath, file: RemoteFile, offset: int, count: int) -> bytes:
        """Read a range from the cache, or from the Store."""
        self._limit.add(count, path.name)  # also from the cache: a second run is refused where the first was
        if not file.cache_key or count > _MAX_ENTRY:
            return self._store.read(path, file, offset, count)
        name = sha256(f"{file.cache_key}\n{offset}\n{count}".encode()).hexdigest()
        content = self._cache.read(name, count)
        if content is None:
            content = self._store.read(path, file, offset, count)
            if len(content) == count:
                self._cache.write(name, content)
        return content

    def list(self, path: PurePosixPath) -> FolderListing | None:
        """Ask the Store."""
        return self._store.list(path)

    def public_name(self, path: PurePosixPath) -> str:
        """Write the URL of a path without credentials."""
        return self._store.public_name(path)


def with_cache(store: Store) -> Store:
    """Give a Store that keeps in the user's cache folder what it reads; the Store itself if there is no such folder."""
    folder = _user_folder()
    header_cache = None if folder is None else _cache_in(folder)
    return store if header_cache is None else CachedStore(store, header_cache)


def _user_folder() -> Path | None:
    """Name the folder: in XDG_CACHE_HOME, or where the platform has its caches."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        base = chosen if chosen.is_absolute() else Path(_PLATFORM_FOLDERS.get(sys.platform, "~/.cache")).expanduser()
    except RuntimeError:  # the user has no home
        return None
    return base / "decay-audit" / "headers"


@cache
def _cache_in(folder: Path) -> HeaderCache | None:
    """Make the folder, readable for its user alone; None if it cannot be made, or others may write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    if sys.platform != "win32" and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        return None
    return HeaderCache(folder)
