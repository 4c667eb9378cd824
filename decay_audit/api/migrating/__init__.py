"""Write a copy of a checkpoint whose optimizer state fits new param groups. The original file is only read."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import files
from decay_audit.api.loading import load
from decay_audit.api.request import Request
from decay_audit.checks.lock.entries import Entry
from decay_audit.checks.lock.renames import find_renames
from decay_audit.errors import DecayAuditError
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Optimizer
from decay_audit.sources import target as targets
from decay_audit.sources.checkpoint.engines import find_engine_files
from decay_audit.text import count_noun, first_few, format_shape

if TYPE_CHECKING:
    import torch

    from decay_audit.optimizers.migrate import MatchedParameters

_MAX_NAMED = 3
"""How many names a message shows."""


class ModelChanges(Struct, frozen=True, kw_only=True):
    """What the user says has changed in the model since the state was saved.

    Attributes:
        drop: patterns of saved names whose states are left out.
        init: patterns of names that start without a saved state.
        renamed: whether saved parameters may have other names now.
    """

    drop: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    renamed: bool = False


NO_MODEL_CHANGES = ModelChanges()
"""What `migrate` assumes if the user says nothing."""


def migrate(request: Request, output: Path, changes: ModelChanges = NO_MODEL_CHANGES) -> tuple[str, ...]:
    """Rewrite the optimizer states of a checkpoint for the groups of another optimizer, parameter by parameter.

    Args:
        request: `checkpoint` names a file, or the folder of a trainer; `target` names the model, `optimizer` is the
            expression of the new optimizer.
        output: the file or folder to write; on an error it is not written.
        changes: what the user says has changed in the model since the state was saved.

    Returns:
        One line of text for each optimizer, to print.

    Raises:
        DecayAuditError: something cannot be read or made, the mapping is ambiguous, or a state would be lost.
    """
    if request.checkpoint is None or request.optimizer is None:
        raise DecayAuditError("migrate needs a checkpoint and a new optimizer", "name the file, and --to EXPR")
    with files.protect_inputs():
        return _migrate(request, _checkpoint_path(request.checkpoint, output), output, changes)


def _migrate(request: Request, path: Path, output: Path, changes: ModelChanges) -> tuple[str, ...]:
    from decay_audit.optimizers import migrate as migration

    optimizer_file = _optimizer_file(path)
    if changes.init and request.device == "auto":
        request = replace(request, device="cpu")  # a state that the new optimizer makes on meta has no values
    inventory, new_optimizers = _read(request, path)
    content = _load_content(optimizer_file)
    lines: list[str] = []
    sources = []
    names = new_optimizers.names
    for saved_optimizer, (_, optimizer) in zip(inventory.optimizers, new_optimizers.optimizers, strict=True):
        renames = _renames(saved_optimizer, inventory, optimizer, names, changes)
        parameter_changes = migration.ParameterChanges(drop=changes.drop, init=changes.init, renames=renames)
        old_state = migration.find_state(content, saved_optimizer.name)
        matched_parameters = migration.match(old_state, saved_optimizer, optimizer, names, parameter_changes)
        order = [parameter.name for parameter in inventory.parameters]
        state = migration.rewrite_state(old_state, saved_optimizer, optimizer, matched_parameters, order)
        sources.append(migration.group_sources(old_state, optimizer, matched_parameters))
        content = migration.replace_state(content, saved_optimizer.name, state)
        lines += [_summary(saved_optimizer, state, matched_parameters), *_change_lines(matched_parameters, renames)]
    counts = [len(optimizer.groups) for optimizer in inventory.optimizers]
    contents = {optimizer_file: migration.rewrite_schedulers(content, sources, counts)}
    if not all(map(migration.is_unchanged, sources, counts)):
        lines += [f"{place}: moved with the groups" for place, _ in migration.find_scheduler_states(content)]
        scheduler = optimizer_file.with_name(optimizer_file.name.replace("optimizer", "scheduler"))
        if scheduler != optimizer_file and scheduler.is_file():
            moved: Any = migration.rewrite_schedulers({"scheduler": _load_content(scheduler)}, sources, counts)
            contents[scheduler] = moved["scheduler"]
            lines.append(f"{scheduler.name}: moved with the groups")
    request.progress(f"writing {output.name}")
    return (*lines, *_write(path, optimizer_file, output, contents))


class _NewOptimizers(NamedTuple):
    """The new optimizers, and the name of each parameter of the model by `id(tensor)`."""

    optimizers: "Sequence[tuple[str, torch.optim.Optimizer]]"
    names: Mapping[int, str]


def _read(request: Request, path: Path) -> tuple[Inventory, _NewOptimizers]:
    """Read a checkpoint with the names of the model, in the order of the file; and make the new optimizers."""
    loaded = load(request)
    if loaded.built is None or loaded.made_optimizers is None:
        raise DecayAuditError("a checkpoint cannot make an optimizer", "name the model as a target: --model train.py")
    from decay_audit.sources import checkpoint, module
    from decay_audit.sources.checkpoint import onto_model

    request.progress(f"reading {path.name}")
    inventory = checkpoint.read(path, target=path.name, key=request.key, model=loaded.inventory)
    fitted = onto_model.fit(inventory, loaded.inventory)
    optimizers = loaded.made_optimizers.optimizers
    if len(fitted.optimizers) != len(optimizers):
        old_count = count_noun(len(fitted.optimizers), "optimizer state")
        new_count = count_noun(len(optimizers), "optimizer")
        raise DecayAuditError(
            f"{path.name} holds {old_count}, and --to makes {new_count}",
            "make the optimizers that were saved, in the same order"
            if fitted.optimizers
            else "name a file with optimizer states",
        )
    position = {parameter.name: index for index, parameter in enumerate(inventory.parameters)}
    prefix = onto_model.find_prefix(inventory.parameters, loaded.inventory.parameters)
    in_file_order = sorted(
        fitted.parameters,
        key=lambda parameter: min(
            position.get(name, len(position))
            for own_name in (parameter.name, *parameter.tied_to)
            for name in (own_name, f"{prefix}{own_name}")
        ),
    )
    # A safetensors file and a file with sorted names do not have the order of the model.
    has_order = inventory.kind != "safetensors" and [*position] != sorted(position)
    parameters = tuple(in_file_order) if has_order else fitted.parameters
    names = module.names_by_tensor(loaded.built.model, loaded.inventory)
    return replace(fitted, parameters=parameters), _NewOptimizers(optimizers, names)


def _renames(
    saved: Optimizer,
    inventory: Inventory,
    new: "torch.optim.Optimizer",
    names: Mapping[int, str],
    changes: ModelChanges,
) -> dict[str, str]:
    """Find the new names of renamed parameters by their saved names, with the function that compares locks.

    Raises:
        DecayAuditError: parameters were renamed, and the user did not allow it with `--renamed`.
    """
    shapes = {parameter.name: parameter.shape for parameter in inventory.parameters}
    old_names = {name for group in saved.groups for name in group.parameters if name}
    new_shapes = {
        names.get(id(tensor), ""): tuple(tensor.shape) for group in new.param_groups for tensor in group["params"]
    }
    only_saved = {
        name: _entry(shapes[name])
        for name in old_names - new_shapes.keys() - set(names.values())
        if name in shapes and not _is_listed(name, changes.drop)
    }
    only_new = {
        name: _entry(shape)
        for name, shape in new_shapes.items()
        if name and name not in old_names and not _is_listed(name, changes.init)
    }
    renames = find_renames(dict(sorted(only_saved.items())), dict(sorted(only_new.items())))
    if renames and not changes.renamed:
        old_name, new_name = next(iter(renames.items()))
        raise DecayAuditError(
            f"{count_noun(len(renames), 'saved parameter')} {'is' if len(renames) == 1 else 'are'} not in the model: "
            f"{old_name} may be called {new_name} now",
            f"if it is the same parameter: --renamed; if not: --drop {old_name} --init {new_name}",
        )
    return renames


def _entry(shape: tuple[int, ...]) -> Entry:
    """Make a lock entry that says only the shape."""
    return Entry(shape=format_shape(shape), role="", weight_decay="")


def _is_listed(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _optimizer_file(path: Path) -> Path:
    """Return the file with the optimizer state: the checkpoint itself, or `optimizer.pt` in the folder of a trainer.

    Raises:
        DecayAuditError: the folder has no file of an optimizer, or several.
    """
    if path.is_file():
        return path
    _refuse_engines(path)
    candidates = sorted(file for file in path.glob("optimizer*") if file.suffix in (".pt", ".bin", ".pth"))
    if len(candidates) != 1:
        listed = first_few([file.name for file in candidates], _MAX_NAMED)
        several = f"several files of optimizers: {listed}"
        raise DecayAuditError(
            f"{path.name} holds {several if candidates else 'no optimizer.pt and no optimizer.bin'}",
            "name the file with the optimizer state",
        )
    return candidates[0]


def _refuse_engines(path: Path) -> None:
    """Refuse folders in which the optimizer state is split over files, and say how to make one file.

    Raises:
        DecayAuditError: torch.distributed.checkpoint, DeepSpeed or Megatron-LM has written the folder.
    """
    engine = find_engine_files(path)
    distributed = [path.name] if (path / ".metadata").is_file() else []
    distributed += (
        [f"{path.name}/{file}".removesuffix("/.metadata") for file in engine.optimizer_files] if engine else []
    )
    if distributed and (engine is None or engine.optimizer_files[0].endswith(".metadata")):
        raise DecayAuditError(
            f"{path.name} was written by torch.distributed.checkpoint",
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {distributed[0]} FILE "
            "writes one file to migrate; torch_to_dcp turns the result back",
        )
    if engine is not None:
        raise DecayAuditError(
            f"{path.name} was written by an engine that splits the optimizer state over several files",
            "DeepSpeed's ds_to_universal.py writes the state of each parameter by itself; "
            "a state that torch.save wrote as one file can be migrated",
        )


def _write(path: Path, optimizer_file: Path, output: Path, contents: Mapping[Path, object]) -> tuple[str, ...]:
    """Write a new file, or a copy of a folder in which the given files are replaced."""
    if path.is_dir():
        with files.atomic_folder(output) as folder:
            ignored = {file.name for file in contents}
            shutil.copytree(path, folder, dirs_exist_ok=True, ignore=lambda _, names: ignored & {*names})
            for file, content in contents.items():
                _save(content, folder / file.name)
        return (f"{output.name}: all other files are copied",)
    outputs = {output if file == optimizer_file else _scheduler_output(output, file): file for file in contents}
    for target, file in outputs.items():
        with files.atomic_write(target) as temporary:
            _save(contents[file], temporary)
    return tuple(f"{file.name} is written to {target.name}" for target, file in outputs.items() if target != output)


def _save(content: object, file: Path) -> None:
    import torch

    torch.save(content, file)


def _scheduler_output(output: Path, scheduler: Path) -> Path:
    """Return the path to write the scheduler to: transformers' Trainer saves it in a file of its own."""
    scheduler_output = output.with_name(scheduler.name)
    if scheduler_output.exists():
        raise DecayAuditError(
            f"{scheduler_output} exists, and the scheduler has to be written there, too", "--output FOLDER/optimizer.pt"
        )
    return scheduler_output


