"""The process: run the command line. A bug in decay-audit exits with 3, so that it is never taken for a finding."""

import gc
import io
import os
import sys
import warnings
from errno import EBADF, EDQUOT, EIO, ENOSPC
from typing import Any, NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class _StandardError(io.FileIO):
    """Standard error that may be full or closed: text that it does not take is lost, and the exit code stays."""

    def write(self, text: Any) -> int:  # noqa: ANN401 - bytes, or a view of them
        """Write what can be written."""
        try:
            return super().write(text) or 0
        except OSError:
            return len(text)


def main() -> None:
    """Run decay-audit."""
    gc.set_threshold(100_000, 50, 100)  # many objects live until the end: searching them for cycles is slow
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # torch works without it, and so do we
    _open_streams()
    try:
        from decay_audit.cli import app

        app()
    except SystemExit:
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if not _drop_output_if_full_or_closed(error):
            _report_bug(error)
        print("error: standard output is full or closed", file=sys.stderr)
        sys.exit(2)
    except BaseException as error:  # noqa: BLE001 - pytest's skip, for example, is not an Exception
        _report_bug(error)


def _report_bug(error: BaseException) -> NoReturn:
    import traceback

    traceback.print_exception(error)
    print(
        f"\nerror: this is a bug in decay-audit ({type(error).__name__}); please report it with the lines above",
        file=sys.stderr,
    )
    sys.exit(3)


def _drop_output_if_full_or_closed(error: OSError) -> bool:
    """Whether an error means that standard output is full or closed. If so, drop the text that waits to be written.

    An error with a file name is about that file. errno is None if `_open_streams` replaced a closed standard output.
    """
    if error.filename is not None or error.errno not in (None, ENOSPC, EDQUOT, EBADF, EIO):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing is flushed at exit
    return True


def _open_streams() -> None:
    """Make streams that can be written to, though the shell has closed them (`>&-`) or the disk is full."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull)  # noqa: PTH123, SIM115 - not open for writing: a report that goes there is an error
    descriptor = os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
    raw = _StandardError(descriptor, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(sys.stderr, "encoding", None),
        errors="backslashreplace",
        line_buffering=True,
    )


if __name__ == "__main__":
    main()
