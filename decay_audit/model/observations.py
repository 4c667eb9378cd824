"""What optimizers do, as data: their groups, and what a step does to each parameter."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Semantics = Literal["decoupled", "coupled", "none", "unknown"]
"""How weight decay enters a step: it shrinks the weight itself, or it is added to the gradient."""
OptimizerOrigin = Literal["live", "checkpoint"]
"""Whether an optimizer is a live object or was read from a checkpoint."""
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
"""What decay does to a weight in steps on copies. Most of these steps have a gradient of zero.

- `proportional`: steps remove the same fraction of every element, and twice as much with twice the learning rate.
- `without_lr`: steps remove the same fraction of every element, whatever the learning rate is.
- `sign`: steps move every element towards 0 by an amount that hardly depends on the coefficient, as in Adam.
- `constant`: steps subtract the same amount from every element, or from its absolute value; it depends on the
  coefficient.
- `other_point`: steps pull the weight towards values other than 0, such as its initial values.
- `normalized`: what steps remove depends on the gradient, or is divided by a norm, so that the coefficient drops out.
- `cautious`: steps remove a fraction, but only where the gradient has the weight's sign.
- `scheduled`: steps remove a fraction of every element; the fraction changes from step to step and does not settle.
- `other`: steps move the weight in another way.
- `vanishing`: steps would remove a fraction, but rounding to the parameter's dtype undoes it.
- `none`: nothing moves.
- `unstable`: the result is not finite.
- `unknown`: no step was measured, and the optimizer's class is not in the table, or its group lacks keys.
"""


ALGORITHM_SETTINGS = ("betas", "momentum", "rho", "alpha")
"""Hyperparameters by which the algorithms of torch.optim differ. A class that reads one of them needs it to step."""


ForeignKind = Literal["replaced", "same shapes", "float32 copy", "packed", "another module", "unknown"]
"""The origin of a tensor that is not a parameter of the model; `ForeignSource` explains each value."""


class ForeignSource(Struct, frozen=True, kw_only=True):
    """The origin of an optimizer's tensor that is not a parameter of the model.

    Attributes:
        kind: `replaced`: it was a parameter of the model before the optimizer was made. `same shapes`: it has the shape
            of a parameter that is in no optimizer. `float32 copy`: it has the shape of such a parameter, and that
            parameter has a 16-bit dtype. `packed`: it has the elements of several such parameters in a row.
            `another module`: it belongs to a module that is not part of the model.
        name: the name of the replaced parameter, of the parameter with that shape, or of the tensor in its module.
        module: the class of the other module.
        packed: the names of the packed parameters.
    """

    kind: ForeignKind
    name: str = ""
    module: str = ""
    packed: tuple[str, ...] = ()


class ParamGroup(Struct, frozen=True, kw_only=True):
    """One param group: its hyperparameters, and the canonical names of the parameters in it.

    Attributes:
        parameters: names, in the group's order; "" for a position whose name is not known.
        weight_decay_is_default: whether no code set the coefficient, so that the class's default is in effect. None if
            it equals the default and the construction of the optimizer was not watched.
        coefficient_key: the key that holds the coefficient; "" if the group has none.
        member_class: the class of the optimizer that has this group, if the group belongs to one of several optimizers
            that another one wraps; else "".
        foreign_tensors: dtype and shape of each tensor that is not a parameter of the model, e.g. `float32 10x64`.
        foreign_sources: where each of these tensors comes from; empty if that was not looked for.
        missing_keys: keys that the class reads from every group in a step, but that this group does not have.
        flat_parameters: names of tensors into which a wrapper packed several parameters.
        distributed_parameters: names of the DTensors in the group, which fully_shard and tensor parallelism make.
        updates_together: whether a step of torch's class updates all tensors of the group in one operation (`foreach`,
            `fused`).
        shapes: the shape of the state at each position, None without a state; only for a checkpoint without names.
            `parameters` is then a guess: the order of the model. Empty if the checkpoint has names.
    """

    weight_decay: float
    lr: float | None = None
    parameters: tuple[str, ...] = ()
    hyperparameters: Mapping[str, object] = {}
    weight_decay_is_default: bool | None = None
    coefficient_key: str = "weight_decay"
    member_class: str = ""
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
        name: its variable or place, e.g. `optimizer` or `optimizer[1]`; in a checkpoint, the path to its state dict.
        type: its class, e.g. `AdamW` or `Lookahead(AdamW)`; `Adam or AdamW` if a saved state fits both.
        import_path: the innermost class by its path, or by its name alone if torch.optim has it; "" if it has no path.
        compensates_rounding: whether it keeps what the dtype of its parameters rounds away: by a setting (Kahan
            summation), or in float32 copies that are saved with it.
        group_keys: the keys that its classes read from their groups; () if that is not known.
        adaptive_denominator: whether its decay is coupled and then divided by an adaptive denominator, as in Adam. The
            decay is then not proportional to the weight.
        decoupled_by: the argument that decouples its decay: `decoupled_weight_decay=True`; "" if it has none.
        notes: sentences on what is unusual or unknown about its decay.
        step_hooks: names of functions that code registered to run before or after each step; they may change weights.
        name_caveats: sentences on why the names of its positions are not certain (checkpoints only).
        class_is_known: False if the class of a live optimizer is not in the table, so that its groups do not show what
            a step does.
        failed_measurement: why no step could be measured; "" if one was measured, or none was tried.
        mismatched_state: names of the parameters whose saved state has another shape (checkpoints only).
        state_of: for parameters that would probably get the state of another one, the name of the other one: the file
            has the model's parameters in another order, and the optimizer's state has no names (checkpoints only).
        file, line: the line that makes it, if a script made it that was run; else "" and 0.
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
    origin: OptimizerOrigin = "live"
    notes: tuple[str, ...] = ()
    step_hooks: tuple[str, ...] = ()
    name_caveats: tuple[str, ...] = ()
    class_is_known: bool = True
    failed_measurement: str = ""
    mismatched_state: tuple[str, ...] = ()
    state_of: Mapping[str, str] = {}
    file: str = ""
    line: int = 0


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
        settled_rate: the measured rate of a later step, after momentum has settled; None if no later step was taken.
        movement: how decay moves the weight in measured steps; None if no step was measured and the class is known.
        origin: whether the optimizer is live or saved: a live and a saved optimizer may have the same name.
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
    origin: OptimizerOrigin = "live"


class UpdateFormula(Struct, frozen=True, kw_only=True):
    """What a step does to one parameter.

    Attributes:
        optimizer: its class, as in `Optimizer.type`.
        steps: assignments, in order, with numbers in place of hyperparameters.
        zero_gradient: a phrase on what one step with a gradient of zero does; "" if no short phrase says it.
        source: where the formula is published.
    """

    optimizer: str
    steps: tuple[str, ...]
    zero_gradient: str = ""
    source: str = ""


def observe_groups(optimizer: Optimizer) -> tuple[Observation, ...]:
    """Make the observation of each parameter from the settings of its group alone."""
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
