"""Record which files this process opens to write, by an audit hook of Python. It sees no files that C++ code opens."""

import os
import sys
from typing import Any, Set, Tuple

from .. import settings

_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MAX_FILES = 10000
"""The most files that are recorded."""
_SEEN: Set[str] = set()
"""The paths that are recorded."""


def set_hooks() -> None:
    """Add the audit hook. Python cannot remove it again."""
    if settings.FOLDER:
        sys.addaudithook(_on_event)


def _on_event(event: str, args: Tuple[Any, ...]) -> None:
    try:
        if event == "open" and _writes(args[1], args[2]):
            add(args[0])
        elif event == "os.rename":
            add(args[1])
        elif event == "sqlite3.connect":
            add(args[0])
    except Exception:
        pass


def _writes(mode: Any, flags: Any) -> bool:
    return bool(set("wax+").intersection(mode)) if isinstance(mode, str) else bool(flags & _WRITING_FLAGS)


def add(path: Any) -> None:
    """Record a path; anything but a path is left out."""
    if not isinstance(path, (str, bytes, os.PathLike)) or len(_SEEN) >= _MAX_FILES:
        return
    name = os.path.abspath(os.fsdecode(path))
    if name in _SEEN or name.startswith((settings.FOLDER, "/dev/", "/proc/")):
        return
    _SEEN.add(name)
    with open(os.path.join(settings.FOLDER, f"opened-{os.getpid()}"), "a", encoding="utf-8", errors="replace") as file:
        file.write(name + "\n")
