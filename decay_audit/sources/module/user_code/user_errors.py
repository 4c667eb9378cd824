"""From an exception in the user's code to one message: their file and line, their exception, the way out."""

import os
import sys
import traceback
from pathlib import Path

import torch

from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import Home

_OURS = str(Path(__file__).parents[3]) + os.sep
_TORCH = str(Path(torch.__file__).parent) + os.sep
_LONGEST = 300
_TRACE = "--verbose shows the whole trace"
_NO_CUDA = "there is no CUDA here: put what needs it under `if torch.cuda.is_available():`"

FINAL = (ImportError, SyntaxError, SystemExit)
"""What no other way of building can cure."""


def failure(error: BaseException, doing: str, home: Home) -> TargetError:
    """Say what went wrong in the user's code while `doing` something; the caller raises it `from error`."""
    match error:
        case TargetError():
            return error
        case SyntaxError(filename=str(filename), lineno=int(line)):
            return TargetError(f"{short(filename, home)}:{line}: {_said(error)}", (error.text or "").strip())
        case SyntaxError():
            return TargetError(
                f"{place(error, home) or doing}: {_said(error)}", "Python is text in UTF-8: save it as that"
            )
        case ModuleNotFoundError(name=str(name)):
            return TargetError(
                f"{place(error, home) or doing}: there is no module `{name}`",
                "install what provides it, or run from the folder that holds it",
            )
        case SystemExit():
            return TargetError(
                f"{place(error, home) or doing}: the code ends the program instead of giving a model"
                f" (SystemExit: {error.code})",
                "put what only a run should do under `if __name__ == '__main__':`",
            )
    return TargetError(f"{place(error, home) or doing}: {_said(error)}", _NO_CUDA if _needs_cuda(error) else _TRACE)


def _needs_cuda(error: BaseException) -> bool:
    return "cuda" in str(error).lower() and not torch.cuda.is_available()


def place(error: BaseException, home: Home) -> str:
    """Give `file:line` of the user's code where `error` came from; "" if none of it is theirs."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith((_OURS, _TORCH, "<"))
    ]
    theirs = [(name, line) for name, line in frames if _is_theirs(name, home)] or frames
    return f"{short(theirs[-1][0], home)}:{theirs[-1][1]}" if theirs else ""


def short(filename: str, home: Home) -> str:
    """Name a file from the nearest folder that it can be imported from."""
    folders = [str(Path.cwd()), *home.folders, *filter(None, sys.path)]
    inside = [folder for folder in folders if filename.startswith(folder.rstrip(os.sep) + os.sep)]
    return os.path.relpath(filename, max(inside, key=len)) if inside else Path(filename).name


def _is_theirs(filename: str, home: Home) -> bool:
    return filename.startswith(home.folders) and "site-packages" not in filename


def _said(error: BaseException) -> str:
    """The exception as Python prints it, its first line."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    first = traceback.format_exception_only(error)[0].strip().splitlines()[0]
    said = first if len(first) <= _LONGEST else f"{first[:_LONGEST]} ..."
    return f"{said} (from {_said(error.__cause__)})" if error.__cause__ is not None else said
