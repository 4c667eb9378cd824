"""Write a copy of a checkpoint whose optimizer state fits new param groups. The original file is only read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decay_audit import files
from decay_audit.api.loading import load
from decay_audit.api.request import Request
from decay_audit.errors import DecayAuditError
from decay_audit.model.observations import Optimizer
from decay_audit.sources import target as targets
from decay_audit.text import count_noun


def migrate(request: Request, output: Path) -> tuple[str, ...]:
    """Rewrite the optimizer states of a checkpoint for the groups of another optimizer, parameter by parameter.

    Args:
        request: `checkpoint` names the file, `target` the model, `optimizer` the expression of the new optimizer.
        output: the file to write; on an error it is not written.

    Returns:
        One line of text for each optimizer, to print.

    Raises:
        DecayAuditError: something cannot be read or made, the mapping is ambiguous, or a state would be lost.
    """
    if request.checkpoint is None or request.optimizer is None:
        raise DecayAuditError("migrate needs a checkpoint and a new optimizer", "name the file, and --to EXPR")
    with files.protect_inputs():
        return _migrate(request, _checkpoint_file(request.checkpoint, output), output)


def _migrate(request: Request, path: Path, output: Path) -> tuple[str, ...]:
    loaded = load(request)
    if loaded.built is None or loaded.made is None:
        raise DecayAuditError("a checkpoint cannot make an optimizer", "name the model as a target: --model train.py")
    import torch

    from decay_audit.optimizers import migrate as migration
    from decay_audit.sources import checkpoint, module
    from decay_audit.sources.checkpoint import onto_model

    request.progress(f"reading {path.name}")
    inventory = checkpoint.read(path, target=path.name, key=request.key, model=loaded.inventory)
    saved = onto_model.fit(inventory, loaded.inventory).optimizers
    new_optimizers = loaded.made.optimizers
    if len(saved) != len(new_optimizers):
        old_count = count_noun(len(saved), "optimizer state")
        new_count = count_noun(len(new_optimizers), "optimizer")
        raise DecayAuditError(
            f"{path.name} holds {old_count}, and --to makes {new_count}",
            "make as many optimizers as were saved, in the same order"
            if saved
            else "name a file with optimizer states",
        )
    names = module.names_by_tensor(loaded.built.model, loaded.inventory)
    content, lines, sources = _load_content(path), [], []
    for saved_optimizer, (_, optimizer) in zip(saved, new_optimizers, strict=True):
        old_state = migration.find_state(content, saved_optimizer.name)
        state = migration.rewrite_state(old_state, saved_optimizer, optimizer, names)
        sources.append(migration.group_sources(old_state, saved_optimizer, optimizer, names))
        content = migration.replace_state(content, saved_optimizer.name, state)
        lines.append(_summary(saved_optimizer, state))
    counts = [len(optimizer.groups) for optimizer in saved]
    outputs = {output: migration.rewrite_schedulers(content, sources, counts)}
    if not all(map(migration.is_unchanged, sources, counts)):
        lines += [f"{place}: moved with the groups" for place, _ in migration.find_scheduler_states(content)]
        scheduler = path.with_name("scheduler.pt")
        if path.name == "optimizer.pt" and scheduler.is_file():
            scheduler_output = _scheduler_output(output, scheduler)
            moved: Any = migration.rewrite_schedulers({"scheduler": _load_content(scheduler)}, sources, counts)
            outputs[scheduler_output] = moved["scheduler"]
            lines.append(f"{scheduler.name}: moved with the groups, written to {scheduler_output.name}")
    request.progress(f"writing {output.name}")
    for file, file_content in outputs.items():
        with files.atomic_write(file) as temporary:
            torch.save(file_content, temporary)
    return tuple(lines)


def _scheduler_output(output: Path, scheduler: Path) -> Path:
    """Return the path to write the scheduler to: transformers' Trainer saves it in a file of its own."""
    scheduler_output = output.with_name(scheduler.name)
    if scheduler_output.exists():
        raise DecayAuditError(
            f"{scheduler_output} exists, and the scheduler has to be written there, too", "--output FOLDER/optimizer.pt"
        )
    return scheduler_output


def _summary(saved: Optimizer, state: Mapping[str, Any]) -> str:
    groups, states = state["param_groups"], state["state"]
    count = sum(len(group["params"]) for group in groups)
    return (
        f"{saved.name}: {count_noun(len(saved.groups), 'group')} to {count_noun(len(groups), 'group')}; "
        f"{count_noun(count, 'parameter')}, {count_noun(len(states), 'state')} moved by name{_order_note(saved)}"
    )


def _order_note(saved: Optimizer) -> str:
    has_no_names = any(group.shapes for group in saved.groups)
    return ", in the order of the model, because the file has no names" if has_no_names else ""


def _checkpoint_file(checkpoint: str, output: Path) -> Path:
    path = Path(checkpoint)
    if not (targets.exists(path) and path.is_file()):
        raise DecayAuditError(f"no such file: {checkpoint}", "migrate takes one file that was written by torch.save")
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
