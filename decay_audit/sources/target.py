"""Parse a target string: a Python file, a module, or a checkpoint. Looks at the disk; imports no code of the user."""

import glob
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from msgspec import Struct

from decay_audit.errors import TargetError
from decay_audit.sources import remote
from decay_audit.text import first_few

CHECKPOINT_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pth.tar", ".index.json")
_ACCEPTED_FORMS = (
    "accepted: model.py, model.py:NAME, model.py:EXPRESSION, pkg.mod:NAME, a checkpoint file, folder or URL"
)

_FILE = re.compile(r"(?P<path>.+?\.py)(?::(?P<expression>.*))?", re.DOTALL)
_MODULE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?::(?P<expression>.*))?", re.DOTALL)
_MAX_FILES_IN_HINT = 5
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class FileTarget(Struct, frozen=True, kw_only=True):
    """A Python file.

    Attributes:
        location: the part before the colon, as the user wrote it.
        expression: what to evaluate in it; "" for the one model that it defines.
        label: the target in reports: the file by its name only.
    """

    path: Path
    location: str
    expression: str = ""
    label: str


class ModuleTarget(Struct, frozen=True, kw_only=True):
    """A module that can be imported. Without an expression, `location` may be `pkg.mod.NAME`."""

    location: str
    expression: str = ""
    label: str


class CheckpointTarget(Struct, frozen=True, kw_only=True):
    """A checkpoint: a file, the index of a sharded checkpoint, or a folder; its path may be that of a URL."""

    path: Path
    label: str


Target = FileTarget | ModuleTarget | CheckpointTarget


def parse(text: str, *, use_cache: bool = False) -> Target:
    """Parse a target string; a file on disk wins over a module of that name.

    Args:
        use_cache: see `path_of`.

    Raises:
        TargetError: the target names a file that does not exist, or has none of the accepted forms.
    """
    if not text.strip():
        raise TargetError("the target is empty", _ACCEPTED_FORMS)
    if remote.is_url(text):
        return CheckpointTarget(path=remote.open_url(text, use_cache=use_cache), label=remote.hide_credentials(text))
    if exists(path := Path(text)):
        return _on_disk(text, path)
    if match := _FILE.fullmatch(text):
        return _python_file(match["path"], match["expression"])
    if _looks_like_path(text):
        raise _missing_file(text)
    if match := _MODULE.fullmatch(text):
        expression = _checked_expression(text, match["expression"])
        return _local_file(match["module"], expression, text) or ModuleTarget(
            location=match["module"], expression=expression, label=text
        )
    raise TargetError(f"`{text}` is not a target", _ACCEPTED_FORMS)


def is_clearly_target(word: str) -> bool:
    """Whether a word can hardly be anything but a target: a file that exists, or a module with a name after a colon."""
    module = _MODULE.fullmatch(word)
    return (
        remote.is_url(word)
        or exists(Path(word))
        or _FILE.fullmatch(word) is not None
        or word.endswith(CHECKPOINT_SUFFIXES)
        or (module is not None and (module["expression"] or "")[:1].isidentifier())
    )


def is_checkpoint(text: str) -> bool:
    """Tell whether a target is a checkpoint that exists. A URL is one: it is not read to find out."""
    return remote.is_url(text) or (exists(Path(text)) and isinstance(parse(text), CheckpointTarget))


def path_of(text: str, *, use_cache: bool = False) -> Path:
    """Make the path of a file or folder on disk, or behind a URL.

    Args:
        use_cache: whether what is read behind a URL is kept in the user's cache folder, and read from there.
    """
    return remote.open_url(text, use_cache=use_cache) if remote.is_url(text) else Path(text)


