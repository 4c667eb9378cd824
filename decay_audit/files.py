"""A file that appears whole or not at all: written beside its place, and then put there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decay_audit.errors import DecayAuditError


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """Give the path to write to; it takes the place of `output` where the block ends without an error.

    A link is followed, and permissions stay. What is no plain file, such as a pipe or a device, is written to as it is.

    Raises:
        DecayAuditError: it cannot be written.
    """
    try:
        if output.exists() and not output.is_file():
            yield output
            return
        place = output.resolve()
        temporary = _beside(place)
        try:
            yield temporary
            temporary.chmod(place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~_umask())
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DecayAuditError(
            f"cannot write {output}: {error.strerror}", "name a file in a folder that exists and may be written to"
        ) from error


def _beside(place: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:64]}.")
    os.close(handle)
    return Path(name)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
