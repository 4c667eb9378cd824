"""Add to the parameters of a checkpoint what their model knows: names, owners, declarations and order.

The names of the model may have a prefix in the checkpoint (Lightning's `model.`), which is found and removed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from msgspec.structs import replace

from decay_audit.errors import TargetError
from decay_audit.model.inventory import ExcludedTensor, Inventory
from decay_audit.model.observations import Optimizer
from decay_audit.model.parameters import Parameter
from decay_audit.sources.checkpoint.state_dict.canonical_names import CanonicalNames
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel
from decay_audit.text import count_noun, first_few, format_shape

_MAX_LISTED = 5
"""How many names a note lists."""
_MAX_COMPARED = 1000
"""The most names that are compared with a name that the model lacks."""
_LONGEST_NAMES = 2
"""How many of the longest names of the model are looked for in the checkpoint, to find a prefix."""
_MAX_PREFIXES = 16
"""The most prefixes that are tried."""

Counterparts = dict[str, tuple[Parameter, ...]]
"""Maps the name of each saved parameter to its parameters in the model: several if the model does not tie them."""


def fit(saved: Inventory, model: Inventory) -> Inventory:
    """Give each saved parameter the names, the tied names, the owner, declarations and uses that the model knows.

    A parameter that the model does not have stays as it is in the checkpoint, with a note.

    Raises:
        TargetError: the model has none of the saved names.
    """
    prefix = find_prefix(saved.parameters, model.parameters)
    by_name = _by_name(model.parameters)
    counterparts = {parameter.name: _counterparts(parameter, by_name, prefix) for parameter in saved.parameters}
    if saved.parameters and model.parameters and not any(counterparts.values()):
        raise TargetError(
            f"{saved.target} is a checkpoint of another model: "
            f"none of its {count_noun(len(saved.parameters), 'parameter')} is in {model.target}",
            f"name the model that has {first_few([parameter.name for parameter in saved.parameters], 3)}",
        )
    fitted = _fit_parameters(saved.parameters, counterparts)
    buffers = _buffer_names(model.parameters, prefix)
    unmatched = [
        parameter
        for parameter in saved.parameters
        if not counterparts[parameter.name] and parameter.name not in buffers
    ]
    reasons = {parameter.name: "a buffer of the model" for parameter in saved.parameters if parameter.name in buffers}
    reasons |= {
        parameter.name: f"the model's {parameter.name} is {prefix}{parameter.name} in this checkpoint"
        for parameter in unmatched
        if parameter.name in fitted
    }
    fitted.update((parameter.name, parameter) for parameter in unmatched if parameter.name not in fitted)
    order = {parameter.name: index for index, parameter in enumerate(model.parameters)}
    return replace(
        saved,
        built_on=model.built_on,
        made_in_forward=model.made_in_forward,
        parameters=tuple(sorted(fitted.values(), key=lambda parameter: order.get(parameter.name, len(order)))),
        optimizers=tuple(_renamed(optimizer, prefix, by_name) for optimizer in saved.optimizers),
        excluded=(*saved.excluded, *(ExcludedTensor(name=name, reason=reason) for name, reason in reasons.items())),
        notes=(*saved.notes, *model.notes, *_difference_notes(saved, unmatched, counterparts, model)),
    )


def _fit_parameters(parameters: Iterable[Parameter], counterparts: Counterparts) -> dict[str, Parameter]:
    """Make the model's parameters by name, each with the shape and dtype of the first saved parameter that it has."""
    fitted: dict[str, Parameter] = {}
    for parameter in parameters:
        for counterpart in counterparts[parameter.name]:
            fitted.setdefault(
                counterpart.name, replace(counterpart, shape=parameter.shape, dtype=parameter.dtype, lazy=False)
            )
    return fitted


def put_in_model_order(saved: MergedModel, model: Inventory | None) -> MergedModel:
    """Put the saved parameters into the order of the trained model, because an optimizer refers to positions in it.

    A file of torch has that order. It is kept, because the code may have changed since, unless the names in the file
    are sorted. Any other file takes the order of the given model; one without parameters gets all parameters of that
    model. A file that lacks a parameter of the model, or has it in another shape, belongs to another
    model: its order is kept, too.
    """
    if model is None or (model.kind == "safetensors" and model.built_on is None):
        return saved  # a model from a safetensors file has no order: the names there are sorted
    if not saved.parameters:
        canonical_names = CanonicalNames(parameter.name for parameter in model.parameters)
        return replace(saved, parameters=model.parameters, canonical_names=canonical_names, in_model_order=True)
    prefix = find_prefix(saved.parameters, model.parameters)
    by_name = _by_name(saved.parameters)
    ordered: dict[str, Parameter] = {}
    for parameter in model.parameters:
        names = (f"{prefix}{name}" for name in (parameter.name, *parameter.tied_to))
        counterpart = next((by_name[name] for name in names if name in by_name), None)
        if (
            counterpart is None
            or counterpart.name in ordered
            or (counterpart.shape != parameter.shape and not parameter.lazy)
        ):
            return saved
        ordered[counterpart.name] = replace(counterpart, trainable=parameter.trainable)
    in_file = [parameter.name for parameter in saved.parameters if parameter.name in ordered]
    if not saved.in_model_order or in_file == sorted(in_file):
        in_file = [*ordered]  # a tool may have sorted the names
    return replace(saved, parameters=tuple(ordered[name] for name in in_file), in_model_order=True)


