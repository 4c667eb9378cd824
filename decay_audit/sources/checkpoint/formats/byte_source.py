"""Reading at a place: a regular file on disk, opened unbuffered so that not one byte more than asked for is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.pickle.values import MalformedError

CHUNK: Final = 4096


class Opened(Struct, frozen=True, kw_only=True, eq=False):
    """An open file, its size in bytes, and the name that messages give it."""

    name: str
    file: BinaryIO
    size: int

    def read(self, at: int, count: int) -> bytes:
        """Give exactly `count` bytes from `at` on."""
        if at < 0 or count < 0 or at + count > self.size:
            raise MalformedError(f"it ends early: bytes {at} to {at + count} are asked for, it has {self.size}")
        self.file.seek(at)
        parts = []
        while count:
            part = self.file.read(count)
            if not part:
                raise MalformedError("it became shorter while it was read")
            parts.append(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Stream:
    """The bytes of a file from `at` to `end`, a page at a time: for pickles of unknown or great length."""

    def __init__(self, opened: Opened, at: int, end: int) -> None:
        self.opened = opened
        self.at = at
        self.end = min(end, opened.size)

    def more(self, missing: int) -> bytes:
        """Give the next page, or as many bytes as are missing; b"" where there are not so many."""
        left = self.end - self.at
        chunk = self.opened.read(self.at, min(max(CHUNK, missing), left)) if missing <= left else b""
        self.at += len(chunk)
        return chunk

    def jump(self, count: int) -> bool:
        """Pass over bytes without reading them; say whether there are so many."""
        if count > self.end - self.at:
            return False
        self.at += count
        return True


@contextmanager
def opened(path: Path, name: str) -> Iterator[Opened]:
    """Open a regular file.

    Raises:
        TargetError: it is not there, not a regular file, or may not be read.
    """
    if not path.is_file():
        raise TargetError(f"{name} is not a file", "name a checkpoint, an index.json or a folder of shards")
    try:
        with path.open("rb", buffering=0) as file:
            yield Opened(name=name, file=file, size=path.stat().st_size)
    except OSError as error:
        raise TargetError(f"{name} cannot be read: {error.strerror or error}") from error