def exists(path: Path) -> bool:
    """Whether a file or folder exists. A long expression is not a file name: the file system refuses to look for it."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _on_disk(text: str, path: Path) -> Target:
    if path.is_dir():
        return _folder(text, path)
    if path.suffix == ".py":
        return FileTarget(path=path, location=text, label=path.name)
    return CheckpointTarget(path=path, label=path.name)  # under any name: the format is detected from the bytes


def _folder(text: str, path: Path) -> Target:
    """Make the target of a folder: a checkpoint, unless it is a Python package without safetensors files."""
    package = text.rstrip("/\\")
    if package.isidentifier() and (path / "__init__.py").exists() and not any(path.glob("*.safetensors")):
        return ModuleTarget(location=package, label=package)
    return CheckpointTarget(path=path, label=path.resolve().name)


def _python_file(location: str, expression: str | None) -> FileTarget:
    path = Path(location)
    if not exists(path):
        raise _missing_file(location)
    stripped = _checked_expression(f"{location}:{expression}", expression)
    return FileTarget(
        path=path, location=location, expression=stripped, label=f"{path.name}:{stripped}" if stripped else path.name
    )


def _local_file(module: str, expression: str, text: str) -> FileTarget | None:
    """Find the file of a module under the current folder that is called like one of the standard library: `code`.

    Python would import its own module, which decay-audit or torch has already imported.
    """
    parts = module.split(".")
    if parts[0] not in sys.stdlib_module_names:
        return None
    for end in range(len(parts), 0, -1):
        names = parts[end:]
        if names and expression:
            return None
        base = Path(*parts[:end])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if exists(path):
                return FileTarget(
                    path=path, location=path.as_posix(), expression=expression or ".".join(names), label=text
                )
    return None


def _checked_expression(text: str, expression: str | None) -> str:
    if expression is None:
        return ""
    if not expression.strip():
        raise TargetError(
            f"`{text}` has nothing after the colon", "write the name of the model after it, or leave out the colon"
        )
    return expression.strip()


def _looks_like_path(text: str) -> bool:
    """Whether a text is a Windows path, or has a slash or the suffix of a checkpoint before its colon."""
    if _DRIVE.match(text):
        return True
    before = text.partition(":")[0]
    return "/" in before or "\\" in before or before.endswith(CHECKPOINT_SUFFIXES)


def _missing_file(location: str) -> TargetError:
    """Make an error that suggests the nearest file in the same folder."""
    file_name = location.partition(":")[0]
    if exists(Path(file_name)):
        return TargetError(
            f"{file_name} is not a Python file: nothing can follow its name", f"did you mean {file_name}?"
        )
    path, with_slashes = Path(location), Path(location.replace("\\", "/"))
    if exists(with_slashes):
        return TargetError(f"no such file: {location}", f"did you mean {with_slashes}?")
    try:
        if path.is_symlink():
            return TargetError(f"{location} is a link to {path.readlink()}, which does not exist", "download it again")
        if not (exists(path.parent) and path.parent.is_dir()):
            return TargetError(f"no such file: {location}", f"the folder {path.parent} does not exist")
        names = sorted(sibling.name for sibling in path.parent.iterdir())
    except OSError as error:
        return TargetError(f"{location} cannot be read: {error.strerror}", "check its name, and that you may read it")
    return TargetError(f"no such file: {location}", _other_files(path, names))


def _other_files(path: Path, names: Sequence[str]) -> str:
    """Suggest the file with the nearest name, or one further down; else list those in the folder with the suffix."""
    stems = {name.removesuffix(path.suffix): name for name in names if path.suffix and name.endswith(path.suffix)}
    others = [name for name in names if name not in stems.values()]
    near = stems.get(nearest(path.stem, stems)) or nearest(path.name, others)
    if near:
        return f"did you mean {path.parent / near}?"
    place = f"the folder {path.parent}" if path.parent != Path() else "the current folder"
    if below := next(path.parent.glob(f"*/{glob.escape(path.name.partition(':')[0])}"), None):
        return f"did you mean {below}?"
    if stems:
        return f"{place} has {first_few(list(stems.values()), _MAX_FILES_IN_HINT)}"
    what = f"no file that ends with {path.suffix}" if path.suffix else "no such file"
    return f"{place} has {what}; a target is model.py, model.py:NAME or a checkpoint"


def nearest(word: str, spellings: Iterable[str]) -> str:
    """Give the spelling that is nearest to `word`, whatever its case; "" if none is near.

    >>> nearest("Adamw", ["Adam", "AdamW"]), nearest("resnet5", ["ResNet50"]), nearest("Nope", ["Net"])
    ('AdamW', 'ResNet50', '')
    """
    by_lower_case: dict[str, list[str]] = {}
    for spelling in spellings:
        by_lower_case.setdefault(spelling.lower(), []).append(spelling)
    similar = get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    candidates = by_lower_case[similar[0]] if similar else []
    return max(candidates, key=lambda spelling: SequenceMatcher(None, word, spelling).ratio(), default="")
