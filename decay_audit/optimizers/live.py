"""Live optimizers become Optimizer and Observation values: what each group holds, by canonical parameter names.

Knows no role and no rule. `find` says what counts as an optimizer.
"""

from collections.abc import Mapping
from math import isfinite
from numbers import Real

import torch
from msgspec import Struct

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Observation, Optimizer, ParamGroup
from decay_audit.optimizers.find import Found, find, layers
from decay_audit.optimizers.identity import default_coefficient, importable, type_name, types
from decay_audit.optimizers.table.lookup import declared, meaning, row
from decay_audit.optimizers.watch_construction import Record
from decay_audit.text import format_shape

__all__ = ["Observed", "find", "observe", "speaking"]

_COEFFICIENTS = ("weight_decay", "wd")
_NOT_HYPERPARAMETERS = frozenset({"params", "param_names"})


class Observed(Struct, frozen=True, kw_only=True):
    """What live optimizers hold. A parameter that two groups hold has two observations; one that none holds, none."""

    optimizers: tuple[Optimizer, ...]
    observations: tuple[Observation, ...]


def observe(optimizers: Found, names: Mapping[int, str], record: Record | None = None) -> Observed:
    """Read optimizers as plain data.

    Args:
        optimizers: with a name each, as `find` returns them.
        names: `id(tensor)` -> canonical name, for every parameter of the model. The tensors must be alive.
        record: what was seen when they were built; without it an implicit default can only be suspected.

    Raises:
        OptimizerError: there are no groups, or a hyperparameter is not a finite number.
    """
    read = [_read(name, optimizer, names, record) for name, optimizer in optimizers]
    return Observed(
        optimizers=tuple(one for one, _ in read),
        observations=tuple(each for _, observations in read for each in observations),
    )


def _read(
    name: str, optimizer: torch.optim.Optimizer, names: Mapping[int, str], record: Record | None
) -> tuple[Optimizer, list[Observation]]:
    if not optimizer.param_groups:
        raise OptimizerError(f"{name} ({type(optimizer).__name__}) has no param groups", "give it parameters")
    inside = speaking(optimizer)
    groups = tuple(_group(name, optimizer, index, names, record) for index in range(len(optimizer.param_groups)))
    what = meaning(types(inside), [{**_switches(inside), **group.hyperparameters} for group in groups])
    observations = [
        Observation(
            parameter=parameter,
            optimizer=name,
            group=index,
            weight_decay=group.weight_decay,
            lr=group.lr,
            declared_rate=declared(way, group.weight_decay, group.lr),
        )
        for index, (group, way) in enumerate(zip(groups, what.paths, strict=True))
        for parameter in group.parameters
        if parameter
    ]
    read = Optimizer(
        name=name,
        type=type_name(optimizer),
        import_path=importable(optimizer),
        groups=groups,
        semantics=what.semantics,
        adaptive_denominator=what.adaptive_denominator,
        notes=what.notes,
    )
    return read, observations


def speaking(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The layer whose step decides what a coefficient does: the first that does not only call the one inside it.

    A wrapper that the table does not know may do anything with it.
    """
    chain = layers(optimizer)
    found: torch.optim.Optimizer = next((layer for layer in chain if not _only_calls(layer)), chain[-1])
    return found


def _only_calls(layer: object) -> bool:
    known = row(types(layer))
    return known is not None and known.path == "inside"


def _group(
    name: str, optimizer: torch.optim.Optimizer, index: int, names: Mapping[int, str], record: Record | None
) -> ParamGroup:
    group = optimizer.param_groups[index]
    place = f"group {index} of {name} ({type(optimizer).__name__})"
    key = next((each for each in _COEFFICIENTS if each in group), "")
    coefficient = _number(group[key], key, place) if key else 0.0
    tensors = [tensor for tensor in group.get("params", ()) if isinstance(tensor, torch.Tensor)]
    return ParamGroup(
        weight_decay=coefficient,
        lr=_number(group["lr"], "lr", place) if group.get("lr") is not None else None,
        parameters=tuple(names.get(id(tensor), "") for tensor in tensors),
        hyperparameters={each: _plain(value) for each, value in group.items() if each not in _NOT_HYPERPARAMETERS},
        weight_decay_is_default=_implicit(optimizer, index, coefficient, record),
        foreign_tensors=tuple(_described(tensor) for tensor in tensors if id(tensor) not in names),
        flat_parameters=tuple(names.get(id(tensor), "") for tensor in tensors if _is_flat(tensor)),
    )


def _switches(optimizer: object) -> dict[str, object]:
    """Attributes that may say how it decays, where the groups do not: `adam_w_mode`."""
    return {name: value for name, value in vars(optimizer).items() if isinstance(value, bool | int)}


def _number(value: object, key: str, place: str) -> float:
    """A hyperparameter as a float; torch also takes tensors, and numbers of NumPy."""
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.numel() != 1:
            raise OptimizerError(f"{place}: {key} is a tensor without a single value", f"give {key} as a number")
        value = value.item()
    if not isinstance(value, Real) or not isfinite(value):
        raise OptimizerError(f"{place}: {key} is {value!r}", f"{key} must be a finite number")
    if value < 0 and key in _COEFFICIENTS:
        raise OptimizerError(f"{place}: {key} is {value!r}", f"{key} must be 0 or more: weights would grow")
    return float(value)


def _plain(value: object) -> object:
    """A hyperparameter as data that can be compared and printed."""
    match value:
        case torch.Tensor():
            return value.item() if value.numel() == 1 and not value.is_meta else _described(value)
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return tuple(_plain(each) for each in value)
        case _:
            return getattr(value, "__qualname__", type(value).__qualname__)


def _described(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {format_shape(tensor.shape)}"


def _is_flat(tensor: torch.Tensor) -> bool:
    """FSDP1 packs the parameters of a wrapped module into one FlatParameter, unless it keeps the original ones."""
    return bool(getattr(tensor, "_is_flat_param", False))


def _implicit(optimizer: torch.optim.Optimizer, index: int, coefficient: float, record: Record | None) -> bool | None:
    chain = layers(optimizer)
    seen = [known for layer in chain if record and (known := record.weight_decay_is_default(layer, index)) is not None]
    if seen:
        return all(seen)
    return None if coefficient in map(default_coefficient, chain) else False
