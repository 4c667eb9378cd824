"""Hooks on the end of the process: a script that fails or ends before it trains still leaves its record."""

import atexit
import functools
import os
import sys
from typing import Any, Callable, Dict, Optional

from . import recording, training
from .variables import describe_error

_EXIT_ERROR: Optional[Dict[str, Any]] = None
"""The code or message of the last `sys.exit`."""


def set_hooks() -> None:
    """Hook the end of the interpreter, `sys.exit` and `os._exit`."""
    atexit.register(_at_exit)
    os._exit = _before_exit(os._exit)  # type: ignore[assignment]
    sys.exit = _recording_exit(sys.exit)


def _at_exit() -> None:
    if training.STOPPED:
        return
    error = getattr(sys, "last_value", None)
    if error is not None and not isinstance(error, SystemExit):
        _write("failed", describe_error(error))
    elif _EXIT_ERROR is not None:
        _write("exited", _EXIT_ERROR)
    else:
        _write("ended", None)


def _write(status: str, error: Optional[Dict[str, Any]]) -> None:
    try:
        recording.write(status, error=error)
    except Exception as problem:
        sys.stderr.write(f"decay-audit: the record could not be written: {problem!r}\n")


def _before_exit(original_exit: Callable[[int], Any]) -> Callable[[int], Any]:
    @functools.wraps(original_exit)
    def before_exit(status: int) -> Any:
        if not training.STOPPED and recording.OPTIMIZERS and not recording.is_forked():
            _write("exited", {"type": "os._exit", "message": str(status)})
        return original_exit(status)

    return before_exit


def _recording_exit(original_exit: Callable[..., Any]) -> Callable[..., Any]:
    """Record the code or message that the script exits with; for argparse, the message that it printed."""

    @functools.wraps(original_exit)
    def recording_exit(status: Any = None) -> Any:
        global _EXIT_ERROR
        frame = sys._getframe(1)
        message = status
        if frame.f_globals.get("__name__") == "argparse" and frame.f_locals.get("message"):
            message = frame.f_locals["message"]
        if status not in (None, 0):
            _EXIT_ERROR = {"type": "sys.exit", "message": str(message).strip()}
        original_exit(status)

    return recording_exit
