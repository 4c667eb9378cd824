"""What optimizers do, as plain data: their groups and what each parameter gets. Knows no role and no rule."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Semantics = Literal["decoupled", "coupled", "none", "unknown"]
Origin = Literal["live", "checkpoint"]
Movement = Literal["proportional", "sign", "cautious", "other", "vanishing", "none", "unstable"]
"""What steps with a gradient of zero do to a weight.

`proportional`: they remove the same fraction of every element. `sign`: the same amount. `cautious`: a fraction, but
only where the gradient has the weight's sign. `other`: they move it in neither way. `vanishing`: they would remove a
fraction, and rounding to the parameter's dtype undoes it. `none`: nothing moves. `unstable`: the result is not finite.
"""


ALGORITHM_SETTINGS = ("betas", "momentum", "rho", "alpha")
"""Hyperparameters of torch.optim that tell its algorithms apart: a class that has one cannot step without it."""


class ParamGroup(Struct, frozen=True, kw_only=True):
    """One param group: its hyperparameters, and the canonical names of the parameters in it.

    Attributes:
        parameters: names, in the group's order; a position that no name could be found for is "".
        weight_decay_is_default: the coefficient is the class's default, which no code set. None where that cannot be
            known: it equals the default, and the construction of the optimizer was not watched.
        foreign_tensors: dtype and shape of each tensor in it that is not the model's, e.g. `float32 10x64`.
        flat_parameters: names of tensors in it that a wrapper packed from several parameters.
        shapes: of the state at each position, in a checkpoint that names no positions: `parameters` is then the order
            of the model, which is the best guess. None where a position has no state; empty where the file has names.
    """

    weight_decay: float
    lr: float | None = None
    parameters: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = {}
    weight_decay_is_default: bool | None = None
    foreign_tensors: tuple[str, ...] = ()
    flat_parameters: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...] | None, ...] = ()


class Optimizer(Struct, frozen=True, kw_only=True):
    """One optimizer, live or as a checkpoint saved it.

    Attributes:
        name: where it was found, e.g. `optimizer`, or the expression that made it.
        type: its class, e.g. `AdamW`, or `Lookahead(AdamW)`; `Adam or AdamW` where a checkpoint cannot tell.
        import_path: the innermost class by its path, or by its name alone if torch.optim has it; "" if it has no path.
        adaptive_denominator: its decay is coupled and divided by an adaptive denominator, so that what it removes is
            not proportional to the weight.
        notes: what could not be known, in words.
        name_caveats: what is not certain of the names of its positions, in words (a checkpoint only).
        mismatched_state: names of the parameters whose saved state has another shape (a checkpoint only).
    """

    name: str
    type: str
    groups: tuple[ParamGroup, ...]
    semantics: Semantics = "unknown"
    import_path: str = ""
    adaptive_denominator: bool = False
    origin: Origin = "live"
    notes: tuple[str, ...] = ()
    name_caveats: tuple[str, ...] = ()
    mismatched_state: tuple[str, ...] = ()


class Observation(Struct, frozen=True, kw_only=True):
    """What one optimizer does to one parameter.

    Attributes:
        parameter: canonical name.
        optimizer: the optimizer's name.
        group: index of the group that holds it.
        weight_decay: the group's coefficient.
        lr: the group's learning rate, or None.
        declared_rate: fraction of the weight that a step removes, divided by lr, by the optimizer's class and the
            settings of this group; None where that is not a constant (coupled decay) or not known.
        measured_rate: fraction of the weight that one step with a gradient of zero removes, divided by lr; None if not
            measured.
        movement: in which way that step moves the weight; None if not measured.
        origin: where the optimizer comes from: a live one and a saved one may have the same name.
    """

    parameter: str
    optimizer: str
    group: int
    weight_decay: float
    lr: float | None = None
    declared_rate: float | None = None
    measured_rate: float | None = None
    movement: Movement | None = None
    origin: Origin = "live"


class UpdateFormula(Struct, frozen=True, kw_only=True):
    """What a step does to one parameter.

    Attributes:
        optimizer: the class, as its `Optimizer` calls it.
        steps: assignments, in order, with numbers in place of hyperparameters.
        zero_gradient: what is left of the weight after one step with a gradient of zero, in words; "" where that has no
            short answer.
        source: where the formula is published.
    """

    optimizer: str
    steps: tuple[str, ...]
    zero_gradient: str = ""
    source: str = ""


def observe_groups(optimizer: Optimizer) -> tuple[Observation, ...]:
    """Read what an optimizer's groups set for each parameter that they name."""
    return tuple(
        Observation(
            parameter=parameter,
            optimizer=optimizer.name,
            group=index,
            weight_decay=group.weight_decay,
            lr=group.lr,
            origin=optimizer.origin,
        )
        for index, group in enumerate(optimizer.groups)
        for parameter in group.parameters
        if parameter
    )
