"""Write a file as a whole or not at all: to a temporary file in the same folder, which is then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decay_audit.errors import DecayAuditError


@contextmanager
def atomic_write(output: Path) -> Iterator[Path]:
    """Give the path of a temporary file; it replaces `output` when the block ends without an error.

    Links are followed and permissions are kept. A pipe or a device cannot be replaced: there the path is `output`.

    Raises:
        DecayAuditError: the file cannot be written.
    """
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
    except OSError as error:
        raise DecayAuditError(
            f"cannot write {output}: {error.strerror}", "choose a folder that exists and that you may write to"
        ) from error


def _temporary_file(destination: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name[:64]}.")
    os.close(handle)
    return Path(name)


def _umask() -> int:
    """Read the umask; the only way to do so sets it."""
    current = os.umask(0)
    os.umask(current)
    return current