def find_prefix(saved: Sequence[Parameter], model: Sequence[Parameter]) -> str:
    """Find the prefix that the checkpoint puts before the names of the model, such as `model.`; "" without a prefix.

    The prefix under which most names of the model are in the checkpoint is chosen. Only a few names of the model
    suggest prefixes, and only the most frequent suggestions are tried: if all names in a file end alike, the time for
    every prefix would grow with the square of their number.
    """
    saved_names = _by_name(saved).keys()
    names = [parameter.name for parameter in model]
    probes = {*names[:1], *names[-1:], *sorted(names, key=len)[-_LONGEST_NAMES:]}
    suggested = Counter(
        saved_name.removesuffix(probe)
        for saved_name in saved_names
        for probe in probes
        if saved_name.endswith(f".{probe}")
    )
    frequent = sorted(suggested, key=lambda prefix: (-suggested[prefix], len(prefix), prefix))[:_MAX_PREFIXES]
    return max(["", *frequent], key=lambda prefix: sum(f"{prefix}{name}" in saved_names for name in names))


def _by_name(parameters: Sequence[Parameter]) -> Mapping[str, Parameter]:
    """Map the name and all tied names of each parameter to the parameter."""
    return {name: parameter for parameter in parameters for name in (parameter.name, *parameter.tied_to)}


def _counterparts(parameter: Parameter, by_name: Mapping[str, Parameter], prefix: str) -> tuple[Parameter, ...]:
    names = (name for name in (parameter.name, *parameter.tied_to) if name.startswith(prefix))
    counterparts = (by_name.get(name.removeprefix(prefix)) for name in names)
    return tuple({other.name: other for other in counterparts if other is not None}.values())


def _renamed(optimizer: Optimizer, prefix: str, by_name: Mapping[str, Parameter]) -> Optimizer:
    def renamed(name: str) -> str:
        bare = name.removeprefix(prefix)
        return by_name[bare].name if bare in by_name else name

    groups = tuple(replace(group, parameters=tuple(map(renamed, group.parameters))) for group in optimizer.groups)
    return replace(optimizer, groups=groups, mismatched_state=tuple(map(renamed, optimizer.mismatched_state)))


def _buffer_names(model: Sequence[Parameter], prefix: str) -> frozenset[str]:
    """List the names of the model's buffers, its tensors that are no parameters, as they are in the checkpoint."""
    owners = {owner.name: owner for parameter in model for owner in parameter.owner.lineage()}
    tensors = {f"{name}.{leaf}".lstrip(".") for name, owner in owners.items() for leaf in owner.tensors}
    return frozenset(f"{prefix}{name}" for name in tensors - _by_name(model).keys())


def _difference_notes(
    saved: Inventory, unmatched: Sequence[Parameter], counterparts: Counterparts, model: Inventory
) -> Iterator[str]:
    in_checkpoint = {other.name for others in counterparts.values() for other in others}
    missing = [parameter for parameter in model.parameters if parameter.name not in in_checkpoint]
    reshaped = {
        other.name: f"{other.name} {format_shape(parameter.shape)} (in the model {format_shape(other.shape)})"
        for parameter in saved.parameters
        for other in counterparts[parameter.name]
        if not other.lazy and other.shape != parameter.shape
    }
    shown = [_with_nearest(parameter, missing) for parameter in unmatched[:_MAX_LISTED]]
    shown += [parameter.name for parameter in unmatched[_MAX_LISTED:]]
    yield from _note(shown, f"in the checkpoint and not in {model.target}")
    yield from _note([parameter.name for parameter in missing], f"in {model.target} and not in the checkpoint")
    yield from _note(list(reshaped.values()), f"of another shape in {model.target}")


def _with_nearest(parameter: Parameter, missing: Sequence[Parameter]) -> str:
    """Name a parameter that the model lacks, and the most similar one of the same shape that the checkpoint lacks."""
    same_shape = [other.name for other in missing if other.shape == parameter.shape and other.leaf == parameter.leaf]
    nearest = get_close_matches(parameter.name, same_shape[:_MAX_COMPARED], n=1, cutoff=0.0)
    return f"{parameter.name} (in the model {nearest[0]}?)" if nearest else parameter.name


def _note(names: list[str], where: str) -> Iterable[str]:
    if names:
        yield f"{count_noun(len(names), 'parameter')} {where}: {first_few(names, _MAX_LISTED)}"