def _summary(saved: Optimizer, state: Mapping[str, Any], matched_parameters: "MatchedParameters") -> str:
    groups = state["param_groups"]
    count = sum(len(group["params"]) for group in groups)
    moved = len(state["state"]) - len([name for name in matched_parameters.initialized if name in state["state"]])
    return (
        f"{saved.name}: {count_noun(len(saved.groups), 'group')} to {count_noun(len(groups), 'group')}; "
        f"{count_noun(count, 'parameter')}, {count_noun(moved, 'state')} {_how_moved(saved)}"
    )


def _change_lines(matched_parameters: "MatchedParameters", renames: Mapping[str, str]) -> Iterator[str]:
    if renames:
        texts = [f"{old_name} is {new_name}" for old_name, new_name in renames.items()]
        yield f"renamed: {first_few(texts, _MAX_NAMED)}"
    if matched_parameters.dropped:
        yield f"left out: {first_few([*matched_parameters.dropped], _MAX_NAMED)}"
    if matched_parameters.initialized:
        yield f"without a saved state: {first_few([*matched_parameters.initialized], _MAX_NAMED)}"


def _how_moved(saved: Optimizer) -> str:
    if any(group.shapes for group in saved.groups):
        return "moved; the file has no names: its positions are taken in the order of the model"
    return "moved by name"


def _checkpoint_path(checkpoint: str, output: Path) -> Path:
    path = Path(checkpoint)
    if not (targets.exists(path) and (path.is_file() or path.is_dir())):
        raise DecayAuditError(
            f"no such file: {checkpoint}", "migrate takes a file that torch.save wrote, or the folder of a trainer"
        )
    if path.is_dir() and targets.exists(output):
        raise DecayAuditError(f"{output} exists", "--output names a folder that does not exist yet")
    if path.is_file():
        files.remember_input(path)
        files.refuse_input(output)
    if not output.parent.is_dir():
        raise DecayAuditError(f"no such folder: {output.parent}", "--output names a file in a folder that exists")
    return path


def _load_content(path: Path) -> Any:  # noqa: ANN401 - whatever was saved
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DecayAuditError(
            f"torch cannot load {path.name} safely: {str(error).splitlines()[0]}",
            "migrate loads tensors and plain values only; save the rest of the checkpoint elsewhere",
        ) from error
