"""Hooks on the end of the process: a script that fails or ends before it trains still leaves its record."""

import atexit
import functools
import os
import sys
from typing import Any, Callable, Dict, Optional

from . import recording, training
from .variables import describe_error

_EXIT: Optional[Dict[str, Any]] = None


def set_hooks() -> None:
    """Hook the end of the interpreter, and the ways around it."""
    atexit.register(_at_exit)
    os._exit = _before_exit(os._exit)  # type: ignore[assignment]
    sys.exit = _noting_exit(sys.exit)


def _at_exit() -> None:
    if training.STOPPED:
        return
    error = getattr(sys, "last_value", None)
    if error is not None and not isinstance(error, SystemExit):
        _write("failed", describe_error(error))
    elif _EXIT is not None:
        _write("exited", _EXIT)
    else:
        _write("ended", None)


def _write(status: str, error: Optional[Dict[str, Any]]) -> None:
    try:
        recording.write(status, error=error)
    except Exception as problem:
        sys.stderr.write(f"decay-audit: the record could not be written: {problem!r}\n")


def _before_exit(leave: Callable[[int], Any]) -> Callable[[int], Any]:
    @functools.wraps(leave)
    def before_exit(status: int) -> Any:
        if not training.STOPPED and recording.OPTIMIZERS and not recording.forked():
            _write("exited", {"type": "os._exit", "message": str(status)})
        return leave(status)

    return before_exit


def _noting_exit(leave: Callable[..., Any]) -> Callable[..., Any]:
    """Note the code or message that the script exits with; argparse has printed its message before."""

    @functools.wraps(leave)
    def noting_exit(status: Any = None) -> Any:
        global _EXIT
        frame = sys._getframe(1)
        message = status
        if frame.f_globals.get("__name__") == "argparse" and frame.f_locals.get("message"):
            message = frame.f_locals["message"]
        if status not in (None, 0):
            _EXIT = {"type": "sys.exit", "message": str(message).strip()}
        leave(status)

    return noting_exit
