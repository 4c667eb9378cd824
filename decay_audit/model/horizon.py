"""Decay over a whole run, as data: the settings of every step, and what decay alone leaves of a weight."""

from typing import Literal

from msgspec import Struct

from decay_audit.model.choices import ScheduleInterval
from decay_audit.model.observations import OptimizerOrigin


class StepSettings(Struct, frozen=True, kw_only=True, gc=False):
    """The settings of a group that decide what a step with a gradient of zero removes."""

    lr: float | None
    weight_decay: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False


class EqualSteps(Struct, frozen=True, kw_only=True, gc=False):
    """Steps in a row with the same settings."""

    settings: StepSettings
    count: int


class DecayLaw(Struct, frozen=True, kw_only=True):
    """What a step with a gradient of zero removes from a weight, as a function of the settings of the step.

    Attributes:
        kind: `fraction`: lr x weight_decay of the weight. `without_lr`: weight_decay of the weight. `momentum`: SGD
            adds weight_decay x weight to its momentum buffer. `measured`: `rate` x lr of the weight.
            `measured_without_lr`: `rate` of the weight. `none`: nothing. `unknown`: no law is known; `reason` says why.
        rate: the measured rate of a step after momentum has settled, with the coefficient `measured_with`.
        measured_with: the coefficient of the group when the rate was measured; 0 if the rate does not depend on it.
        reason: for `unknown`, the end of a sentence that begins with "not known: ".
        without_coefficient: for `unknown`, whether a group with a coefficient of 0 is known to decay nothing.
    """

    kind: Literal["fraction", "without_lr", "momentum", "measured", "measured_without_lr", "none", "unknown"]
    rate: float = 0.0
    measured_with: float = 0.0
    reason: str = ""
    without_coefficient: bool = True


class DecayOverRun(Struct, frozen=True, kw_only=True):
    """What decay alone does to a weight over a run, if every gradient is zero.

    Attributes:
        kept: the part of the weight that is left at the end; None if it is not known.
        removed_sum: the sum of the parts that the steps remove, with momentum in it. `kept` is about its exponential,
            with a minus sign. None if a step has no settled rate.
        timescale_steps: how many steps a weight remembers: 1 / the largest part that a step removes. None if no step
            removes anything, or if the rate does not settle.
        half_life_steps: after how many steps with this largest part half of the weight is left.
        approximate: whether the numbers come from a measured rate, and leave out how momentum builds up at first.
        reason: why `kept` or the timescale is not known; "" if all is known, or if nothing decays.
    """

    kept: float | None = None
    removed_sum: float | None = None
    timescale_steps: float | None = None
    half_life_steps: float | None = None
    approximate: bool = False
    reason: str = ""


class GroupOverRun(Struct, frozen=True, kw_only=True):
    """Parameters of one param group that decay alike over the run. A group may have several of these.

    Attributes:
        optimizer: the name of the optimizer; `type` is its class.
        group: the index of the group.
        steps: the settings of all steps of the run.
    """

    optimizer: str
    origin: OptimizerOrigin
    type: str
    group: int
    parameters: tuple[str, ...]
    steps: tuple[EqualSteps, ...]
    law: DecayLaw
    decay: DecayOverRun


class Horizon(Struct, frozen=True, kw_only=True):
    """A run of `steps` optimizer steps, and what decay comes to over it.

    Attributes:
        epoch_steps: how many of them are one epoch; None if the user did not say.
        schedule: the name of the schedule; "" if the settings stay as they are.
        schedule_every: whether training steps the schedule after every step or after every epoch.
    """

    steps: int
    epoch_steps: int | None = None
    schedule: str = ""
    schedule_every: ScheduleInterval = "step"
    groups: tuple[GroupOverRun, ...] = ()


class Rotation(Struct, frozen=True, kw_only=True):
    """How far each step of an optimizer turns a scale-invariant weight once decay and gradients are in balance."""

    optimizer: str
    radians: float
