"""A checkpoint's path becomes an Inventory: headers are read, and nothing in the file is run."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from decay_audit.errors import TargetError
from decay_audit.model.inventory import ExcludedTensor, Inventory
from decay_audit.sources.checkpoint.formats import safetensors, torch_distributed, torch_legacy, torch_tar, torch_zip
from decay_audit.sources.checkpoint.formats.byte_source import Opened, opened
from decay_audit.sources.checkpoint.formats.detect import Form, form
from decay_audit.sources.checkpoint.optimizer_state.assign_to_model import strangers
from decay_audit.sources.checkpoint.optimizer_state.groups import optimizer
from decay_audit.sources.checkpoint.pickle.values import MAX_TENSORS, MalformedError, Pickled, Table
from decay_audit.sources.checkpoint.shards import Shards, select
from decay_audit.sources.checkpoint.state_dict.find import table
from decay_audit.sources.checkpoint.state_dict.merge import merge
from decay_audit.sources.checkpoint.state_dict.model_order import in_order_of
from decay_audit.text import count_noun, first_few

MAX_OPAQUE: Final = 1000

_PICKLED: Mapping[Form, Callable[[Opened], Pickled]] = {
    "zip": torch_zip.read,
    "legacy": torch_legacy.read,
    "tar": torch_tar.read,
    "distributed": torch_distributed.read,
}


def read(path: Path, *, target: str, key: str | None = None, model: Inventory | None = None) -> Inventory:
    """Read a file, an `index.json` or a folder of shards.

    Args:
        path: where it is.
        target: how the user wrote it.
        key: dotted path of the state dict to read, where a file holds several.
        model: the model that was saved, where it is known: its order tells positions of optimizers, and a file that
            holds nothing but an optimizer takes its parameters.

    Raises:
        TargetError: it is missing, damaged, something else, or holds no parameters.
    """
    with _paused_collection():
        shards = select(path)
        tables, kinds = _tables(shards, key)
        try:
            return _inventory(path, target, shards, tables, kinds, model)
        except MalformedError as error:
            one = f"name one of them: {first_few(list(tables), 3)}" if len(tables) > 1 else ""
            raise TargetError(f"{path.resolve().name} cannot be read: {error.message}", error.hint or one) from error


@contextmanager
def _paused_collection() -> Iterator[None]:
    """Hold back the cyclic garbage collector: it would walk a hundred thousand new, acyclic values again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _tables(shards: Shards, key: str | None) -> tuple[dict[str, Table], set[Form]]:
    tables: dict[str, Table] = {}
    kinds: set[Form] = set()
    total = 0
    for name in shards.files:
        tables[name], kind = read_file(shards.folder / name, name, key)
        kinds.add(kind)
        if (total := total + len(tables[name].tensors)) > MAX_TENSORS:
            raise TargetError(f"{shards.folder.name} holds more than {MAX_TENSORS} tensors")
    for name in shards.beside:
        held, _ = read_file(shards.folder / name, name, None)
        if held.saved:
            tables[name] = Table(tensors={}, saved=held.saved, opaque=held.opaque)
    return tables, kinds


def read_file(path: Path, name: str, key: str | None) -> tuple[Table, Form]:
    """Read one file.

    Raises:
        TargetError: with the file's name and what is wrong with it.
    """
    with opened(path, name) as file:
        kind = form(file, path.suffix.lower())
        if kind == "safetensors" and key:
            raise TargetError(f"{name} is safetensors, one flat table: there is no --key in it", "leave --key out")
        try:
            return (safetensors.read(file) if kind == "safetensors" else table(_PICKLED[kind](file), key)), kind
        except MalformedError as error:
            raise TargetError(f"{name} cannot be read: {error.message}", error.hint) from error


def _inventory(
    path: Path, target: str, shards: Shards, tables: dict[str, Table], kinds: set[Form], known: Inventory | None
) -> Inventory:
    outside = _outside(shards, tables)
    model = merge(list(tables.values()))
    held = any(each.saved for each in tables.values())
    ordered = in_order_of(model, known if held else None)
    if not (model.parameters or ordered.parameters):
        raise TargetError(*_nothing(path, tables, len(model.excluded)))
    strange = {each.name: path for each, path in strangers(list(tables.values()), ordered)}
    saved = [(file, each) for file, held in enumerate(tables.values()) for each in held.saved]
    opaque = tuple(dict.fromkeys(name for held in tables.values() for name in held.opaque))
    many = (f"it names {len(opaque)} pieces of code; the first {MAX_OPAQUE} are listed",) if opaque[MAX_OPAQUE:] else ()
    return Inventory(
        target=target,
        kind="safetensors" if kinds == {"safetensors"} else "torch",
        files=tuple(tables),
        parameters=model.parameters or ordered.parameters,
        optimizers=tuple(optimizer(each, ordered, file) for file, each in saved if each.name not in strange),
        excluded=(*model.excluded, *outside),
        notes=(*shards.notes, *(note for held in tables.values() for note in held.notes), *_elsewhere(strange), *many),
        opaque=opaque[:MAX_OPAQUE],
    )


def _elsewhere(strange: Mapping[str, str]) -> tuple[str, ...]:
    """Say which optimizers are of other state dicts."""
    return tuple(
        f"the optimizer state at {name[:96]!r} was left out: it fits the state dict at {path[:96]!r}, not the one read"
        for name, path in strange.items()
    )


def _outside(shards: Shards, tables: dict[str, Table]) -> list[ExcludedTensor]:
    """Hold the files against their index: what it names must be there, what it does not name is left out."""
    if shards.owners is None:
        return []
    for name, file in shards.owners.items():
        if name not in tables[file].tensors:
            raise TargetError(f"the index says that {file} holds {name[:96]!r}, but it does not", "download both again")
    outside = []
    for file in shards.files:
        extra = [name for name in tables[file].tensors if shards.owners.get(name) != file]
        if extra:
            left = set(extra)
            kept = {name: tensor for name, tensor in tables[file].tensors.items() if name not in left}
            tables[file] = Table(tensors=kept, ordered=tables[file].ordered, opaque=tables[file].opaque)
            outside += [ExcludedTensor(name=name, reason=f"in {file}, but not in the index") for name in extra]
    return outside


def _nothing(path: Path, tables: Mapping[str, Table], excluded: int) -> tuple[str, str]:
    if any(held.saved for held in tables.values()):
        return (
            f"{path.name} holds the state of an optimizer, but no parameters",
            "name the model as well: --model TARGET",
        )
    if excluded:
        return (
            f"{path.name} holds {count_noun(excluded, 'entry', 'entries')}, but no parameters",
            "name the file of the model",
        )
    return f"{path.name} holds no state dict", "name a file with a model's state_dict()"
