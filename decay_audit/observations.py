"""What optimizers do, as plain data: their groups and what each parameter gets. Knows no role and no rule."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Semantics = Literal["decoupled", "coupled", "none", "unknown"]
Origin = Literal["live", "checkpoint"]


class Group(Struct, frozen=True, kw_only=True):
    """One param group: its hyperparameters, and the canonical names of the parameters in it.

    Attributes:
        parameters: names, in the group's order; a position that no name could be found for is "".
        implicit: the group never set `weight_decay`: it is the optimizer class's default. None if it cannot be known.
    """

    weight_decay: float
    lr: float | None = None
    parameters: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = {}
    implicit: bool | None = None


class Optimizer(Struct, frozen=True, kw_only=True):
    """One optimizer, live or as a checkpoint saved it.

    Attributes:
        name: where it was found, e.g. `optimizer`, or the expression that made it.
        type: its class, e.g. `AdamW`; `Adam or AdamW` where a checkpoint cannot tell.
        notes: what could not be known or mapped, in words.
    """

    name: str
    type: str
    groups: tuple[Group, ...]
    semantics: Semantics = "unknown"
    origin: Origin = "live"
    notes: tuple[str, ...] = ()


class Observation(Struct, frozen=True, kw_only=True):
    """What one optimizer does to one parameter.

    Attributes:
        parameter: canonical name.
        optimizer: the optimizer's name.
        group: index of the group that holds it.
        weight_decay: the group's coefficient.
        lr: the group's learning rate, or None.
        measured: fraction of the weight that one step without a gradient removes, divided by lr; None if not measured.
    """

    parameter: str
    optimizer: str
    group: int
    weight_decay: float
    lr: float | None = None
    measured: float | None = None
