"""Find in a record which groups changed, and which parameters got no gradient."""

from collections.abc import Iterator, Mapping

from decay_audit.model.records import GradientKind, Record, RecordedGroup, RecordedOptimizer
from decay_audit.model.training_facts import GroupChange, TrainingFacts
from decay_audit.sources.run.grouping import AuditGroup

_SCHEDULED_VALUES = 3
"""A coefficient with this many different values in the steps of a run, or more, follows a schedule."""


def training_facts(record: Record, audit: AuditGroup, names: Mapping[int, str]) -> TrainingFacts:
    """Collect the facts on the models and optimizers of one audit.

    Args:
        names: the names of the models' parameters, by their position in `Record.tensors`.
    """
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
            for change in _changes(_display_name(name, optimizer, audit), optimizer, names)
        ),
        steps=record.steps,
    )


def _display_name(name: str, optimizer: RecordedOptimizer, audit: AuditGroup) -> str:
    """Return the class of an optimizer; if several optimizers have this class, return the class and the name."""
    class_name = optimizer.chain[0].type
    same_class = [other for _, other in audit.optimizers if other.chain[0].type == class_name]
    return class_name if len(same_class) == 1 else f"{class_name} {name}"


def _changes(display_name: str, optimizer: RecordedOptimizer, names: Mapping[int, str]) -> Iterator[GroupChange]:
    """Compare each group with the same group right after construction."""
    # code may remove groups later: groups that do not exist any more are not compared
    for index, (before, group) in enumerate(zip(optimizer.construction, optimizer.groups, strict=False)):
        old, new = before.weight_decay, _coefficient(group)
        coefficients = _coefficients_of_steps(optimizer, index)
        # groups of an optimizer that was deleted before the end are from its first step; recorded steps are newer
        if coefficients and new is not None:
            new = coefficients[-1]
        if old is None or new is None:  # a missing key, or a text, is no coefficient: there is nothing to compare
            old = new = old or 0.0
        tensors_before, tensors_now = set(before.tensors), set(group.tensors)
        added = [tensor for tensor in group.tensors if tensor not in tensors_before]
        removed = len([tensor for tensor in before.tensors if tensor not in tensors_now])
        if old != new or added or removed:
            yield GroupChange(
                optimizer=display_name,
                group=index,
                weight_decay=(old, new),
                parameters=tuple(names[tensor] for tensor in group.tensors if tensor in names),
                added=tuple(names.get(tensor, "") for tensor in added),
                removed=removed,
                is_schedule=len(set(coefficients)) >= _SCHEDULED_VALUES,
            )


def _coefficients_of_steps(optimizer: RecordedOptimizer, index: int) -> list[float]:
    """List the coefficients of a group in the steps that were recorded, in their order."""
    steps = optimizer.steps[index] if index < len(optimizer.steps) else ()
    return [weight_decay or 0.0 for (_, weight_decay, *_), _ in steps]


def _coefficient(group: RecordedGroup) -> float | None:
    """Return the weight_decay of a group; None if the group has none, or if it is not a number."""
    values = [group.hyperparameters[key] for key in ("weight_decay", "wd") if key in group.hyperparameters]
    return float(values[0]) if values and isinstance(values[0], int | float) else None
