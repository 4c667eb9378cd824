"""Say which files a script wrote into its folder, and copy the folder, to run in the copy instead."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from decay_audit.errors import DecayAuditError
from decay_audit.text import count_noun, first_few

_MAX_FILES = 50_000
"""A folder with more files is not read: it takes too long."""
_MAX_LISTED = 5
"""The most files and folders that are named."""
_SKIPPED_FOLDERS = frozenset({".git", "__pycache__", "node_modules"})
"""Folders that are neither read nor copied: they are large, and training does not need them."""
_MIN_LINKED_BYTES = 20_000_000
"""Files of this size or larger are linked and not copied."""

_LINKED_PARENTS = 3
"""When a folder is copied, links are made to the other members of this many folders above it."""

FolderState = Mapping[str, tuple[int, int]]
"""Maps the path of each file in a folder to the time of its last change in ns, and its size in bytes."""


def state_of(folder: Path) -> FolderState | None:
    """Read the state of all files in a folder; None if there are too many."""
    state: dict[str, tuple[int, int]] = {}
    for path in _files(folder):
        if len(state) > _MAX_FILES:
            return None
        try:
            status = path.lstat()
        except OSError:
            continue
        state[os.path.relpath(path, folder)] = (status.st_mtime_ns, status.st_size)
    return state


def describe_changes(
    folder: Path, before: FolderState | None, after: FolderState | None, opened: Set[str]
) -> tuple[str, ...]:
    """Say which files are new or changed: those that the script wrote, and those that another program may have written.

    Args:
        before: None if the folder was not read; then nothing is said.
        opened: the files that the script's Python code opened to write.
    """
    if before is None or after is None:
        return ()
    paths = {os.path.realpath(path) for path in opened}
    names = sorted(name for name, status in after.items() if before.get(name) != status)
    written = [name for name in names if os.path.realpath(folder / name) in paths]
    others = sorted(set(names).difference(written))
    sentences = (
        _sentence("the script wrote {}", written, before),
        _sentence("{} changed meanwhile, and no Python code of the script opened {}", others, before),
    )
    return tuple(filter(None, sentences))


def _sentence(text: str, names: Sequence[str], before: FolderState) -> str:
    """Say how many files these are, with the names of the outermost new folders; "" without any."""
    places = list(dict.fromkeys(_new_folder(name, before) for name in names))
    them = "it" if len(names) == 1 else "them"
    return f"{text.format(count_noun(len(names), 'file'), them)}: {first_few(places, _MAX_LISTED)}" if names else ""


def _new_folder(name: str, before: FolderState) -> str:
    """The outermost new folder that contains a file; the file itself if its folder is not new."""
    parts = Path(name).parts
    for length in range(1, len(parts)):
        prefix = f"{Path(*parts[:length])}{os.sep}"
        if not any(path.startswith(prefix) for path in before):
            return prefix
    return name


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        yield from (Path(parent) / name for name in names)


def copy(folder: Path, temporary: Path) -> Path:
    """Copy a folder to run in; large files are linked. Return the copy.

    Files and folders beside it, and beside its parents, are linked, so that `../data` is found from the copy.

    Raises:
        DecayAuditError: it cannot be copied.
    """
    folder = folder.resolve()
    outermost = folder.parents[min(_LINKED_PARENTS, len(folder.parents)) - 1] if folder.parents else folder
    destination = temporary / "folder" if outermost == folder else temporary / folder.relative_to(outermost)
    try:
        for parent in folder.parents[:_LINKED_PARENTS]:
            _link_members(parent, temporary / parent.relative_to(outermost), without=folder)
        shutil.copytree(
            folder,
            destination,
            symlinks=True,
            ignore=shutil.ignore_patterns(*_SKIPPED_FOLDERS),
            copy_function=_copy_or_link,
            dirs_exist_ok=True,
        )
    except (OSError, shutil.Error) as error:
        raise DecayAuditError(f"--scratch cannot copy this folder: {error}", "run without --scratch") from error
    return destination


def _link_members(folder: Path, copy_of_folder: Path, *, without: Path) -> None:
    """Link the members of a folder into its copy, except the member that is or contains `without`."""
    copy_of_folder.mkdir(parents=True, exist_ok=True)
    for member in folder.iterdir() if os.access(folder, os.R_OK) else ():
        if not without.is_relative_to(member):
            (copy_of_folder / member.name).symlink_to(member)


def _copy_or_link(source: str, destination: str) -> str:
    if Path(source).stat().st_size < _MIN_LINKED_BYTES:
        return shutil.copy2(source, destination)
    Path(destination).symlink_to(Path(source).resolve())
    return destination
