"""An open file, read at a position and without a buffer, so that no further bytes are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from decay_audit import files
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import MalformedError

PAGE: Final = 4096
"""How many bytes a stream reads at once."""


class OpenFile(Struct, frozen=True, kw_only=True, eq=False):
    """An open file, or a part of an open file.

    Attributes:
        name: its name in messages.
        size: in bytes.
        folder: the folder that it lies in.
        begin: where the part begins in the file.
    """

    name: str
    file: BinaryIO
    size: int
    folder: Path = Path()
    begin: int = 0

    def part(self, position: int, size: int) -> "OpenFile":
        """Return the `size` bytes from `position` on as an OpenFile."""
        if position < 0 or size < 0 or position + size > self.size:
            raise MalformedError(f"it ends early: it needs bytes {position} to {position + size}, and has {self.size}")
        return OpenFile(name=self.name, file=self.file, size=size, folder=self.folder, begin=self.begin + position)

    def read(self, position: int, count: int) -> bytes:
        """Return exactly `count` bytes from `position` on."""
        if position < 0 or count < 0 or position + count > self.size:
            raise MalformedError(f"it ends early: it needs bytes {position} to {position + count}, and has {self.size}")
        self.file.seek(self.begin + position)
        parts = []
        while count:
            part = self.file.read(count)
            if not part:
                raise MalformedError("it became shorter while it was read", "wait until it is written, then try again")
            parts.append(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class FileStream:
    """The bytes of a file from `position` to `end`, a page at a time: for pickles of unknown or great length."""

    def __init__(self, file: OpenFile, position: int, end: int) -> None:
        self.file = file
        self.position = position
        self.end = min(end, file.size)

    def more(self, missing: int) -> bytes:
        """Return the next page, or `missing` bytes if that is more; b"" if the file has fewer bytes left."""
        left = self.end - self.position
        page = self.file.read(self.position, min(max(PAGE, missing), left)) if missing <= left else b""
        self.position += len(page)
        return page

    def skip(self, count: int) -> bool:
        """Move past bytes without reading them; return False if the file has fewer bytes left."""
        if count > self.end - self.position:
            return False
        self.position += count
        return True


@contextmanager
def open_file(path: Path, name: str) -> Iterator[OpenFile]:
    """Open a regular file.

    Raises:
        TargetError: it does not exist, is not a regular file, or may not be read.
    """
    if not files.is_file(path):
        raise TargetError(f"{name} is not a file", "name a checkpoint, an index.json or a folder of shards")
    files.remember_input(path)
    try:
        with path.open("rb", buffering=0) as file:
            yield OpenFile(name=name, file=file, size=path.stat().st_size, folder=path.parent)
    except OSError as error:
        raise TargetError(
            f"{name} cannot be read: {error.strerror or error}", "check that it is a file that you may read"
        ) from error
