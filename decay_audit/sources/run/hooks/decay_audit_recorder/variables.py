"""Find a name for a model, an optimizer or a tensor: the name of the variable or attribute that holds it."""

import gc
import os
import sys
import traceback
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Tuple

_HERE = os.path.dirname(os.path.abspath(__file__))
_MAX_FRAMES = 40
"""How many frames of the call stack are searched for a name."""
_MAX_ATTRIBUTES = 400
"""How many variables of one frame or object are searched."""

_MAX_ITEMS = 20
"""How many values of one dict or list are searched."""


class CallStack:
    """The call stack at a point of the running program.

    Attributes:
        frames: the frames of the call stack, the innermost first, without those of this package.
    """

    def __init__(self, frames: List[FrameType]) -> None:
        self.frames = frames

    def file_and_line(self) -> Tuple[str, int]:
        """Return the file and line of the innermost function that is not part of an installed package."""
        for frame in self._frames_of_script() or self.frames:
            return frame.f_code.co_filename, frame.f_lineno
        return "", 0

    def _frames_of_script(self) -> List[FrameType]:
        return [frame for frame in self.frames if not is_installed(frame.f_code.co_filename)]

    def name_of(self, value: Any, *, in_containers: bool = True) -> str:
        """The name of a variable or attribute that holds the value; "" if there is none."""
        return self.name_where(lambda candidate: candidate is value, in_containers=in_containers)

    def name_where(self, condition: Callable[[Any], bool], *, in_containers: bool = True) -> str:
        """The name of the first variable or attribute whose value meets a condition; "" if there is none.

        Args:
            in_containers: search dicts and lists, too: a value in a dict has its key as its name, and a value in a list
                the name of the list with its index.
        """
        # outermost first: the script's own variable, and not the argument of a function that gets its value
        for frame in reversed(self._frames_of_script()):
            names = [*_names(frame)]
            for name, candidate in names:
                if condition(candidate):
                    return name
            for name, candidate in names if in_containers else ():
                for item_name, item in _items(name, candidate):
                    if condition(item):
                        return item_name
        return ""


def caller() -> CallStack:
    """Return the call stack of the code outside this package that called a function of this package."""
    frames: List[FrameType] = []
    frame = sys._getframe(1)
    while frame is not None and len(frames) < _MAX_FRAMES:
        if not frame.f_code.co_filename.startswith((_HERE, "<frozen")):
            frames.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return CallStack(frames)


def is_installed(filename: str) -> bool:
    """Whether a file belongs to an installed package, or to Python itself."""
    return "site-packages" in filename or "dist-packages" in filename or filename.startswith(("<", sys.prefix + os.sep))


def _names(frame: FrameType) -> Iterator[Tuple[str, Any]]:
    """Yield names with their values: local variables, then attributes of `self`, then globals of the Python module."""
    local: Dict[str, Any] = dict(frame.f_locals)
    owner = local.pop("self", None)
    yield from _public(local)
    if owner is not None:
        attributes = getattr(owner, "__dict__", {})
        yield from _public(attributes.get("_modules") or {})
        yield from _public(attributes)
    if frame.f_code.co_name != "<module>" and not is_installed(frame.f_code.co_filename):
        yield from _public(frame.f_globals)


def _public(names: Dict[str, Any]) -> Iterator[Tuple[str, Any]]:
    """Yield the names with their values, without `__names__` and without leading underscores."""
    for name, value in list(names.items())[:_MAX_ATTRIBUTES]:
        if isinstance(name, str) and not name.startswith("__"):
            yield name.lstrip("_"), value


def _items(name: str, container: Any) -> Iterator[Tuple[str, Any]]:
    """Yield the values of a dict with their keys, and those of a list or tuple with its name and their index."""
    if type(container) is dict:
        yield from ((key, value) for key, value in list(container.items())[:_MAX_ITEMS] if _is_key(key))
    elif type(container) in (list, tuple) and len(container) > 1:
        yield from (("{}[{}]".format(name, index), value) for index, value in enumerate(container[:_MAX_ITEMS]))


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and _is_name(key)


def _is_name(name: str) -> bool:
    """Whether the key of a dict can be the name of a variable or attribute."""
    return name.isidentifier() and not name.startswith("__") and name not in ("self", "cls")


def referring_name(value: Any) -> str:
    """The name of any global variable or attribute in the process that holds a value; "" if there is none."""
    for holder in gc.get_referrers(value):
        if type(holder) is dict:
            for name, candidate in list(holder.items()):
                if candidate is value and isinstance(name, str) and _is_name(name):
                    return name.lstrip("_")
    return ""


def describe_error(error: BaseException) -> Dict[str, Any]:
    """Describe an exception, with the last line of the script's own code in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    frames_of_script = [frame for frame in frames if not is_installed(frame.filename)]
    last = (frames_of_script or list(frames) or [None])[-1]  # type: ignore[list-item]
    return {
        "type": type(error).__name__,
        "message": str(error),
        "file": last.filename if last else "",
        "line": (last.lineno or 0) if last else 0,
    }
