"""Write a copy of a checkpoint whose optimizer state fits new param groups. The original file is only read.

- contents: which files of a checkpoint hold optimizers and schedulers, how they are loaded, and written to a copy
- distributed: a folder of torch.distributed.checkpoint is loaded and saved in one process
- flat_states: flat states of optimizers are nested, and made flat again
- resuming: what loading a checkpoint into new groups does, and which command moves its state
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import files
from decay_audit.api.loading import load
from decay_audit.api.migrating import contents as contents_of, flat_states
from decay_audit.api.request import Request
from decay_audit.checks.lock.entries import Entry
from decay_audit.checks.lock.renames import find_renames
from decay_audit.errors import DecayAuditError
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Optimizer
from decay_audit.sources import target as targets
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

    state_files = contents_of.find_state_files(path)
    if changes.init and request.device == "auto":
        request = replace(request, device="cpu")  # a state that the new optimizer makes on meta has no values
    inventory, new_optimizers = _read(request, path)
    nested, flat_paths = flat_states.nest(contents_of.load(state_files))
    contents: Any = nested
    state_paths = migration.find_state_paths(contents, [optimizer.name for optimizer in inventory.optimizers])
    order, names = [parameter.name for parameter in inventory.parameters], new_optimizers.names
    lines: list[str] = []
    sources = []
    for path_of_state, saved, (_, new) in zip(
        state_paths, inventory.optimizers, new_optimizers.optimizers, strict=True
    ):
        renames = _renames(saved, inventory, new, names, changes)
        parameter_changes = migration.ParameterChanges(drop=changes.drop, init=changes.init, renames=renames)
        old_state = migration.find_state(contents, path_of_state)
        matched_parameters = migration.match(old_state, saved, new, names, parameter_changes)
        state = migration.rewrite_state(old_state, saved, new, matched_parameters, order)
        sources.append(migration.group_sources(old_state, new, matched_parameters))
        contents = migration.replace_state(contents, path_of_state, state)
        lines += [_summary(saved, state, matched_parameters), *_change_lines(matched_parameters, renames)]
    counts = [len(optimizer.groups) for optimizer in inventory.optimizers]
    if all(map(migration.is_unchanged, sources, counts)):
        contents = {file: content for file, content in contents.items() if file in state_files.optimizers}
    else:
        schedulers = [path_of_state for path_of_state, _ in migration.find_scheduler_states(contents)]
        lines += [
            f"{state_files.path_in_checkpoint(path_of_state)}: moved with the groups" for path_of_state in schedulers
        ]
        contents = migration.rewrite_schedulers(contents, sources, counts)
    request.progress(f"writing {output.name}")
    return (*lines, *contents_of.write(state_files, flat_states.flatten(contents, flat_paths), output))


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
