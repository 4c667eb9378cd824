"""A path whose file is in a Store: what reads a checkpoint from disk reads it over the network, through the same calls.

Only what the readers of checkpoints call is here; nothing can be written. Bytes that were read are kept while a file is
open; a read that they cover sends no request.
"""

import io
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from decay_audit.errors import TargetError
from decay_audit.sources.remote.store import RemoteFile, Store

AT_ONCE: Final = 16
"""How many files are read at the same time."""
PAGE: Final = 4096
MAX_AHEAD: Final = 1 << 20
"""How many bytes of a stream are read at once: they double from a page to a megabyte."""
END: Final = 1 << 16
"""How many bytes are read at once at the end of a file: the directory of a zip archive of 800 tensors is among them."""
_COUNTED_SIZE: Final = 100 * 2**20
"""The limit of work grows with the size of a file, up to this size: a server may claim any size."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class KnownFiles:
    """What is known of the files and folders of a store. Each question is sent once.

    A list of a folder has the names in it, each with its file; None stands for a folder.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._files: dict[str, RemoteFile | None] = {}
        self._folders: dict[str, dict[str, RemoteFile | None] | None] = {}

    def file(self, path: str) -> RemoteFile | None:
        """Tell what is known of a file; None if there is none."""
        folder, _, name = path.rpartition("/")
        if (listed := self._folders.get(folder)) is not None and not (name in listed and listed[name] is None):
            return listed.get(name)
        if path not in self._files:
            self._files[path] = self.store.find(PurePosixPath(path))
        return self._files[path]

    def folder(self, path: str) -> dict[str, RemoteFile | None] | None:
        """List a folder; None if there is none, or the server lists none."""
        if path not in self._folders:
            listed = self.store.list(PurePosixPath(path))
            self._folders[path] = None if listed is None else dict(listed)
        return self._folders[path]


if sys.platform == "win32":
    from pathlib import WindowsPath as _SystemPath
else:
    from pathlib import PosixPath as _SystemPath


