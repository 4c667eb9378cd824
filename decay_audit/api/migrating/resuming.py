"""What happens to a saved optimizer state when it is loaded into the param groups of a plan, and how to keep it."""

import shlex
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

from decay_audit.api.loading import LoadedTarget
from decay_audit.errors import DecayAuditError, shell_join
from decay_audit.model.group_order import describe_loading, find_group_order
from decay_audit.model.observations import Optimizer
from decay_audit.model.position_order import explain_ambiguity
from decay_audit.rulesets.plan import Plan
from decay_audit.sources import target as targets


def keep_group_order(plan: Plan, loaded: LoadedTarget, checkpoint: str, key: str | None = None) -> Plan:
    """Order the groups of a plan so that the state of a checkpoint loads unchanged.

    Raises:
        DecayAuditError: the checkpoint cannot be read, or no order of the groups fits its positions.
    """
    saved = read_saved_optimizers(loaded, checkpoint, key)
    groups = plan.groups()
    saved_groups = [group.parameters for optimizer in saved for group in optimizer.groups]
    order = find_group_order(_names(plan), saved_groups)
    name = Path(checkpoint).name
    if order is None:
        raise DecayAuditError(
            f"no order of these groups fits {name}: {describe_loading(_names(plan), saved_groups)}",
            f"leave out --keep-order-of; {_migrate_command(loaded, checkpoint, key)}",
        )
    indices = iter(order)
    for optimizer in saved:
        uses = {groups[next(indices)].use for _ in optimizer.groups}
        if len(uses) > 1:
            raise DecayAuditError(
                f"{optimizer.name} of {name} has groups for {', '.join(str(use) for use in uses)}",
                "its state cannot be loaded into several optimizers",
            )
    keys = [(group.weight_decay, group.lr_scale, group.use) for group in (groups[index] for index in order)]
    return replace(plan, group_order=tuple(keys))


def describe_resuming(plan: Plan, loaded: LoadedTarget, checkpoint: str, key: str | None = None) -> str:
    """Say what happens when a saved state is loaded into the groups of a plan, and which command moves the state.

    Raises:
        DecayAuditError: the checkpoint cannot be read.
    """
    saved = read_saved_optimizers(loaded, checkpoint, key)
    groups, saved_groups = _names(plan), [group.parameters for optimizer in saved for group in optimizer.groups]
    text = f"{Path(checkpoint).name}: {describe_loading(groups, saved_groups)}"
    order = find_group_order(groups, saved_groups)
    if order == tuple(range(len(groups))):
        return text
    if order is not None:
        return f"{text}; --keep-order-of {shlex.quote(checkpoint)} makes groups into which it loads unchanged"
    return f"{text}; {_migrate_command(loaded, checkpoint, key)}"


def read_saved_optimizers(loaded: LoadedTarget, checkpoint: str, key: str | None = None) -> tuple[Optimizer, ...]:
    """Read the optimizer states of a checkpoint, with the name of the parameter at each position.

    Raises:
        DecayAuditError: the file cannot be read, has no optimizer state, or a position's name is not certain.
    """
    from decay_audit.sources.checkpoint import onto_model, read

    path = targets.path_of(checkpoint)
    if not targets.exists(path):
        raise DecayAuditError(f"no such file: {checkpoint}", "name a checkpoint: a file or a folder")
    inventory = read(path, target=path.name, key=key, model=loaded.inventory)
    order = [parameter.name for parameter in inventory.parameters]
    if not inventory.optimizers:
        raise DecayAuditError(f"{path.name} holds no optimizer state", "save `optimizer.state_dict()` with the model")
    for optimizer in inventory.optimizers:
        names = [*chain.from_iterable(group.parameters for group in optimizer.groups)]
        reason = "" if all(names) else "it has positions without a name"
        if reason := reason or explain_ambiguity(optimizer, order):
            raise DecayAuditError(
                f"{path.name}: which parameter is at which position of {optimizer.name} is not certain: {reason}",
                "save it with names: give the optimizer model.named_parameters() (torch 2.6 or newer)",
            )
    return onto_model.fit(inventory, loaded.inventory).optimizers


def _names(plan: Plan) -> list[tuple[str, ...]]:
    return [tuple(decision.name for decision in group.decisions) for group in plan.groups()]


def _migrate_command(loaded: LoadedTarget, checkpoint: str, key: str | None) -> str:
    path = Path(checkpoint)
    output = path.with_name(f"{path.stem}-migrated{path.suffix}")
    words = ["decay-audit", "migrate", checkpoint, "--model", loaded.inventory.target, "--output", str(output)]
    words += [] if key is None else ["--key", key]
    return f"once the code is in groups.py: {shell_join(words)} --to groups.py:make_optimizer"
