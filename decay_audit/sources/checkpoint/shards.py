"""List the files to read for a path: one file, the shards that an index.json lists, or the files in a folder."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import MAX_TENSORS, Shards
from decay_audit.sources.checkpoint.engines import find_engine_files
from decay_audit.sources.checkpoint.formats.byte_source import open_file
from decay_audit.sources.remote import map_files
from decay_audit.text import count_noun, first_few

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
"""The endings of the names of checkpoint files."""
_INDEX: Final = ".index.json"
"""The ending of the name of an index of shards."""
_MAX_INDEX_BYTES: Final = 100_000_000
"""The largest index that is read. A safetensors header has the same limit."""
_MAX_FILES: Final = 20_000
"""The most files of one checkpoint."""
_MAX_DEPTH: Final = 3
"""How many levels of folders below a folder are searched for a checkpoint, for the hint of an error."""
_MAX_LISTED: Final = 1000
"""How many paths are looked at on each of these levels."""
_SHARD_HINT: Final = "name one of the shards to read it alone"
"""The hint of an index that is too large."""
_NUMBERED = re.compile(r"(.*?)[-_.](\d+)-of-(\d+)\.\w+")
"""The name of a shard: `model-00001-of-00002.safetensors`."""
_NUMBER_AT_END = re.compile(r"_(\d+)$")
"""The number of a model or an optimizer that accelerate saves: `optimizer_1.bin`."""
_USUAL_STEMS: Final = (
    *("model", "pytorch_model", "diffusion_pytorch_model", "adapter_model", "consolidated", "pytorch_model_fsdp"),
)
"""Usual names of the files of a model, the preferred ones first."""


class _ShardIndex(Struct, frozen=True):
    weight_map: dict[str, str]


def find_shards(path: Path) -> Shards:
    """Choose the files to read.

    Raises:
        TargetError: there is no checkpoint, a shard is missing, or an index names a file outside its folder.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.name.endswith(_INDEX):
        return _in_index(path)
    return Shards(folder=path.parent, files=(path.name,), notes=_single_shard_note(path))


def _single_shard_note(path: Path) -> tuple[str, ...]:
    """Say that a file is one of several shards, and how to read all of them."""
    numbered = _NUMBERED.fullmatch(path.name)
    if not numbered or int(numbered[3]) < 2:
        return ()
    indexes = sorted(index.name for index in path.parent.glob(f"*{_INDEX}") if index.name.startswith(numbered[1]))
    return (
        f"this is one of {int(numbered[3])} shards, not the whole checkpoint: "
        f"to read them all, name {indexes[0] if indexes else 'the folder'}",
    )


def _in_index(path: Path) -> Shards:
    with open_file(path, path.name) as index:
        if index.size > _MAX_INDEX_BYTES:
            raise TargetError(
                f"{path.name} is {index.size} bytes; at most {_MAX_INDEX_BYTES} of an index are read", _SHARD_HINT
            )
        content = index.read(0, index.size)
    if content.count(b",") > 2 * MAX_TENSORS:
        raise TargetError(f"{path.name} lists more tensors than the {MAX_TENSORS:,} that are read at most", _SHARD_HINT)
    try:
        weight_map = msgspec.json.decode(content, type=_ShardIndex).weight_map
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        hint = 'an index has the form {"weight_map": {TENSOR: FILE, ...}}'
        raise TargetError(f"{path.name} is not an index of shards: {error}", hint) from error
    files = sorted(set(weight_map.values()))
    if len(files) > _MAX_FILES:
        raise TargetError(f"{path.name} lists {len(files):,} files; at most {_MAX_FILES:,} are read", _SHARD_HINT)
    for name in files:
        _check_inside(path.name, name)
    exists = map_files(lambda name: (path.parent / name).is_file(), files, path.parent)
    missing = [name for name, is_there in zip(files, exists, strict=True) if not is_there]
    if missing or not files:
        raise TargetError(*_missing(path.name, missing, len(files)))
    return Shards(
        folder=path.parent,
        files=tuple(files),
        weight_map=weight_map,
        optimizer_files=_optimizer_files(path.parent),
    )


def _missing(index: str, missing: Sequence[str], total: int) -> tuple[str, str]:
    if not missing:
        return f"{index} lists no tensors", "name the index of a checkpoint"
    listed = first_few([repr(name[:96]) for name in missing], 5)
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{len(missing):,} of the {count_noun(total, 'shard')} in {index} {verb} missing: {listed}",
        "download all shards",
    )


