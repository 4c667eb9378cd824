"""What optimizers do, as data: their groups, and what a step does to each parameter. Knows no role and no rule."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Semantics = Literal["decoupled", "coupled", "none", "unknown"]
Origin = Literal["live", "checkpoint"]
Movement = Literal[
    "proportional",
    "without_lr",
    "sign",
    "constant",
    "other_point",
    "normalized",
    "cautious",
    "scheduled",
    "other",
    "vanishing",
    "none",
    "unstable",
    "unknown",
]
"""What decay does to a weight, as steps on copies show it. Most of them have a gradient of zero.

- `proportional`: they remove the same fraction of every element, and twice as much with twice the learning rate.
- `without_lr`: they remove the same fraction of every element, whatever the learning rate is.
- `sign`: they move every element towards 0 by an amount that the coefficient hardly changes, as Adam does.
- `constant`: they subtract the same amount from every element, or take it off every magnitude; the coefficient sets it.
- `other_point`: they pull the weight towards other values than 0, such as those that it began with.
- `normalized`: what they remove depends on the gradient, or on a norm that cancels the coefficient.
- `cautious`: they remove a fraction, but only where the gradient has the weight's sign.
- `scheduled`: they remove a fraction of every element that changes from step to step and does not settle.
- `other`: they move the weight in another way.
- `vanishing`: they would remove a fraction, but rounding to the parameter's dtype undoes it.
- `none`: nothing moves.
- `unstable`: the result is not finite.
- `unknown`: the optimizer's class is not in the table, and no step was measured.
"""


ALGORITHM_SETTINGS = ("betas", "momentum", "rho", "alpha")
"""Hyperparameters of torch.optim that tell its algorithms apart: a class that has one cannot step without it."""


ForeignKind = Literal["replaced", "same shapes", "float32 copy", "another module", "unknown"]


class ForeignSource(Struct, frozen=True, kw_only=True):
    """What a tensor of an optimizer is that is not a parameter of the model.

    Attributes:
        kind: `replaced`: the model held it before the optimizer was made, and does not any more. `same shapes`: it has
            the shape of a parameter that no optimizer holds. `float32 copy`: such a one is of a 16-bit dtype.
            `another module`: a module holds it that is not part of the model.
        name: of the parameter that it was, that it resembles, or that it is in the other module.
        module: the class of the other module.
    """

    kind: ForeignKind
    name: str = ""
    module: str = ""


class ParamGroup(Struct, frozen=True, kw_only=True):
    """One param group: its hyperparameters, and the canonical names of the parameters in it.

    Attributes:
        parameters: names, in the group's order; "" for a position whose name is not known.
        weight_decay_is_default: no code set the coefficient; it is the class's default. None if it equals the default
            and the construction of the optimizer was not watched.
        foreign_tensors: dtype and shape of each tensor in it that is not the model's, e.g. `float32 10x64`.
        foreign_sources: what each of these tensors is; empty where that was not looked for.
        missing_keys: keys that its optimizer's class gives every group and looks up in a step, and that it lacks.
        flat_parameters: names of tensors in it that a wrapper packed from several parameters.
        distributed_parameters: names of its DTensors, which fully_shard and tensor parallelism make.
        updates_together: a step of torch's class updates its tensors with one operation for all (foreach, fused).
        shapes: of the state at each position, in a checkpoint without names; None for a position without a state.
            `parameters` is then a guess: the order of the model. Empty if the checkpoint has names.
    """

    weight_decay: float
    lr: float | None = None
    parameters: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = {}
    weight_decay_is_default: bool | None = None
    foreign_tensors: tuple[str, ...] = ()
    foreign_sources: tuple[ForeignSource, ...] = ()
    missing_keys: tuple[str, ...] = ()
    flat_parameters: tuple[str, ...] = ()
    distributed_parameters: tuple[str, ...] = ()
    updates_together: bool = False
    shapes: tuple[tuple[int, ...] | None, ...] = ()


class Optimizer(Struct, frozen=True, kw_only=True):
    """One optimizer, live or as a checkpoint saved it.

    Attributes:
        name: where it was found, e.g. `optimizer` or `optimizer[1]`; in a checkpoint, the path to its state dict.
        type: its class, e.g. `AdamW` or `Lookahead(AdamW)`; `Adam or AdamW` if a checkpoint leaves both possible.
        import_path: the innermost class by its path, or by its name alone if torch.optim has it; "" if it has no path.
        compensates_rounding: a setting of it keeps what the dtype of its parameters rounds away.
        group_keys: the keys that its classes give every group: what they read there; () if that is not known.
        adaptive_denominator: its decay is coupled and divided by an adaptive denominator, and so not proportional to
            the weight.
        decoupled_by: the argument that decouples its decay: `decoupled_weight_decay=True`; "" if it has none.
        notes: what is special about its decay, or not known, in words.
        name_caveats: why the names of its positions are not certain, in words (checkpoints only).
        class_is_known: False where the class of a live optimizer is not in the table: what its groups set does not tell
            what a step does.
        failed_measurement: why no step could be measured, in words; "" where one was, or none was tried.
        mismatched_state: names of the parameters whose saved state has another shape (checkpoints only).
    """

    name: str
    type: str
    groups: tuple[ParamGroup, ...]
    semantics: Semantics = "unknown"
    import_path: str = ""
    group_keys: tuple[str, ...] = ()
    adaptive_denominator: bool = False
    compensates_rounding: bool = False
    decoupled_by: str = ""
    origin: Origin = "live"
    notes: tuple[str, ...] = ()
    name_caveats: tuple[str, ...] = ()
    class_is_known: bool = True
    failed_measurement: str = ""
    mismatched_state: tuple[str, ...] = ()


class Observation(Struct, frozen=True, kw_only=True):
    """What one optimizer does to one parameter.

    Attributes:
        parameter: canonical name.
        optimizer: the optimizer's name.
        group: index of the param group.
        weight_decay: the group's coefficient.
        lr: the group's learning rate, or None.
        declared_rate: fraction of the weight that a step removes, divided by lr, as the optimizer's class and the
            group's settings declare it; None if it is not constant (coupled decay) or not known.
        measured_rate: fraction of the weight that one step with a gradient of zero removes, divided by lr; None if not
            measured.
        settled_rate: the same of a later step, when momentum has settled; None where no more steps were taken.
        movement: the way in which that step moves the weight; None if the class and the group tell, and no step was
            measured.
        origin: of the optimizer: a live one and a saved one may have the same name.
    """

    parameter: str
    optimizer: str
    group: int
    weight_decay: float
    lr: float | None = None
    declared_rate: float | None = None
    measured_rate: float | None = None
    settled_rate: float | None = None
    movement: Movement | None = None
    origin: Origin = "live"


class UpdateFormula(Struct, frozen=True, kw_only=True):
    """What a step does to one parameter.

    Attributes:
        optimizer: the class, as its `Optimizer` calls it.
        steps: assignments, in order, with numbers in place of hyperparameters.
        zero_gradient: what one step with a gradient of zero does, in words; "" where that has no short answer.
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
