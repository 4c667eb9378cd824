"""A path becomes the list of files to read: one file, the shards of an index.json, or those of a folder."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.formats.byte_source import opened
from decay_audit.sources.checkpoint.pickle.values import MAX_TENSORS
from decay_audit.text import first_few

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
_INDEX: Final = ".index.json"
_MAX_INDEX: Final = 100_000_000
_MAX_FILES: Final = 20_000
_MAX_DEPTH: Final = 3
_MAX_LISTED: Final = 1000
_NUMBERED = re.compile(r"(.*?)[-_.](\d+)-of-(\d+)\.\w+")
_USUAL: Final = ("model", "pytorch_model", "diffusion_pytorch_model", "adapter_model", "consolidated")


class Shards(Struct, frozen=True, kw_only=True):
    """What to read, relative to `folder`.

    Attributes:
        files: the files with the tensors, in order.
        beside: files that may hold the state of an optimizer.
        owners: which file an index says holds each tensor; None without an index.
        notes: what was left aside.
    """

    folder: Path
    files: tuple[str, ...]
    beside: tuple[str, ...] = ()
    owners: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()


class _Index(Struct, frozen=True):
    weight_map: dict[str, str]


def select(path: Path) -> Shards:
    """Choose the files to read.

    Raises:
        TargetError: nothing there, a shard is missing, or an index names a file outside its folder.
    """
    if path.is_dir():
        return _of_folder(path)
    if path.name.endswith(_INDEX):
        return _of_index(path)
    return Shards(folder=path.parent, files=(path.name,), notes=_part(path))


def _part(path: Path) -> tuple[str, ...]:
    """Say of a single shard that it is one, and what names them all."""
    numbered = _NUMBERED.fullmatch(path.name)
    if not numbered or int(numbered[3]) < 2:
        return ()
    indexes = sorted(each.name for each in path.parent.glob(f"*{_INDEX}") if each.name.startswith(numbered[1]))
    whole = f"{indexes[0]} names them all" if indexes else "name its folder to read them all"
    return (f"this is one of {int(numbered[3])} shards, not the whole checkpoint: {whole}",)


def _of_index(path: Path) -> Shards:
    with opened(path, path.name) as index:
        if index.size > _MAX_INDEX:
            raise TargetError(f"{path.name} is {index.size} bytes; an index is at most {_MAX_INDEX}")
        content = index.read(0, index.size)
    if content.count(b",") > 2 * MAX_TENSORS:
        raise TargetError(f"{path.name} names far more tensors than the {MAX_TENSORS} that are read at most")
    try:
        owners = msgspec.json.decode(content, type=_Index).weight_map
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        hint = 'an index is {"weight_map": {TENSOR: FILE, ...}}'
        raise TargetError(f"{path.name} is not an index of shards: {error}", hint) from error
    files = sorted(set(owners.values()))
    if len(files) > _MAX_FILES:
        raise TargetError(f"{path.name} names {len(files)} files; at most {_MAX_FILES} are read")
    for name in files:
        _check_inside(path.name, name)
    missing = [name for name in files if not (path.parent / name).is_file()]
    if missing or not files:
        raise TargetError(*_missing(path.name, missing, len(files)))
    return Shards(folder=path.parent, files=tuple(files), owners=owners, beside=_optimizers(path.parent))


def _missing(index: str, missing: Sequence[str], total: int) -> tuple[str, str]:
    if not missing:
        return f"{index} names no tensors", "name the index of a checkpoint"
    listed = first_few([repr(name[:96]) for name in missing], 5)
    return f"{len(missing)} of {total} shards that {index} names are missing: {listed}", "download them all"


def _check_inside(index: str, name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or any(sign in name for sign in "\\:\0"):
        raise TargetError(f"{index} names {name[:96]!r}, which is not a file below its folder", "edit the index")


def _of_folder(folder: Path) -> Shards:
    names = sorted(child.name for child in folder.iterdir() if child.is_file())
    indexes = [name for name in names if name.endswith(_INDEX)]
    if indexes:
        first = min(indexes, key=lambda name: (".safetensors" not in name, len(name), name))
        shards = _of_index(folder / first)
        return replace(shards, notes=_left(names, (*shards.files, *shards.beside)))
    if ".metadata" in names:
        return Shards(folder=folder, files=(".metadata",))
    beside = _optimizers(folder)
    for kind in ((".safetensors",), SUFFIXES[1:]):
        found = [name for name in names if name.lower().endswith(kind) and name not in beside]
        if found:
            files = _choose(found)
            return Shards(folder=folder, files=files, beside=beside, notes=_left(names, (*files, *beside)))
    raise TargetError(*_none(folder, names))


def _none(folder: Path, names: Sequence[str]) -> tuple[str, str]:
    """Say what a folder without a checkpoint is instead, or where below it one is."""
    name = folder.resolve().name
    if any(".data-0" in each for each in names):
        return f"{name} holds a TensorFlow checkpoint", "convert it to a PyTorch state dict first"
    lost = [each.name for each in folder.iterdir() if each.is_symlink() and not each.exists()]
    if lost:
        return f"{name} holds links to files that are not there: {first_few(sorted(lost), 3)}", "download them again"
    below = {
        found.parent.relative_to(folder).as_posix(): None
        for depth in range(1, _MAX_DEPTH + 1)
        for found in islice(folder.glob("*/" * depth + "*"), _MAX_LISTED)
        if found.name.lower().endswith((*SUFFIXES, _INDEX, ".distcp"))
    }
    if below:
        return f"{name} holds no checkpoint itself", f"below it: {first_few(list(below), 5)}: name one of these"
    return f"{name} holds no checkpoint", f"files that are read end in {', '.join(SUFFIXES)}"


def _optimizers(folder: Path) -> tuple[str, ...]:
    """List the files that trainers write beside the shards for their optimizer: `optimizer.pt`, `optimizer.bin`."""
    return tuple(sorted(child.name for child in folder.glob("optim*") if child.name.lower().endswith(SUFFIXES[1:])))


def _left(names: Sequence[str], read: Sequence[str]) -> tuple[str, ...]:
    """Name the other checkpoints of a folder."""
    left = [name for name in names if name.lower().endswith(SUFFIXES) and name not in read]
    return (f"left aside in the folder: {first_few(left, 5)}",) if left else ()


def _choose(names: Sequence[str]) -> tuple[str, ...]:
    """Take one set of numbered shards, else a file of a usual name, else all."""
    sets: dict[tuple[str, int], list[str]] = {}
    for name in names:
        numbered = _NUMBERED.fullmatch(name)
        sets.setdefault((numbered[1], int(numbered[3])) if numbered else (Path(name).stem, 0), []).append(name)
    usual = [key for key in sets if key[0] in _USUAL]
    if not usual and any(total for _, total in sets):
        usual = [key for key in sets if key[1]]
    if not usual:
        return tuple(names)
    stem, total = min(usual, key=lambda key: (_USUAL.index(key[0]) if key[0] in _USUAL else len(_USUAL), key))
    chosen = sets[stem, total]
    if total and len(chosen) != total:
        raise TargetError(f"{len(chosen)} of {total} shards of {stem!r} are in the folder", "download them all")
    return tuple(chosen)
