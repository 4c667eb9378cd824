"""Hooks on the end of the process: a script that fails or ends before it trains still leaves its record.

`hook_exit` needs no torch: a script may end before it imports torch.
"""

import atexit
import functools
import os
import sys
from typing import Any, Callable, Dict, Optional

from ..variables import describe_error

EXIT_ERROR: Optional[Dict[str, Any]] = None
"""The code or message of the last `sys.exit`; None without one, and for success."""


def hook_exit() -> None:
    """Replace `sys.exit` by a function that first records the code or message."""
    sys.exit = _recording_exit(sys.exit)


def set_hooks() -> None:
    """Make the process write its record when the interpreter ends, or before `os._exit` ends it."""
    atexit.register(_at_exit)
    os._exit = _before_exit(os._exit)  # type: ignore[assignment]


def _at_exit() -> None:
    from . import training

    if training.STOPPED:
        return
    error = getattr(sys, "last_value", None)
    if error is not None and not isinstance(error, SystemExit):
        _write("failed", describe_error(error))
    elif EXIT_ERROR is not None:
        _write("exited", EXIT_ERROR)
    else:
        _write("ended", None)


def _write(status: str, error: Optional[Dict[str, Any]]) -> None:
    """Write the record; a failure is printed, because the script's own ending must go on."""
    from .. import recording

    try:
        recording.write(status, error=error)
    except Exception as problem:
        sys.stderr.write(f"decay-audit: the record could not be written: {problem!r}\n")


def _before_exit(original_exit: Callable[[int], Any]) -> Callable[[int], Any]:
    from .. import recording
    from . import training

    @functools.wraps(original_exit)
    def before_exit(status: int) -> Any:
        if not training.STOPPED and recording.OPTIMIZERS and not recording.is_forked():
            _write("exited", {"type": "os._exit", "message": str(status)})
        return original_exit(status)

    return before_exit


def _handled_error(status: Any) -> Optional[Dict[str, Any]]:
    """Describe the exception that the script handles when it exits with a bare number, as workers of launchers do."""
    error = sys.exc_info()[1]
    if not isinstance(status, int) or error is None or isinstance(error, SystemExit):
        return None
    return describe_error(error)


def _recording_exit(original_exit: Callable[..., Any]) -> Callable[..., Any]:
    """Make a `sys.exit` that records its code or message; for argparse, the message that argparse printed."""

    @functools.wraps(original_exit)
    def recording_exit(status: Any = None) -> Any:
        global EXIT_ERROR
        frame = sys._getframe(1)
        message = status
        if frame.f_globals.get("__name__") == "argparse" and frame.f_locals.get("message"):
            message = str(frame.f_locals["message"]).rpartition(": error: ")[2]
        if status not in (None, 0):
            EXIT_ERROR = _handled_error(message) or {"type": "sys.exit", "message": str(message).strip()}
        original_exit(status)

    return recording_exit