def _check_inside(index: str, name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or any(sign in name for sign in "\\:\0"):
        raise TargetError(
            f"{index} lists {name[:96]!r}, which is not a file in its folder",
            "correct the index: its files lie beside it",
        )


def _in_folder(folder: Path) -> Shards:
    by_engine = find_engine_files(folder)
    if by_engine is not None:
        return by_engine
    names = sorted(child.name for child in folder.iterdir() if child.is_file())
    indexes = [name for name in names if name.endswith(_INDEX)]
    if indexes:
        first = min(indexes, key=lambda name: (".safetensors" not in name, len(name), name))
        shards = _in_index(folder / first)
        return replace(shards, notes=_unread_note(names, (*shards.files, *shards.optimizer_files)))
    if ".metadata" in names:
        return Shards(folder=folder, files=(".metadata",))
    optimizer_files = _optimizer_files(folder)
    for suffixes in ((".safetensors",), SUFFIXES[1:]):
        candidates = [name for name in names if name.lower().endswith(suffixes) and name not in optimizer_files]
        if candidates:
            files = _choose(candidates)
            optimizer_files = _of_model(files, candidates, optimizer_files)
            notes = _unread_note(names, (*files, *optimizer_files))
            return Shards(folder=folder, files=files, optimizer_files=optimizer_files, notes=notes)
    raise TargetError(*_no_checkpoint(folder, names))


def _no_checkpoint(folder: Path, names: Sequence[str]) -> tuple[str, str]:
    """Say what a folder without a checkpoint holds, or which folders below it hold a checkpoint."""
    name = folder.resolve().name
    if any(".data-0" in file for file in names):
        return f"{name} holds a TensorFlow checkpoint", "convert it to a PyTorch state dict first"
    broken = sorted(path.name for path in folder.iterdir() if path.is_symlink() and not path.exists())
    if broken:
        return f"{name} holds broken links: {first_few(broken, 3)}", "download these files again"
    folders_below = {
        path.parent.relative_to(folder).as_posix(): None
        for depth in range(1, _MAX_DEPTH + 1)
        for path in islice(folder.glob("*/" * depth + "*"), _MAX_LISTED)
        if path.name.lower().endswith((*SUFFIXES, _INDEX, ".distcp"))
    }
    if folders_below:
        return (
            f"{name} holds no checkpoint itself",
            f"name one of the folders below it: {first_few(list(folders_below), 5)}",
        )
    return f"{name} holds no checkpoint", f"name a folder with files that end in {', '.join(SUFFIXES)}"


def _optimizer_files(folder: Path) -> tuple[str, ...]:
    """List the files in which trainers save the optimizer next to the shards: `optimizer.pt`, `optimizer.bin`."""
    return tuple(sorted(child.name for child in folder.glob("optim*") if child.name.lower().endswith(SUFFIXES[1:])))


def _of_model(files: Sequence[str], candidates: Sequence[str], optimizer_files: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the optimizers of other models: accelerate saves the optimizer of `model_1` as `optimizer_1.bin`."""
    others = {_number(name) for name in candidates if name not in files} - {_number(name) for name in files}
    return tuple(name for name in optimizer_files if _number(name) not in others)


def _number(name: str) -> str:
    """Return the number at the end of a file name; "" without one."""
    match = _NUMBER_AT_END.search(Path(name).stem)
    return match[1] if match else ""


def _unread_note(names: Sequence[str], read: Sequence[str]) -> tuple[str, ...]:
    """List the other checkpoints in a folder."""
    unread = [name for name in names if name.lower().endswith(SUFFIXES) and name not in read]
    return (f"not read in the folder: {first_few(unread, 5)}",) if unread else ()


def _choose(names: Sequence[str]) -> tuple[str, ...]:
    """Choose the files of one model from those of a folder.

    The file or the shards with a usual name come first, then the first set of numbered shards. If there are neither,
    all files are chosen.
    """
    sets: dict[tuple[str, int], list[str]] = {}
    for name in names:
        numbered = _NUMBERED.fullmatch(name)
        sets.setdefault((numbered[1], int(numbered[3])) if numbered else (Path(name).stem, 0), []).append(name)
    candidates = [key for key in sets if key[0] in _USUAL_STEMS] or [key for key in sets if key[1]]
    if not candidates:
        return tuple(names)
    ranks = {stem: rank for rank, stem in enumerate(_USUAL_STEMS)}
    stem, total = min(candidates, key=lambda key: (ranks.get(key[0], len(ranks)), key))
    chosen = sets[stem, total]
    if total and len(chosen) != total:
        raise TargetError(
            f"the folder has {len(chosen)} of the {total} shards of {stem!r}", "download all shards into the folder"
        )
    return tuple(chosen)
