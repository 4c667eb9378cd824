"""Read the Python files of a folder, without tests, builds and environments, and index what their import lines name."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SUFFIXES = (".py", ".pyw")
_SKIPPED_FOLDERS = frozenset({"node_modules", "site-packages", "build", "dist", "__pycache__", "tests", "test"})
_MAX_BYTES = 2_000_000
"""Larger files are not read."""
_IMPORT_LINE = re.compile(r"[ \t]*(?:from|import)[ \t](.*)")
_WORD = re.compile(r"\w+")


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
    return "" if len(content) > _MAX_BYTES else content.decode("utf-8", "replace").replace("\r\n", "\n")


def importing_files(texts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Map each word that occurs in an import line to the files that have such a line."""
    files: dict[str, dict[str, None]] = {}
    for name, text in texts.items():
        lines = [line for line in text.split("\n") if "import" in line]
        matches = filter(None, map(_IMPORT_LINE.match, lines))
        for word in {word for match in matches for word in _WORD.findall(match[1])}:
            files.setdefault(word, {})[name] = None
    return {word: tuple(names) for word, names in files.items()}
