"""Find in a record which groups changed, and which parameters got no gradient."""

from collections.abc import Iterator, Mapping

from decay_audit.model.records import GradientKind, Record, RecordedGroup, RecordedOptimizer
from decay_audit.model.training_facts import GroupChange, TrainingFacts
from decay_audit.sources.run.grouping import AuditGroup


def training_facts(record: Record, audit: AuditGroup, names: Mapping[int, str]) -> TrainingFacts:
    """Collect the facts on the models and optimizers of one audit."""
    gradients = {
        tensor: record.tensors[tensor].gradient
        for _, optimizer in audit.optimizers
        for group in optimizer.groups
        for tensor in group.tensors
        if record.tensors[tensor].trainable
    }

    def names_with(gradient: GradientKind) -> tuple[str, ...]:
        return tuple(
            names[tensor] for tensor, recorded in gradients.items() if recorded == gradient and tensor in names
        )

    return TrainingFacts(
        without_gradient=names_with("none"),
        zero_gradient=names_with("zero"),
        decayed=frozenset(
            names[tensor]
            for _, optimizer in audit.optimizers
            for group in optimizer.groups
            if _coefficient(group)
            for tensor in group.tensors
            if tensor in names
        ),
        changes=tuple(
            change
            for name, optimizer in audit.optimizers
            for change in _changes(_class_name(name, optimizer, audit), optimizer, names)
        ),
        steps=record.steps,
    )


def _class_name(name: str, optimizer: RecordedOptimizer, audit: AuditGroup) -> str:
    """Return the class of an optimizer, and its own name too if several optimizers have that class."""
    kind = optimizer.chain[0].type
    same_class = [other for _, other in audit.optimizers if other.chain[0].type == kind]
    return kind if len(same_class) == 1 else f"{kind} {name}"


def _changes(name: str, optimizer: RecordedOptimizer, names: Mapping[int, str]) -> Iterator[GroupChange]:
    for index, (before, group) in enumerate(zip(optimizer.construction, optimizer.groups, strict=False)):
        old, new = before.weight_decay, _coefficient(group)
        changed = None not in (old, new) and old != new
        earlier, later = set(before.tensors), set(group.tensors)
        added = [tensor for tensor in group.tensors if tensor not in earlier]
        removed = len([tensor for tensor in before.tensors if tensor not in later])
        if changed or added or removed:
            yield GroupChange(
                optimizer=name,
                group=index,
                weight_decay=(old or 0.0, (new if changed else old) or 0.0),
                parameters=tuple(names[tensor] for tensor in group.tensors if tensor in names),
                added=tuple(names.get(tensor, "") for tensor in added),
                removed=removed,
            )


def _coefficient(group: RecordedGroup) -> float | None:
    values = [group.hyperparameters[key] for key in ("weight_decay", "wd") if key in group.hyperparameters]
    return float(values[0]) if values and isinstance(values[0], int | float) else None
