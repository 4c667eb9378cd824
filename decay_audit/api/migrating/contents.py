"""Find, load and replace the files of a checkpoint that hold optimizers and schedulers.

The contents are one dict: by the path of a file, relative to the checkpoint's folder, what was saved in it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from decay_audit import files
from decay_audit.api.migrating import distributed
from decay_audit.errors import DecayAuditError
from decay_audit.sources.checkpoint.engines import find_engine_files
from decay_audit.sources.checkpoint.shards import SUFFIXES, find_shards

Contents = Mapping[str, Any]


class StateFiles(Struct, frozen=True, kw_only=True):
    """The files with the states of optimizers and schedulers.

    Attributes:
        checkpoint: the file or folder that the user named.
        optimizers: the paths of the optimizers' files, or of folders that torch.distributed.checkpoint wrote, relative
            to the folder of the checkpoint.
        schedulers: the paths of files that hold only a scheduler.
    """

    checkpoint: Path
    optimizers: tuple[str, ...]
    schedulers: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder to which the paths are relative."""
        return self.checkpoint if self.checkpoint.is_dir() else self.checkpoint.parent

    def path_in_checkpoint(self, path: str) -> str:
        """Remove the name of the checkpoint from the front of a dotted path; the name of a file in a folder stays."""
        return path.removeprefix(f"{'.' if self.checkpoint.is_dir() else self.checkpoint.name}.")


def find_state_files(checkpoint: Path) -> StateFiles:
    """Find the files with optimizers and schedulers: a file itself, or what trainers save in a folder.

    Raises:
        DecayAuditError: the folder has no state of an optimizer, or its engine splits the state over several files.
    """
    if checkpoint.is_file():
        scheduler_name = checkpoint.name.replace("optimizer", "scheduler")
        has_scheduler = scheduler_name != checkpoint.name and checkpoint.with_name(scheduler_name).is_file()
        return StateFiles(
            checkpoint=checkpoint, optimizers=(checkpoint.name,), schedulers=(scheduler_name,) if has_scheduler else ()
        )
    optimizers = _optimizers_in(checkpoint)
    schedulers = tuple(sorted(path.name for path in checkpoint.glob("scheduler*") if path.suffix in SUFFIXES))
    return StateFiles(checkpoint=checkpoint, optimizers=optimizers, schedulers=schedulers)


def _optimizers_in(folder: Path) -> tuple[str, ...]:
    shards = find_shards(folder)
    names = shards.optimizer_files or tuple(name for name in shards.files if _is_distributed(name))
    if shards.folder != folder:
        raise DecayAuditError(f"{folder.name} holds several checkpoints", f"name the newest: {shards.folder}")
    if find_engine_files(folder) is not None and not all(map(_is_distributed, names)):
        raise DecayAuditError(
            f"{folder.name} was written by an engine that splits the optimizer state over several files",
            "DeepSpeed's ds_to_universal.py writes the state of each parameter to its own file; "
            "a state that torch.save wrote as one file can be migrated",
        )
    if not names:
        raise DecayAuditError(
            f"{folder.name} holds no optimizer.pt and no optimizer.bin", "name the file with the optimizer state"
        )
    return tuple(os.path.dirname(name) or "." if _is_distributed(name) else name for name in names)  # noqa: PTH120


def _is_distributed(name: str) -> bool:
    return name.rpartition("/")[2] == distributed.METADATA_FILE


def load(state_files: StateFiles) -> dict[str, Any]:
    """Load tensors and plain values; no code of the files is run.

    Raises:
        DecayAuditError: a file holds anything else.
    """
    paths = (*state_files.optimizers, *state_files.schedulers)
    return {path: _load(state_files.folder / path) for path in paths}


def _load(path: Path) -> Any:  # noqa: ANN401 - whatever was saved
    import torch

    try:
        if path.is_dir():
            return distributed.load(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DecayAuditError(
            f"torch cannot load {path.name} safely: {(str(error) or type(error).__name__).splitlines()[0]}",
            "migrate loads tensors and plain values only; save the rest of the checkpoint elsewhere",
        ) from error


def write(state_files: StateFiles, contents: Contents, output: Path) -> tuple[str, ...]:
    """Write a new file, or a copy of a folder in which the files with states are replaced.

    Args:
        contents: the files with states. A scheduler that is not among them is copied with its folder; outside a folder,
            no file is written for it.

    Returns:
        Sentences about what else was written.
    """
    if state_files.checkpoint.is_dir():
        with files.atomic_folder(output) as folder:
            _copy_others(state_files, contents, folder)
            for path, content in contents.items():
                _save(content, folder / path, is_folder=(state_files.folder / path).is_dir())
        return (f"{output.name}: all other files are copied",)
    outputs = {path: output if path in state_files.optimizers else _beside(output, path) for path in contents}
    for path, target in outputs.items():
        with files.atomic_write(target) as temporary:
            _save(contents[path], temporary, is_folder=False)
    return tuple(f"{path} is written to {target.name}" for path, target in outputs.items() if target != output)


def _copy_others(state_files: StateFiles, contents: Contents, folder: Path) -> None:
    """Copy the files of a checkpoint's folder but those that are replaced."""
    replaced = {path for name in contents for path in _files_at(state_files.folder / name)}

    def ignore(parent: str, names: Sequence[str]) -> set[str]:
        return {name for name in names if Path(parent, name) in replaced}

    shutil.copytree(state_files.checkpoint, folder, dirs_exist_ok=True, ignore=ignore)


def _files_at(path: Path) -> Iterator[Path]:
    yield from distributed.files_of(path) if path.is_dir() else (path,)


def _save(content: Any, path: Path, *, is_folder: bool) -> None:  # noqa: ANN401 - whatever was saved
    import torch

    if is_folder:
        distributed.save(content, path)
    else:
        torch.save(content, path)


def _beside(output: Path, scheduler: str) -> Path:
    """Return the path to write the scheduler to: transformers' Trainer saves it in a file of its own."""
    target = output.with_name(scheduler)
    if target.exists():
        raise DecayAuditError(
            f"{target} exists, and the scheduler has to be written there, too", "--output FOLDER/optimizer.pt"
        )
    return target
