"""What building and tracing one architecture showed, in a form that a file can hold: judging it takes a moment."""

import contextlib
from time import perf_counter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from benchmarks.zoo_models import build
from decay_audit import Inventory, read
from decay_audit.errors import DecayAuditError
from decay_audit.model.parameters import Owner, Parameter, Use
from decay_audit.sources.trace import Trace, make_example_inputs, trace, with_uses

NOBODY = Owner()
MANY = 300_000_000  # elements; a larger model is not built with real numbers for the sake of its buffers


class Reading(Struct, frozen=True, kw_only=True):
    """One architecture.

    Attributes:
        failure: why it could not be built; the rest is empty then.
        traced: the forward pass reached its end.
        notes: what the trace had to say.
        owners: every owner once, without its parent; `parents` has the parents' places, -1 for the root.
        parameters: without their owners; `held_by` has the owners' places.
        tensors: what a saved state dict holds, by name.
        seconds: to build, read and trace.
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
        """Put parameters, owners and their parents together again."""
        owners: list[Owner] = []
        for owner, parent in zip(self.owners, self.parents, strict=True):
            owners.append(replace(owner, parent=owners[parent] if parent >= 0 else None))
        return tuple(
            replace(parameter, owner=owners[place])
            for parameter, place in zip(self.parameters, self.held_by, strict=True)
        )


def reading(name: str) -> Reading:
    """Build, read and trace one architecture; a failure to build is a reading too."""
    start = perf_counter()
    try:
        model, built_on = build(name)
        inventory = read(model)
        traced = _traced(model)
    except Exception as error:  # noqa: BLE001 - another library's constructor
        return Reading(name=name, failure=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:200])
    if not traced.complete and built_on == "meta" and _elements(inventory) < MANY:
        with contextlib.suppress(Exception):  # buffers have their values then, and the pass may ask for them
            model, built_on = build(name, real=True)
            inventory, traced = read(model), _traced(model)
    traced_reading = taken(name, with_uses(inventory, traced), saved(model))
    seconds = round(perf_counter() - start, 3)
    return replace(traced_reading, built_on=built_on, traced=traced.complete, notes=traced.notes, seconds=seconds)


def _elements(inventory: Inventory) -> int:
    return sum(parameter.numel for parameter in inventory.parameters)


def saved(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """List what a saved state dict holds: parameters and buffers, by name."""
    return {name: tuple(tensor.shape) for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def taken(name: str, inventory: Inventory, tensors: dict[str, tuple[int, ...]]) -> Reading:
    """Take parameters and owners apart, so that each is written once."""
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
        parameters=tuple(replace(parameter, owner=NOBODY) for parameter in inventory.parameters),
        held_by=held_by,
        tensors=tensors,
    )


def _numbers(settings: Any) -> dict[str, int | float | str | bool]:  # noqa: ANN401
    """Keep what fits a file: whole numbers of 64 bits."""
    return {key: value for key, value in settings.items() if not isinstance(value, int) or abs(value) < 2**63}


def _traced(model: nn.Module) -> Trace:
    try:
        return trace(model, make_example_inputs(model))
    except DecayAuditError as error:
        return Trace(uses=dict[str, tuple[Use, ...]](), complete=False, notes=(error.message,))
