"""Read the Inventory of a checkpoint from the headers of its files, without running code from them."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from decay_audit import work
from decay_audit.errors import TargetError
from decay_audit.files import is_file
from decay_audit.model.inventory import ExcludedTensor, Inventory
from decay_audit.sources.checkpoint.contents import MAX_TENSORS, FileContents, MalformedError, SavedOptimizer, Shards
from decay_audit.sources.checkpoint.formats import (
    numpy_pickle,
    safetensors,
    torch_distributed,
    torch_legacy,
    torch_tar,
    torch_zip,
)
from decay_audit.sources.checkpoint.formats.byte_source import OpenFile, open_file
from decay_audit.sources.checkpoint.formats.detect import CheckpointFormat, detect_format
from decay_audit.sources.checkpoint.onto_model import put_in_model_order
from decay_audit.sources.checkpoint.optimizer_state.groups import read_optimizer
from decay_audit.sources.checkpoint.optimizer_state.match_state_dict import optimizers_of_other_state_dicts
from decay_audit.sources.checkpoint.optimizer_state.zero_partitions import with_group_names
from decay_audit.sources.checkpoint.pickle.dangerous_names import runs_code, sort_dangerous_first
from decay_audit.sources.checkpoint.pickle.inert_values import PickleResult
from decay_audit.sources.checkpoint.shards import find_shards
from decay_audit.sources.checkpoint.state_dict.find import find_contents
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel, merge
from decay_audit.sources.checkpoint.state_dict.stages import number_layers, with_prefix
from decay_audit.sources.remote import map_files, require_existing, size_for_work
from decay_audit.text import count_noun, first_few

_MAX_OPAQUE: Final = 1000
"""How many names of unknown code are listed."""
_DAMAGED_HINT: Final = "the file is damaged, or not written by torch or safetensors: download it or save it again"
"""The hint of an error that has no other hint."""

_PICKLE_READERS: Mapping[CheckpointFormat, Callable[[OpenFile], PickleResult]] = {
    "zip": torch_zip.read,
    "legacy": torch_legacy.read,
    "tar": torch_tar.read,
    "numpy": numpy_pickle.read,
    "distributed": lambda file: torch_distributed.read(file, torch_zip.read),
}
"""The reader of each format that holds a pickle."""


def read(path: Path, *, target: str, key: str | None = None, model: Inventory | None = None) -> Inventory:
    """Read a file, an `index.json` or a folder of shards.

    Args:
        path: the path of the file or folder.
        target: the path as the user wrote it.
        key: the dotted path of the state dict to read, if a file holds several.
        model: the model that was saved, if it is known. Its order then maps the positions of an optimizer, and a file
            that holds only an optimizer gets its parameters.

    Raises:
        TargetError: the path is missing, damaged, not a checkpoint, or holds no parameters.
    """
    require_existing(path)
    shards = find_shards(path)
    with _paused_garbage_collection(), work.limit_by_size(_total_size(shards)):
        contents, formats = _read_files(shards, key)
        try:
            return _inventory(path, target, shards, contents, formats, model)
        except MalformedError as error:
            files_hint = f"name one of its files: {first_few(list(contents), 3)}" if len(contents) > 1 else ""
            raise TargetError(
                f"{path.resolve().name} cannot be read: {error.message}", error.hint or files_hint or _DAMAGED_HINT
            ) from error


def _total_size(shards: Shards) -> int:
    paths = (shards.folder / name for name in (*shards.files, *shards.optimizer_files))
    return sum(size_for_work(path) for path in paths if is_file(path))


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Pause the cyclic garbage collector: it would visit each of a hundred thousand new objects many times."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_files(shards: Shards, key: str | None) -> tuple[dict[str, FileContents], set[CheckpointFormat]]:
    files: dict[str, FileContents] = {}
    formats: set[CheckpointFormat] = set()
    total = 0
    contents_of_files = map_files(lambda name: read_file(shards.folder / name, name, key), shards.files, shards.folder)
    for name, (file, file_format) in zip(shards.files, contents_of_files, strict=True):
        files[name] = with_prefix(file, shards.prefixes[name]) if name in shards.prefixes else file
        formats.add(file_format)
        if (total := total + len(files[name].tensors)) > MAX_TENSORS:
            raise TargetError(
                f"{shards.folder.name} holds more than {MAX_TENSORS:,} tensors",
                "name one of its files to read it alone",
            )
    for name in shards.optimizer_files:
        contents, _ = read_file(shards.folder / name, name, None)
        if contents.optimizers:
            files[name] = FileContents(tensors={}, optimizers=contents.optimizers, opaque=contents.opaque)
    return number_layers(files) if shards.are_stages else files, formats


def read_file(path: Path, name: str, key: str | None) -> tuple[FileContents, CheckpointFormat]:
    """Read one file.

    Raises:
        TargetError: the file is not a checkpoint, is damaged, or has no tensors at `key`.
    """
    with open_file(path, name) as file:
        file_format = detect_format(file, path.suffix.lower())
        if file_format == "safetensors" and key:
            raise TargetError(f"{name} is a safetensors file, which has only one state dict", "omit --key")
        try:
            if file_format == "safetensors":
                contents = safetensors.read(file)
            else:
                contents = find_contents(_PICKLE_READERS[file_format](file), key)
            work.spend(work.UNITS_PER_TENSOR * len(contents.tensors))
            return contents, file_format
        except MalformedError as error:
            raise TargetError(f"{name} cannot be read: {error.message}", error.hint or _DAMAGED_HINT) from error


def _inventory(
    path: Path,
    target: str,
    shards: Shards,
    files: dict[str, FileContents],
    formats: set[CheckpointFormat],
    known_model: Inventory | None,
) -> Inventory:
    not_in_index = _exclude_not_in_index(shards, files)
    contents = list(files.values())
    merged = merge(contents)
    has_optimizers = any(file.optimizers for file in contents)
    ordered = put_in_model_order(merged, known_model if has_optimizers else None)
    if not (merged.parameters or ordered.parameters):
        raise TargetError(*_no_parameters(path, contents, len(merged.excluded)))
    contents = _name_partitions(contents, ordered)
    other_paths = {optimizer.name: other for optimizer, other in optimizers_of_other_state_dicts(contents, ordered)}
    opaque = sort_dangerous_first(tuple(dict.fromkeys(name for file in contents for name in file.opaque)))
    return Inventory(
        target=target,
        kind="safetensors" if formats == {"safetensors"} else "torch",
        files=tuple(files),
        parameters=merged.parameters or ordered.parameters,
        optimizers=tuple(
            read_optimizer(optimizer, _of_stage(ordered, file) if shards.are_stages else ordered, index)
            for index, file in enumerate(contents)
            for optimizer in file.optimizers
            if optimizer.name not in other_paths
        ),
        excluded=(*merged.excluded, *not_in_index),
        notes=(
            *shards.notes,
            *(note for file in contents for note in file.notes),
            *_other_optimizer_notes(other_paths),
            *_opaque_notes(len(opaque)),
        ),
        opaque=opaque[:_MAX_OPAQUE],
        dangerous=tuple(filter(runs_code, opaque[:_MAX_OPAQUE])),
    )


def _of_stage(model: MergedModel, stage: FileContents) -> MergedModel:
    """Return the parameters of one stage of a pipeline: its optimizer has no others."""
    return replace(
        model, parameters=tuple(parameter for parameter in model.parameters if parameter.raw_name in stage.tensors)
    )


def _name_partitions(contents: Sequence[FileContents], model: MergedModel) -> list[FileContents]:
    """Name the parameters of optimizers that ZeRO has flattened, by what the files of the model list."""
    listed = next((file.group_shapes for file in contents if file.group_shapes), ())

    def named(optimizer: SavedOptimizer) -> SavedOptimizer:
        return with_group_names(optimizer, listed, model)

    return [replace(file, optimizers=tuple(map(named, file.optimizers))) if listed else file for file in contents]


def _other_optimizer_notes(other_paths: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"the optimizer state at {name[:96]!r} was left out: it fits the state dict at {path[:96]!r}, not the one read"
        for name, path in other_paths.items()
    )


def _opaque_notes(count: int) -> tuple[str, ...]:
    if count <= _MAX_OPAQUE:
        return ()
    return (f"its pickle names {count:,} classes and functions; the first {_MAX_OPAQUE:,} are listed",)


def _exclude_not_in_index(shards: Shards, files: dict[str, FileContents]) -> list[ExcludedTensor]:
    """Remove from `files` the tensors that the index does not name, and return them.

    Raises:
        TargetError: a file lacks a tensor that the index names.
    """
    if shards.weight_map is None:
        return []
    for name, file in shards.weight_map.items():
        if name not in files[file].tensors:
            raise TargetError(
                f"{file} lacks the tensor {name[:96]!r}, which the index places there",
                "download the index and the file again",
            )
    excluded = []
    for file in shards.files:
        tensors = files[file].tensors
        extra = {name for name in tensors if shards.weight_map.get(name) != file}
        if extra:
            indexed = {name: tensor for name, tensor in tensors.items() if name not in extra}
            files[file] = FileContents(
                tensors=indexed, in_model_order=files[file].in_model_order, opaque=files[file].opaque
            )
            excluded += [
                ExcludedTensor(name=name, reason=f"in {file}, but not in the index")
                for name in tensors
                if name in extra
            ]
    return excluded


def _no_parameters(path: Path, files: Sequence[FileContents], excluded: int) -> tuple[str, str]:
    """Say what a checkpoint without parameters holds, with a hint."""
    if any(file.optimizers for file in files):
        return (
            f"{path.name} holds the state of an optimizer, but no parameters",
            "name the model as well: --model TARGET",
        )
    if excluded:
        return (
            f"{path.name} holds {count_noun(excluded, 'entry', 'entries')}, but no parameters",
            "name the file that holds the model",
        )
    return f"{path.name} holds no state dict", "name a file that holds a model's state_dict()"