class RemotePath(_SystemPath):
    """A path of a Store. It is made by `open_url`, and by the methods of another RemotePath."""

    known_files: KnownFiles

    @classmethod
    def of(cls, path: str | PurePosixPath, known_files: KnownFiles) -> "RemotePath":
        """Make the path of a file or folder."""
        new = cls(path)
        new.known_files = known_files
        return new

    @property
    def parent(self) -> "RemotePath":
        """The folder of the path."""
        return RemotePath.of(PurePosixPath(self.as_posix()).parent, self.known_files)

    def __truediv__(self, key: str | os.PathLike[str]) -> "RemotePath":
        name = os.fspath(key)
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise TargetError(f"{name[:96]!r} is not a file below {self.name}", "name a file below it")
        return RemotePath.of(PurePosixPath(self.as_posix()) / name, self.known_files)

    def joinpath(self, *names: str | os.PathLike[str]) -> "RemotePath":
        """Join names to the path."""
        path = self
        for name in names:
            path = path / name
        return path

    def with_name(self, name: str) -> "RemotePath":
        """Make the path of another file of the folder."""
        return self.parent / name

    def resolve(self, strict: bool = False) -> "RemotePath":  # noqa: ARG002, FBT001, FBT002
        """Return the path: it is absolute."""
        return self

    absolute = resolve

    def exists(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Whether there is such a file or folder."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self.known_files.file(self.as_posix()) is not None

    def is_dir(self) -> bool:
        """Whether it is a folder that the server lists."""
        return self.known_files.folder(self.as_posix()) is not None

    def is_symlink(self) -> bool:
        """Tell that it is no link."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        """Give the size of a file. Its device and inode are 0.

        Raises:
            FileNotFoundError: there is no such file.
        """
        file = self.known_files.file(self.as_posix())
        if file is None:
            raise FileNotFoundError(2, "no such file", self.name)
        return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, file.size, 0, 0, 0))

    def iterdir(self) -> Generator["RemotePath", None, None]:
        """Yield the files and folders in a folder."""
        for name in self.known_files.folder(self.as_posix()) or ():
            yield self / name

    def glob(self, pattern: str) -> Generator["RemotePath", None, None]:
        """Yield the paths below a folder that match a pattern such as `*.bin` or `*/*`."""
        first, slash, rest = pattern.partition("/")
        for child in self.iterdir():
            if fnmatchcase(child.name, first):
                yield from child.glob(rest) if slash else (child,)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> "RemoteStream":  # type: ignore[override]  # noqa: ANN401
        """Open a file to read its bytes; `mode` must be `rb`.

        Raises:
            FileNotFoundError: there is no such file, or the mode is another.
        """
        file = self.known_files.file(self.as_posix())
        if file is None or mode != "rb":
            raise FileNotFoundError(2, "no such file", self.name)
        return RemoteStream(PurePosixPath(self.as_posix()), file, self.known_files.store)


class RemoteStream(io.RawIOBase):
    """A file of a Store, open to be read at any position. The spans that were read are kept."""

    def __init__(self, path: PurePosixPath, file: RemoteFile, store: Store) -> None:
        self._path = path
        self._file = file
        self._store = store
        self._position = 0
        self._spans: list[tuple[int, bytes]] = [(0, file.head)] if file.head else []
        self._in_a_row = 0
        """How many reads began where the one before them ended: a stream, for which more is read at once."""
        self._end = -1

    def seekable(self) -> bool:
        """Tell that it can be read at any position."""
        return True

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position from the beginning."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only positions from the beginning")
        self._position = offset
        return offset

    def tell(self) -> int:
        """Give the position."""
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes at the position: all that are asked for, or those up to the end."""
        remaining = max(self._file.size - self._position, 0)
        count = remaining if size is None or size < 0 else min(size, remaining)
        content = self._read_at(self._position, count)
        self._position += count
        return content

    def _read_at(self, offset: int, count: int) -> bytes:
        """Take what is kept, and read the rest with one request."""
        content = b""
        for begin, span in self._spans:
            if begin <= offset < begin + len(span):
                content = span[offset - begin : offset - begin + count]
        self._in_a_row = self._in_a_row + 1 if offset == self._end else 0
        self._end = offset + count
        if len(content) == count:
            return content
        missing = count - len(content)
        begin = offset + len(content)
        if not content and offset + count == self._file.size and not self._in_a_row:
            begin = max(0, self._file.size - max(END, count))
            return self._request(begin, self._file.size - begin)[-count:]
        ahead = min(PAGE << self._in_a_row, MAX_AHEAD) if self._in_a_row > 1 else 0
        wanted = min(max(missing, ahead), self._file.size - begin)
        return content + self._request(begin, wanted)[:missing]

    def _request(self, begin: int, count: int) -> bytes:
        new = self._store.read(self._path, self._file, begin, count)
        if len(new) != count:
            raise TargetError(f"{self._path.name}: the server sent {len(new)} bytes instead of {count}", "try again")
        self._spans.insert(0, (begin, new))
        return new


def require_existing(path: Path) -> None:
    """Refuse a remote path behind which there is nothing.

    Raises:
        TargetError: it is neither a file nor a folder that the server lists.
    """
    if isinstance(path, RemotePath) and not path.exists():
        raise TargetError(
            f"{path.known_files.store.public_name(PurePosixPath(path.as_posix()))} does not exist",
            "the URL must be that of a checkpoint file, of an index.json, or of a folder that the server lists",
        )


def map_files(function: Callable[[Item], Result], items: Sequence[Item], folder: Path) -> Iterable[Result]:
    """Call a function with each item, in order; where the folder is remote, with 16 items at the same time."""
    if not isinstance(folder, RemotePath) or len(items) < 2:
        return map(function, items)
    with ThreadPoolExecutor(AT_ONCE) as executor:
        futures = [executor.submit(copy_context().run, function, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def size_for_work(path: Path) -> int:
    """Give the size of a file from which the limit of work is derived."""
    size = path.stat().st_size
    return min(size, _COUNTED_SIZE) if isinstance(path, RemotePath) else size
