"""A checkpoint seen through its model: saved tensors with the names, owners, hints and ties that the model knows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from msgspec.structs import replace

from decay_audit.errors import TargetError
from decay_audit.model.inventory import ExcludedTensor, Inventory
from decay_audit.model.observations import Optimizer
from decay_audit.model.parameters import Parameter
from decay_audit.text import count_noun, first_few, format_shape

SHOWN = 5
MOST = 1000
_PROBES = 2
_TRIED = 16

Twins = dict[str, tuple[Parameter, ...]]
"""The model's parameters that each saved one holds; a file may have one tensor where the model has two."""


def fit(saved: Inventory, model: Inventory) -> Inventory:
    """Give each saved parameter what the model knows of it: its names and ties, owner, hints and uses.

    A prefix that the names of the model have in the checkpoint (Lightning's `model.`) is found and taken off. What
    does not fit is kept as the checkpoint has it, and said in the notes.

    Raises:
        TargetError: not one saved name is the model's.
    """
    before = prefix(saved.parameters, model.parameters)
    known = {name: parameter for parameter in model.parameters for name in (parameter.name, *parameter.tied_to)}
    twins = {one.name: _twins(one, known, before) for one in saved.parameters}
    if saved.parameters and model.parameters and not any(twins.values()):
        raise TargetError(
            f"{saved.target} is of another model: {model.target} has none of its {len(saved.parameters)} names",
            f"it holds {first_few([one.name for one in saved.parameters], 3)}: name the model that has these",
        )
    kept: dict[str, Parameter] = {}
    for one in saved.parameters:
        for twin in twins[one.name]:
            kept.setdefault(twin.name, replace(twin, shape=one.shape, dtype=one.dtype, lazy=False))
    buffers = _buffers(model.parameters, before)
    strange = [one for one in saved.parameters if not twins[one.name] and one.name not in buffers]
    left = {one.name: "a buffer of the model" for one in saved.parameters if one.name in buffers}
    left |= {one.name: f"{before}{one.name} is the model's" for one in strange if one.name in kept}
    kept.update((one.name, one) for one in strange if one.name not in kept)
    places = {one.name: place for place, one in enumerate(model.parameters)}
    return replace(
        saved,
        built_on=model.built_on,
        parameters=tuple(sorted(kept.values(), key=lambda one: places.get(one.name, len(places)))),
        optimizers=tuple(_renamed(optimizer, before, known) for optimizer in saved.optimizers),
        excluded=(*saved.excluded, *(ExcludedTensor(name=name, reason=reason) for name, reason in left.items())),
        notes=(*saved.notes, *model.notes, *_misfits(saved, strange, twins, model)),
    )


def prefix(saved: Sequence[Parameter], model: Sequence[Parameter]) -> str:
    """What stands before the model's names in the checkpoint: the prefix under which most of them are found.

    A few names of the model propose prefixes, and only those proposed most are tried: a file in which every name ends
    alike must not cost its square.
    """
    names = {name for parameter in saved for name in (parameter.name, *parameter.tied_to)}
    wanted = [parameter.name for parameter in model]
    probes = {*wanted[:1], *wanted[-1:], *sorted(wanted, key=len)[-_PROBES:]}
    proposed = Counter(name.removesuffix(probe) for name in names for probe in probes if name.endswith(f".{probe}"))
    likely = sorted(proposed, key=lambda one: (-proposed[one], len(one), one))[:_TRIED]
    return max(["", *likely], key=lambda one: sum(f"{one}{name}" in names for name in wanted))


def _twins(parameter: Parameter, known: Mapping[str, Parameter], prefix: str) -> tuple[Parameter, ...]:
    names = (name for name in (parameter.name, *parameter.tied_to) if name.startswith(prefix))
    found = (known.get(name.removeprefix(prefix)) for name in names)
    return tuple({twin.name: twin for twin in found if twin is not None}.values())


def _renamed(optimizer: Optimizer, prefix: str, known: Mapping[str, Parameter]) -> Optimizer:
    def name(saved: str) -> str:
        bare = saved.removeprefix(prefix)
        return known[bare].name if bare in known else saved

    groups = tuple(replace(group, parameters=tuple(map(name, group.parameters))) for group in optimizer.groups)
    return replace(optimizer, groups=groups, mismatched_state=tuple(map(name, optimizer.mismatched_state)))


def _buffers(model: Sequence[Parameter], prefix: str) -> frozenset[str]:
    """Name the model's buffers as the checkpoint would: what its modules hold beside the parameters."""
    owners = {owner.name: owner for one in model for owner in one.owner.lineage()}
    held = {f"{name}.{leaf}".lstrip(".") for name, owner in owners.items() for leaf in owner.tensors}
    parameters = {name for one in model for name in (one.name, *one.tied_to)}
    return frozenset(f"{prefix}{name}" for name in held - parameters)


def _misfits(saved: Inventory, strange: Sequence[Parameter], twins: Twins, model: Inventory) -> Iterator[str]:
    found = {twin.name for each in twins.values() for twin in each}
    missing = [one for one in model.parameters if one.name not in found]
    reshaped = {
        twin.name: f"{twin.name} {format_shape(one.shape)} ({format_shape(twin.shape)} there)"
        for one in saved.parameters
        for twin in twins[one.name]
        if not twin.lazy and twin.shape != one.shape
    }
    shown = [_with_nearest(one, missing) for one in strange[:SHOWN]] + [one.name for one in strange[SHOWN:]]
    yield from _note(shown, f"in the checkpoint and not in {model.target}")
    yield from _note([one.name for one in missing], f"in {model.target} and not in the checkpoint")
    yield from _note(list(reshaped.values()), f"of another shape in {model.target}")


def _with_nearest(one: Parameter, missing: Sequence[Parameter]) -> str:
    """Name a parameter that the model lacks, and the model's of its shape that it may have been called since."""
    alike = [each.name for each in missing if each.shape == one.shape and each.leaf == one.leaf]
    near = get_close_matches(one.name, alike[:MOST], n=1, cutoff=0.0)
    return f"{one.name} ({near[0]} there?)" if near else one.name


def _note(names: list[str], words: str) -> Iterable[str]:
    if names:
        yield f"{count_noun(len(names), 'parameter')} {words}: {first_few(names, SHOWN)}"
