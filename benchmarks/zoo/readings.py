"""The reading of an architecture: its parameters, their owners and their uses, as plain data for a file."""

import contextlib
from math import isfinite
from time import perf_counter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from benchmarks.zoo.models import build
from decay_audit import Inventory, read
from decay_audit.errors import DecayAuditError
from decay_audit.model.parameters import Owner, Parameter, Use
from decay_audit.sources.trace import Trace, make_example_inputs, trace, with_uses

NO_OWNER = Owner()
MAX_REAL_ELEMENTS = 300_000_000
"""A model with more elements is not built with real numbers for the sake of its buffers."""


class Reading(Struct, frozen=True, kw_only=True):
    """The reading of one architecture.

    Attributes:
        failure: why it could not be built; all other values are then empty.
        traced: whether the forward pass was traced to its end.
        notes: the notes of the trace.
        owners: every owner once, without its parent; `parents` has the positions of the parents, -1 for the root.
        parameters: the parameters without their owners; `held_by` has the positions of the owners.
        tensors: the shapes of the tensors in a saved state dict, by name.
        seconds: the time to build, read and trace the model.
    """

    name: str
    failure: str | None = None
    built_on: str = ""
    traced: bool = False
    notes: tuple[str, ...] = ()
    owners: tuple[Owner, ...] = ()
    parents: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    held_by: tuple[int, ...] = ()
    tensors: dict[str, tuple[int, ...]] = {}
    seconds: float = 0.0

    def restored(self) -> tuple[Parameter, ...]:
        """Make the parameters with their owners and the owners' parents."""
        owners: list[Owner] = []
        for owner, parent in zip(self.owners, self.parents, strict=True):
            owners.append(replace(owner, parent=owners[parent] if parent >= 0 else None))
        return tuple(
            replace(parameter, owner=owners[place])
            for parameter, place in zip(self.parameters, self.held_by, strict=True)
        )


def reading(name: str) -> Reading:
    """Build, read and trace an architecture. If it cannot be built, the reading has the reason."""
    start = perf_counter()
    try:
        model, built_on = build(name)
        inventory = read(model, no_trace=True)
        traced = _traced(model)
    except Exception as error:  # noqa: BLE001 - another library's constructor
        return Reading(name=name, failure=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:200])
    if not traced.complete and built_on == "meta" and _elements(inventory) < MAX_REAL_ELEMENTS:
        with contextlib.suppress(Exception):  # a pass may need the values of buffers, which this model has
            model, built_on = build(name, real=True)
            inventory, traced = read(model, no_trace=True), _traced(model)
    traced_reading = make_reading(name, with_uses(inventory, traced), state_dict_shapes(model))
    seconds = round(perf_counter() - start, 3)
    return replace(traced_reading, built_on=built_on, traced=traced.complete, notes=traced.notes, seconds=seconds)


def _elements(inventory: Inventory) -> int:
    return sum(parameter.numel for parameter in inventory.parameters)


def state_dict_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """List the shapes of parameters and buffers by name, as a saved state dict has them."""
    return {name: tuple(tensor.shape) for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def make_reading(name: str, inventory: Inventory, tensors: dict[str, tuple[int, ...]]) -> Reading:
    """Make a reading in which each owner stands once, apart from its parameters."""
    places: dict[int, int] = {}
    owners: list[Owner] = []
    parents: list[int] = []

    def place(owner: Owner) -> int:
        if id(owner) not in places:
            parent = place(owner.parent) if owner.parent is not None else -1
            places[id(owner)] = len(owners)
            owners.append(replace(owner, parent=None, settings=_numbers(owner.settings)))
            parents.append(parent)
        return places[id(owner)]

    held_by = tuple(place(parameter.owner) for parameter in inventory.parameters)
    return Reading(
        name=name,
        owners=tuple(owners),
        parents=tuple(parents),
        parameters=tuple(replace(parameter, owner=NO_OWNER) for parameter in inventory.parameters),
        held_by=held_by,
        tensors=tensors,
    )


def _numbers(settings: Any) -> dict[str, int | float | str | bool]:  # noqa: ANN401
    """Leave out what msgpack or JSON cannot write: integers of more than 64 bits, infinity and NaN."""
    return {
        key: value
        for key, value in settings.items()
        if not isinstance(value, int | float) or (isfinite(value) and abs(value) < 2**63)
    }


def _traced(model: nn.Module) -> Trace:
    try:
        return trace(model, make_example_inputs(model))
    except DecayAuditError as error:
        return Trace(uses=dict[str, tuple[Use, ...]](), complete=False, notes=(error.message,))
