"""A checkpoint seen through its model: the saved tensors, with the owners, hints and ties that the model knows."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from decay_audit.inventory import Inventory
from decay_audit.observations import Optimizer
from decay_audit.parameters import Parameter

SHOWN = 5


def fit(saved: Inventory, model: Inventory) -> Inventory:
    """Give each saved parameter what the model knows of the parameter of that name.

    A prefix that all names of the model have in the checkpoint (Lightning's `model.`) is found and taken off. What
    does not fit is kept as the checkpoint has it, and said in the notes.
    """
    prefix = _prefix(saved, model)
    known = {name: parameter for parameter in model.parameters for name in (parameter.name, *parameter.tied_to)}
    found = {parameter.name: known.get(parameter.name.removeprefix(prefix)) for parameter in saved.parameters}
    reshaped = {
        parameter.name
        for parameter in saved.parameters
        if (twin := found[parameter.name]) and not twin.lazy and twin.shape != parameter.shape
    }
    return replace(
        saved,
        built_on=model.built_on,
        parameters=tuple(_fitted(parameter, found[parameter.name], prefix) for parameter in saved.parameters),
        optimizers=tuple(_renamed(optimizer, prefix) for optimizer in saved.optimizers),
        notes=(*saved.notes, *model.notes, *_misfits(found, reshaped, model, prefix)),
    )


def _prefix(saved: Inventory, model: Inventory) -> str:
    """What stands before the model's names in the checkpoint: the prefix under which most of them are found."""
    names = {parameter.name for parameter in saved.parameters}
    first = next((parameter.name for parameter in model.parameters), "")
    candidates = {"", *(name.removesuffix(first) for name in names if name.endswith(f".{first}"))}
    return max(sorted(candidates), key=lambda prefix: sum(f"{prefix}{one.name}" in names for one in model.parameters))


def _fitted(parameter: Parameter, twin: Parameter | None, prefix: str) -> Parameter:
    if twin is None:
        return parameter
    return replace(
        parameter,
        owner=twin.owner,
        name=parameter.name.removeprefix(prefix),
        trainable=twin.trainable,
        attributes=twin.attributes,
        declared_no_decay=twin.declared_no_decay,
        uses=twin.uses,
    )


def _renamed(optimizer: Optimizer, prefix: str) -> Optimizer:
    groups = (
        replace(group, parameters=tuple(name.removeprefix(prefix) for name in group.parameters))
        for group in optimizer.groups
    )
    misfits = tuple(name.removeprefix(prefix) for name in optimizer.misfits)
    return replace(optimizer, groups=tuple(groups), misfits=misfits)


def _misfits(
    found: Mapping[str, Parameter | None], reshaped: Iterable[str], model: Inventory, prefix: str
) -> Iterator[str]:
    there = {name.removeprefix(prefix) for name in found}
    strange = [name for name, twin in found.items() if twin is None]
    missing = [one.name for one in model.parameters if there.isdisjoint((one.name, *one.tied_to))]
    for names, words in (
        (strange, f"in the checkpoint and not in {model.target}"),
        (missing, f"in {model.target} and not in the checkpoint"),
        (sorted(reshaped), f"of another shape in {model.target}"),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            what = "parameter" if len(names) == 1 else "parameters"
            yield f"{len(names)} {what} {words}: {', '.join(names[:SHOWN])}{more}"
