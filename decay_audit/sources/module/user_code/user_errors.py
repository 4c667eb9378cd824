"""Turn an exception of user code into one message: its file and line, the exception, and a hint."""

import importlib.util
import os
import sys
import traceback
from pathlib import Path

import torch

import decay_audit
from decay_audit.errors import TargetError
from decay_audit.sources.module.user_code.import_context import ImportContext

_OWN_FOLDER = str(Path(decay_audit.__file__).parent) + os.sep
_TORCH_FOLDER = str(Path(torch.__file__).parent) + os.sep
_MAX_SUMMARY = 300
_TRACEBACK_HINT = "--verbose shows the traceback"
_CUDA_HINT = "CUDA is not available here: put code that needs it under `if torch.cuda.is_available():`"

SAME_ON_EVERY_DEVICE = (ImportError, SyntaxError, SystemExit)
"""Exceptions that every build device raises again."""


def as_target_error(error: BaseException, source: str, context: ImportContext) -> TargetError:
    """Describe an exception of user code; the caller raises the result `from error`.

    Args:
        source: what was loaded or evaluated; the message begins with it if no line of user code is known.
    """
    location = location_in_user_code(error, context) or source
    match error:
        case TargetError():
            return error
        case SyntaxError(filename=str(filename), lineno=int(line)):
            return TargetError(
                f"{_short_path(filename, context)}:{line}: {_summary(error)}", (error.text or "").strip()
            )
        case SyntaxError():  # without a line: the bytes of the file are not text
            return TargetError(f"{location}: {_summary(error)}", "save the file as text in UTF-8")
        case ModuleNotFoundError(name=str(name)):
            return TargetError(f"{location}: no module named `{name}`", missing_package_hint(name))
        case SystemExit():
            return TargetError(
                f"{location}: this code ends the program (SystemExit: {error.code})",
                "put code that is only for running the file under `if __name__ == '__main__':`",
            )
    return TargetError(f"{location}: {_summary(error)}", _CUDA_HINT if _needs_cuda(error) else _TRACEBACK_HINT)


def missing_package_hint(name: str) -> str:
    """Say in which Python a package is missing; decay-audit may run in another one than the user's scripts."""
    package = name.partition(".")[0]
    if package in sys.modules or importlib.util.find_spec(package) is not None:
        return f"the installed {package} has no such module; it may be another version"
    hint = (
        f"{package} is not installed for {sys.executable}, which runs decay-audit: install the package that provides "
        "it there, or run decay-audit from the folder that contains it"
    )
    active = os.environ.get("VIRTUAL_ENV", "")
    if not active or Path(active).resolve() == Path(sys.prefix).resolve():
        return hint
    python = Path(active) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return f"{hint}. The active environment is another one; to run there: {python} -m pip install decay-audit"


def _needs_cuda(error: BaseException) -> bool:
    return "cuda" in str(error).lower() and not torch.cuda.is_available()


def location_in_user_code(error: BaseException, context: ImportContext) -> str:
    """Give `file:line` of the innermost user code in the traceback; "" if there is none."""
    frames_outside = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith((_OWN_FOLDER, _TORCH_FOLDER, "<"))
    ]
    frames = [(name, line) for name, line in frames_outside if _is_user_file(name, context)] or frames_outside
    return f"{_short_path(frames[-1][0], context)}:{frames[-1][1]}" if frames else ""


def _is_user_file(filename: str, context: ImportContext) -> bool:
    return filename.startswith(context.folders) and "site-packages" not in filename


def _short_path(filename: str, context: ImportContext) -> str:
    """Write a path relative to the nearest folder that the file can be imported from."""
    folders = [str(Path.cwd()), *context.folders, *filter(None, sys.path)]
    parents = [folder for folder in folders if filename.startswith(folder.rstrip(os.sep) + os.sep)]
    return os.path.relpath(filename, max(parents, key=len)) if parents else Path(filename).name


def _summary(error: BaseException) -> str:
    """Return the first line of an exception as Python prints it, and the first line of its cause."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    line = traceback.format_exception_only(error)[0].strip().splitlines()[0]
    shortened = line if len(line) <= _MAX_SUMMARY else f"{line[:_MAX_SUMMARY]} ..."
    return f"{shortened} (from {_summary(error.__cause__)})" if error.__cause__ is not None else shortened
