"""Sort the models and optimizers of a record into audits.

Optimizers of one model belong together, and so do the models of one optimizer, and a model and a part of it.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from decay_audit.model.records import Record, RecordedModel, RecordedOptimizer


class AuditGroup(Struct, frozen=True, kw_only=True):
    """Models, and all optimizers that hold their tensors.

    Attributes:
        models: without those that are part of another one.
        loose: tensors of the optimizers that no module holds and that have not been replaced since they were made.
    """

    models: tuple[RecordedModel, ...]
    optimizers: tuple[tuple[str, RecordedOptimizer], ...]
    loose: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The names of the models' variables, or of the tensors where no module holds them."""
        return " + ".join(model.name for model in self.models) or "tensors"


def together(record: Record) -> tuple[AuditGroup, ...]:
    """Sort the optimizers of a record into audits, in the order in which they were made."""
    inside = {model.module: _modules_inside(record, model.module) for model in record.models}
    sets = _connected(record, inside)
    names = _distinct_names(record.optimizers)
    return tuple(
        _audit(
            record,
            [record.models[i] for i in models],
            [(names[position], record.optimizers[position]) for position in optimizers],
            inside,
        )
        for models, optimizers in sets
    )


def _audit(
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
    held = {position for model in outer for module in inside[model.module] for position in _own(record, module)}
    loose = [
        position
        for _, optimizer in optimizers
        for group in optimizer.groups
        for position in group.tensors
        if position not in held and str(position) not in optimizer.former_names
    ]
    counts = sum(1 for _, optimizer in optimizers for group in optimizer.groups for _ in group.tensors)
    accepted = dict.fromkeys(loose) if not outer or _are_variables(record, loose, counts) else {}
    return AuditGroup(models=_with_distinct_names(outer), optimizers=tuple(optimizers), loose=tuple(accepted))


def _are_variables(record: Record, loose: Sequence[int], count: int) -> bool:
    """Whether tensors beside a model are variables of the script, such as a temperature, and not copies of weights."""
    return 0 < len(loose) <= max(1, count // 4) and all(record.tensors[position].name for position in loose)


def _own(record: Record, module: int) -> Iterator[int]:
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


def _connected(record: Record, inside: dict[int, set[int]]) -> list[tuple[list[int], list[int]]]:
    """Sort models and optimizers into sets: positions of models, and positions of optimizers."""
    sets: list[tuple[list[int], list[int]]] = []
    for position, optimizer in enumerate(record.optimizers):
        models, optimizers = [*optimizer.models], [position]
        rest = []
        for other_models, other_optimizers in sets:
            if _overlap(record, models, other_models, inside):
                models, optimizers = [*dict.fromkeys([*other_models, *models])], [*other_optimizers, *optimizers]
            else:
                rest.append((other_models, other_optimizers))
        sets = [*rest, (models, optimizers)]
    return sets


def _overlap(record: Record, some: Sequence[int], others: Sequence[int], inside: dict[int, set[int]]) -> bool:
    modules, other_modules = ([record.models[i].module for i in models] for models in (some, others))
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
