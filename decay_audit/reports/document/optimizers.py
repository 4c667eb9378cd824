"""The part of the JSON document on optimizers: their groups, and what decay comes to over a whole run."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from decay_audit.model.choices import ScheduleInterval
from decay_audit.model.horizon import DecayOverRun, Horizon
from decay_audit.model.observations import Optimizer, OptimizerOrigin, Semantics

Positive = Annotated[int, Meta(ge=1)]


class RunRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The run of `--steps`. `schedule` is the name of its schedule; null if the settings stay as they are."""

    steps: Positive
    epoch_steps: Positive | None
    schedule: str | None
    schedule_every: ScheduleInterval


class OptimizerGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One param group of an optimizer. Where the parameter at a position is not known, its name is empty.

    `kept`, `timescale_steps`, `half_life_steps` and `kept_note` are those of its parameters, if they are all alike.
    """

    weight_decay: float | None
    lr: float | None
    weight_decay_is_default: bool | None = field(name="implicit")
    kept: float | None
    timescale_steps: float | None
    half_life_steps: float | None
    kept_note: str
    parameters: tuple[str, ...]


class OptimizerRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One optimizer, live or as a checkpoint saved it."""

    name: str
    class_: str = field(name="class")
    groups: tuple[OptimizerGroup, ...]
    semantics: Semantics
    origin: OptimizerOrigin


def run_record(horizon: Horizon | None) -> RunRecord | None:
    """Make the record of a run; None if its length is not known."""
    if horizon is None:
        return None
    return RunRecord(
        steps=horizon.steps,
        epoch_steps=horizon.epoch_steps,
        schedule=horizon.schedule or None,
        schedule_every=horizon.schedule_every,
    )


def decay_of_parameters(horizon: Horizon | None) -> Mapping[str, list[DecayOverRun]]:
    """Collect what decay does to each parameter, by each group that holds it."""
    decay: Mapping[str, list[DecayOverRun]] = defaultdict(list)
    for group in horizon.groups if horizon else ():
        for name in group.parameters:
            decay[name].append(group.decay)
    return decay


def _decay_of_groups(horizon: Horizon | None, optimizer: Optimizer) -> Mapping[int, list[DecayOverRun]]:
    """Collect what decay does to the parameters of each group of an optimizer."""
    decay: Mapping[int, list[DecayOverRun]] = defaultdict(list)
    for group in horizon.groups if horizon else ():
        if (group.optimizer, group.origin) == (optimizer.name, optimizer.origin):
            decay[group.group].append(group.decay)
    return decay


def optimizer_record(optimizer: Optimizer, horizon: Horizon | None) -> OptimizerRecord:
    """Make the record of an optimizer."""
    decays = _decay_of_groups(horizon, optimizer)
    return OptimizerRecord(
        name=optimizer.name,
        class_=optimizer.type,
        groups=tuple(
            OptimizerGroup(
                weight_decay=group.weight_decay,
                lr=group.lr,
                weight_decay_is_default=group.weight_decay_is_default,
                parameters=group.parameters,
                **over_run_fields(decays.get(index, ()), "its parameters decay differently"),
            )
            for index, group in enumerate(optimizer.groups)
        ),
        semantics=optimizer.semantics,
        origin=optimizer.origin,
    )


def over_run_fields(decays: Sequence[DecayOverRun], if_several: str) -> dict[str, Any]:
    """Make the fields of a parameter or a group.

    Args:
        decays: what decay does to it; several if it is in several groups, or if its parameters are not alike.
        if_several: why nothing is known then.
    """
    distinct = list(dict.fromkeys(decays))
    if len(distinct) != 1:
        note = f"not known: {if_several}" if distinct else ""
        return {"kept": None, "timescale_steps": None, "half_life_steps": None, "kept_note": note}
    (decay,) = distinct
    return {
        "kept": decay.kept,
        "timescale_steps": decay.timescale_steps,
        "half_life_steps": decay.half_life_steps,
        "kept_note": decay.reason or ("about" if decay.approximate else ""),
    }
