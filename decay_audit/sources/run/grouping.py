"""Sort the models and optimizers of a record into audits.

Optimizers of one model belong together, and so do the models of one optimizer, and a model and its submodules.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from decay_audit.model.records import Record, RecordedModel, RecordedOptimizer


class AuditGroup(Struct, frozen=True, kw_only=True):
    """Models, and all optimizers that hold their tensors.

    Attributes:
        models: the models that are not submodules of another model.
        free_tensors: positions of the optimizers' tensors that no module holds, such as a temperature.
    """

    models: tuple[RecordedModel, ...]
    optimizers: tuple[tuple[str, RecordedOptimizer], ...]
    free_tensors: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The names of the models' variables, joined by ` + `; `tensors` if there is no model."""
        return " + ".join(model.name for model in self.models) or "tensors"


def group_by_audit(record: Record) -> tuple[AuditGroup, ...]:
    """Sort the optimizers of a record into audits, in the order in which they were made."""
    inside = {model.module: _modules_inside(record, model.module) for model in record.models}
    sets = _connected_sets(record, inside)
    names = _distinct_names(record.optimizers)
    return tuple(
        _audit_group(
            record,
            [record.models[i] for i in models],
            [(names[position], record.optimizers[position]) for position in optimizers],
            inside,
        )
        for models, optimizers in sets
    )


def _audit_group(
    record: Record,
    models: Sequence[RecordedModel],
    optimizers: Sequence[tuple[str, RecordedOptimizer]],
    inside: dict[int, set[int]],
) -> AuditGroup:
    outer = [
        model
        for model in models
        if not any(model.module in inside[other.module] for other in models if other.module != model.module)
    ]
    positions_in_models = {
        position
        for model in outer
        for module in inside[model.module]
        for position in _parameter_positions(record, module)
    }
    free_tensors = [
        position
        for _, optimizer in optimizers
        for group in optimizer.groups
        for position in group.tensors
        if position not in positions_in_models and str(position) not in optimizer.former_names
    ]
    count = sum(1 for _, optimizer in optimizers for group in optimizer.groups for _ in group.tensors)
    variables = dict.fromkeys(free_tensors) if not outer or _are_variables(record, free_tensors, count) else {}
    return AuditGroup(models=_with_distinct_names(outer), optimizers=tuple(optimizers), free_tensors=tuple(variables))


def _are_variables(record: Record, free_tensors: Sequence[int], count: int) -> bool:
    """Whether tensors outside a model are variables of the script, such as a temperature.

    Otherwise they are copies of weights: these are many, or have no variable.
    """
    return 0 < len(free_tensors) <= max(1, count // 4) and all(
        record.tensors[position].name for position in free_tensors
    )


def _parameter_positions(record: Record, module: int) -> Iterator[int]:
    yield from (position for _, position in record.modules[module].parameters)


def _modules_inside(record: Record, root: int) -> set[int]:
    inside: set[int] = set()
    stack = [root]
    while stack:
        module = stack.pop()
        if module not in inside:
            inside.add(module)
            stack += [child for _, child in record.modules[module].children]
    return inside


def _connected_sets(record: Record, inside: dict[int, set[int]]) -> list[tuple[list[int], list[int]]]:
    """Sort models and optimizers into sets. A set is the positions of its models, and those of its optimizers."""
    sets: list[tuple[list[int], list[int]]] = []
    for position, optimizer in enumerate(record.optimizers):
        models, optimizers = [*optimizer.models], [position]
        separate = []
        for other_models, other_optimizers in sets:
            if _overlap(record, models, other_models, inside):
                models, optimizers = [*dict.fromkeys([*other_models, *models])], [*other_optimizers, *optimizers]
            else:
                separate.append((other_models, other_optimizers))
        sets = [*separate, (models, optimizers)]
    return sets


def _overlap(record: Record, first: Sequence[int], second: Sequence[int], inside: dict[int, set[int]]) -> bool:
    modules, other_modules = ([record.models[i].module for i in models] for models in (first, second))
    return any(a in inside[b] or b in inside[a] for a in modules for b in other_modules)


def _distinct_names(optimizers: Sequence[RecordedOptimizer]) -> list[str]:
    names = [optimizer.name for optimizer in optimizers]
    return [
        f"{name}[{names[:position].count(name)}]" if names.count(name) > 1 else name
        for position, name in enumerate(names)
    ]


def _with_distinct_names(models: Sequence[RecordedModel]) -> tuple[RecordedModel, ...]:
    from msgspec.structs import replace

    names = [model.name for model in models]
    return tuple(
        replace(model, name=f"{model.name}{names[:position].count(model.name)}")
        if names.count(model.name) > 1
        else model
        for position, model in enumerate(models)
    )
