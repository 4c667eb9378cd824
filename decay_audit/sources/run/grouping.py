"""Sort the models and optimizers of a record into audits.

Optimizers of one model belong together, and so do the models of one optimizer, and a model and its submodules.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.records import Record, RecordedModel, RecordedOptimizer


class AuditGroup(Struct, frozen=True, kw_only=True):
    """Models, and all optimizers that hold their tensors.

    Attributes:
        models: the models that are not submodules of another model.
        free_tensors: positions in the record of the tensors that an optimizer holds and no module does, such as a
            temperature.
        name: the names of the models' variables, joined by ` + `; `tensors` if there is no model. Several audits with
            one name have an index: `net[0]`, `net[1]`.
    """

    models: tuple[RecordedModel, ...]
    optimizers: tuple[tuple[str, RecordedOptimizer], ...]
    free_tensors: tuple[int, ...] = ()
    name: str


def group_by_audit(record: Record) -> tuple[AuditGroup, ...]:
    """Sort the optimizers of a record into audits. All optimizers that share a model are in one audit."""
    inside = {model.module: _modules_inside(record, model.module) for model in record.models}
    sets = _connected_sets(record, inside)
    names = _distinct([optimizer.name for optimizer in record.optimizers])
    groups = [
        _audit_group(
            record,
            [record.models[i] for i in models],
            [(names[position], record.optimizers[position]) for position in optimizers],
            inside,
        )
        for models, optimizers in sets
    ]
    return tuple(
        replace(group, name=name)
        for group, name in zip(groups, _distinct([group.name for group in groups]), strict=True)
    )


def _audit_group(
    record: Record,
    models: Sequence[RecordedModel],
    optimizers: Sequence[tuple[str, RecordedOptimizer]],
    inside: dict[int, set[int]],
) -> AuditGroup:
    outer_models = [
        model
        for model in models
        if not any(model.module in inside[other.module] for other in models if other.module != model.module)
    ]
    positions_in_models = {
        position
        for model in outer_models
        for module in inside[model.module]
        for position in _parameter_positions(record, module)
    }
    # a tensor that a module held before it was replaced is not free: `former_names` has it
    free_tensors = [
        position
        for _, optimizer in optimizers
        for group in optimizer.groups
        for position in group.tensors
        if position not in positions_in_models and str(position) not in optimizer.former_names
    ]
    count = sum(1 for _, optimizer in optimizers for group in optimizer.groups for _ in group.tensors)
    named_models = _with_distinct_names(outer_models)
    are_parameters = not outer_models or _are_variables(record, free_tensors, count)
    return AuditGroup(
        name=" + ".join(model.name for model in named_models) or "tensors",
        models=named_models,
        optimizers=tuple(optimizers),
        free_tensors=tuple(dict.fromkeys(free_tensors)) if are_parameters else (),
    )


def _are_variables(record: Record, free_tensors: Sequence[int], count: int) -> bool:
    """Whether tensors outside a model are variables of the script, such as a temperature, and not copies of weights.

    They count as copies if one of them has no variable's name, or if they are several, and more than a quarter of the
    `count` tensors that the optimizers hold.
    """
    return 0 < len(free_tensors) <= max(1, count // 4) and all(
        record.tensors[position].name for position in free_tensors
    )


def _parameter_positions(record: Record, module: int) -> Iterator[int]:
    yield from (position for _, position in record.modules[module].parameters)


def _modules_inside(record: Record, root: int) -> set[int]:
    """Return the positions of a module and of all its submodules."""
    inside: set[int] = set()
    stack = [root]
    while stack:
        module = stack.pop()
        if module not in inside:
            inside.add(module)
            stack += [child for _, child in record.modules[module].children]
    return inside


def _connected_sets(record: Record, inside: dict[int, set[int]]) -> list[tuple[list[int], list[int]]]:
    """Sort models and optimizers into sets: two optimizers are in one set if their models overlap.

    Returns:
        For each set the positions of its models in the record, and the positions of its optimizers.
    """
    sets: list[tuple[list[int], list[int]]] = []
    for position, optimizer in enumerate(record.optimizers):
        models, optimizers = [*optimizer.models], [position]
        sets_without_overlap = []
        for other_models, other_optimizers in sets:
            if _overlap(record, models, other_models, inside):
                models, optimizers = [*dict.fromkeys([*other_models, *models])], [*other_optimizers, *optimizers]
            else:
                sets_without_overlap.append((other_models, other_optimizers))
        sets = [*sets_without_overlap, (models, optimizers)]
    return sets


def _overlap(record: Record, first: Sequence[int], second: Sequence[int], inside: dict[int, set[int]]) -> bool:
    """Whether a model of the first list is a model of the second list, or a submodule of one, or the reverse."""
    modules, other_modules = ([record.models[i].module for i in models] for models in (first, second))
    return any(a in inside[b] or b in inside[a] for a in modules for b in other_modules)


def _distinct(names: Sequence[str]) -> list[str]:
    """Make names distinct: several with the name `optimizer` become `optimizer[0]`, `optimizer[1]`, ..."""
    return [
        f"{name}[{names[:position].count(name)}]" if names.count(name) > 1 else name
        for position, name in enumerate(names)
    ]


def _with_distinct_names(models: Sequence[RecordedModel]) -> tuple[RecordedModel, ...]:
    names = [model.name for model in models]
    return tuple(
        replace(model, name=f"{model.name}{names[:position].count(model.name)}")
        if names.count(model.name) > 1
        else model
        for position, model in enumerate(models)
    )
