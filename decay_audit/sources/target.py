"""What a target string means: a file of Python, a module, or a checkpoint. Looks at the disk; imports nothing."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from msgspec import Struct

from decay_audit.errors import TargetError

CHECKPOINT_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pth.tar", ".index.json")
FORMS = "model.py, model.py:NAME, pkg.mod:NAME, a Python expression after the colon, a checkpoint file or a folder"

_FILE = re.compile(r"(?P<path>.+?\.py)(?::(?P<expression>.*))?", re.DOTALL)
_MODULE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?::(?P<expression>.*))?", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class FileTarget(Struct, frozen=True, kw_only=True):
    """Python in a file.

    Attributes:
        place: the part before the colon, as the user wrote it.
        expression: what to evaluate in it; "" for the one model that it defines.
        label: the target for a person, the file by its name only.
    """

    path: Path
    location: str
    expression: str = ""
    label: str


class ModuleTarget(Struct, frozen=True, kw_only=True):
    """Python in a module that can be imported; without an expression `place` may end in the names of attributes."""

    location: str
    expression: str = ""
    label: str


class CheckpointTarget(Struct, frozen=True, kw_only=True):
    """Saved tensors: a file, the index of a sharded checkpoint, or a folder."""

    path: Path
    label: str


Target = FileTarget | ModuleTarget | CheckpointTarget


def parse(text: str) -> Target:
    """Read a target string; a file on disk wins over a module of that name.

    Raises:
        TargetError: it names a file that is not there, or has none of the accepted forms.
    """
    if not text.strip():
        raise TargetError("the target is empty", f"accepted: {FORMS}")
    if exists(path := Path(text)):
        return _on_disk(text, path)
    if match := _FILE.fullmatch(text):
        return _python_file(match["path"], match["expression"])
    if _looks_like_path(text):
        raise _no_file(text)
    if match := _MODULE.fullmatch(text):
        return ModuleTarget(location=match["module"], expression=_stripped(text, match["expression"]), label=text)
    raise TargetError(f"`{text}` is not a target", f"accepted: {FORMS}")


def is_unmistakable(word: str) -> bool:
    """Whether a word is hardly anything but a target: a file that is there, or a name with Python behind a colon."""
    named = _MODULE.fullmatch(word)
    return (
        exists(Path(word))
        or _FILE.fullmatch(word) is not None
        or word.endswith(CHECKPOINT_SUFFIXES)
        or (named is not None and (named["expression"] or "")[:1].isidentifier())
    )


def exists(path: Path) -> bool:
    """Whether a file or folder is there; a long expression is no file name, and asking the disk for it is an error."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _on_disk(text: str, path: Path) -> Target:
    if path.is_dir():
        return _folder(text, path)
    if path.suffix == ".py":
        return FileTarget(path=path, location=text, label=path.name)
    return CheckpointTarget(path=path, label=path.name)  # whatever its name: the bytes say what it is


def _folder(text: str, path: Path) -> Target:
    """A folder is a sharded checkpoint, unless it is a Python package without one."""
    package = text.rstrip("/\\")
    if package.isidentifier() and (path / "__init__.py").exists() and not any(path.glob("*.safetensors")):
        return ModuleTarget(location=package, label=package)
    return CheckpointTarget(path=path, label=path.resolve().name)


def _python_file(place: str, expression: str | None) -> FileTarget:
    path = Path(place)
    if not exists(path):
        raise _no_file(place)
    stripped = _stripped(f"{place}:{expression}", expression)
    return FileTarget(
        path=path, location=place, expression=stripped, label=f"{path.name}:{stripped}" if stripped else path.name
    )


def _stripped(text: str, expression: str | None) -> str:
    if expression is None:
        return ""
    if not expression.strip():
        raise TargetError(f"`{text}` has nothing after the colon", "name the model there, or leave the colon out")
    return expression.strip()


def _looks_like_path(text: str) -> bool:
    """Slashes after the colon belong to an expression; those after a Windows drive's belong to a path."""
    if _DRIVE.match(text):
        return True
    before = text.partition(":")[0]
    return "/" in before or "\\" in before or before.endswith(CHECKPOINT_SUFFIXES)


def _no_file(place: str) -> TargetError:
    """Name the nearest file of the folder that was asked for."""
    before = place.partition(":")[0]
    if exists(Path(before)):
        return TargetError(f"{before} is not Python: nothing can follow its name", f"try: {before}")
    path, slashed = Path(place), Path(place.replace("\\", "/"))
    if exists(slashed):
        return TargetError(f"no such file: {place}", f"did you mean {slashed}?")
    if path.is_symlink():
        return TargetError(f"{place} is a link to {path.readlink()}, which is not there", "download it again")
    if not (exists(path.parent) and path.parent.is_dir()):
        return TargetError(f"no such file: {place}", f"there is no folder {path.parent}")
    near = nearest(path.name, (each.name for each in path.parent.iterdir()))
    return TargetError(f"no such file: {place}", f"did you mean {path.parent / near}?" if near else "")


def nearest(word: str, known: Iterable[str]) -> str:
    """Give the known spelling that is nearest to `word`; "" if none is near."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), "")
