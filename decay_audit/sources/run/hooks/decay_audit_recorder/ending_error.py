"""An exception as plain data: its type, its message, and the place in the script's own code that it left."""

import traceback
from typing import Any, Dict

from .variables import is_installed


def describe_error(error: BaseException) -> Dict[str, Any]:
    """Quote an exception, with the place in the script's own code where it left."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_installed(frame.filename)]
    last = (own or list(frames) or [None])[-1]  # type: ignore[list-item]
    return {
        "type": type(error).__name__,
        "message": str(error),
        "file": last.filename if last else "",
        "line": (last.lineno or 0) if last else 0,
    }
