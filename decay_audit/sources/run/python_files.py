"""Read the Python files of a folder, without tests, builds and environments, and index what their import lines name."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SUFFIXES = (".py", ".pyw")
_SKIPPED_FOLDERS = frozenset({"node_modules", "site-packages", "build", "dist", "__pycache__", "tests", "test"})
_MAX_BYTES = 2_000_000
"""Larger files are not read."""
_IMPORT_LINE = re.compile(r"\n[ \t]*(?:from|import)[ \t](.*)")  # begins with a newline: faster than with ^
_SPACES = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
"""For `str.translate`: a space for each character of ASCII that is not part of a name."""


def read(folder: Path) -> dict[str, str]:
    """Read all Python files in a folder, or one file: the text of each, by its path relative to the folder."""
    base = folder if folder.is_dir() else folder.parent
    return {os.path.relpath(path, base): _text(path) for path in _paths(folder)}


def _paths(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED_FOLDERS
            and not (Path(parent) / name / "pyvenv.cfg").exists()
        )
        yield from (Path(parent) / name for name in sorted(names) if name.endswith(SUFFIXES))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return ""
    if len(content) > _MAX_BYTES:
        return ""
    content = content.replace(b"\r\n", b"\n") if b"\r" in content else content
    return content.decode("utf-8", "replace")


def importing_files(texts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Map each word that occurs in an import line to the files that have such a line."""
    files: dict[str, dict[str, None]] = {}
    for name, text in texts.items():
        lines = _IMPORT_LINE.findall(f"\n{text}") if "import" in text else ()
        for word in set(" ".join(lines).translate(_SPACES).split()):
            files.setdefault(word, {})[name] = None
    return {word: tuple(names) for word, names in files.items()}
