"""Read files up to a limit, and write files as a whole or not at all. An output does not replace a file that was read.

An output is written to a temporary file in the same folder, which is then renamed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from errno import EFBIG
from pathlib import Path
from stat import S_ISREG
from typing import Final

from decay_audit.errors import DecayAuditError

FileIdentity = tuple[int, int]
"""Device and inode of a file: equal for all names of the file."""

MAX_SETTINGS_BYTES: Final = 1_000_000
"""The size of the largest pyproject.toml that is read."""

_inputs: ContextVar[set[FileIdentity] | None] = ContextVar("inputs", default=None)
"""The files that were read inside `protect_inputs`; None outside."""
_WRITTEN_BY_US: Final = b"written by decay-audit"
"""Text at the beginning of each Python file that decay-audit wrote."""


@contextmanager
def protect_inputs() -> Iterator[None]:
    """Remember the files that are read inside the `with` statement, so that no output replaces one of them."""
    inputs = _inputs.get()
    token = _inputs.set(set() if inputs is None else inputs)  # a nested `with` statement adds to the same set
    try:
        yield
    finally:
        _inputs.reset(token)


def remember_input(path: Path) -> None:
    """Remember that a regular file is read, so that `atomic_write` refuses to replace it. Other paths are ignored."""
    inputs = _inputs.get()
    if inputs is not None and (identity := _identity(path)) is not None:
        inputs.add(identity)


def refuse_input(output: Path) -> None:
    """Refuse an output that is one of the inputs, whatever name or link leads to it.

    Raises:
        DecayAuditError: this command reads the file, or has imported it.
    """
    if _identity(output) in (_inputs.get() or ()):
        raise DecayAuditError(f"{output} is an input of this command, and would be overwritten", "name another file")


def _identity(path: Path) -> FileIdentity | None:
    """Return the identity of a regular file; None for anything else."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if S_ISREG(status.st_mode) else None


def remember_imported(path: Path) -> None:
    """Remember an imported Python file as an input. A file that decay-audit wrote is left out: it may be replaced."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except (OSError, ValueError):
        return
    if _WRITTEN_BY_US not in head:
        remember_input(path)


def is_file(path: Path) -> bool:
    """Tell whether a path is a regular file; a name that the file system does not accept is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path, limit: int) -> str:
    """Read a text file in UTF-8.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    remember_input(path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(EFBIG, f"it has more than {limit:,} bytes")
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def atomic_folder(output: Path) -> Iterator[Path]:
    """Give the path of a temporary folder, which is renamed to `output` at the end of the `with` statement.

    `output` must not exist. After an error, the temporary folder is removed.

    Raises:
        DecayAuditError: the folder cannot be written.
    """
    try:
        temporary = Path(tempfile.mkdtemp(dir=output.resolve().parent, prefix=f".{output.name}-"))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            temporary.rename(output)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise DecayAuditError(
            f"cannot write {output}: {error.strerror or error}", "choose a folder that you may write to"
        ) from error


@contextmanager
def atomic_write(output: Path, *, may_be_input: bool = False) -> Iterator[Path]:
    """Give the path of a temporary file; it replaces `output` if the `with` statement ends without an error.

    Links are followed and permissions are kept. A pipe or a device cannot be replaced: there the path is `output`.

    Args:
        may_be_input: whether the command may have read `output`, in order to write it again, like a lock.

    Raises:
        DecayAuditError: the file cannot be written, or is an input of the command.
    """
    if not may_be_input:
        refuse_input(output)
    try:
        if output.exists() and not output.is_file():
            yield output
            return
        destination = output.resolve()
        temporary = _temporary_file(destination)
        try:
            yield temporary
            temporary.chmod(destination.stat().st_mode & 0o777 if destination.exists() else 0o666 & ~_umask())
            temporary.replace(destination)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DecayAuditError(
            f"cannot write {output}: {reason}", "choose a folder that exists and that you may write to"
        ) from error


def _temporary_file(destination: Path) -> Path:
    """Make an empty file beside the destination."""
    # the name is cut, because most file systems accept at most 255 bytes
    handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name[:64]}.")
    os.close(handle)
    return Path(name)


def _umask() -> int:
    """Return the umask of the process.

    Where the system does not tell it, Python can only read it by setting it. For that moment it is set to a value that
    gives no one else access: another thread may make a file just then.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    current = os.umask(0o077)
    os.umask(current)
    return current
