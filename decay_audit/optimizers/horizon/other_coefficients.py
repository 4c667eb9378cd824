"""What decay would come to over a run if a parameter had another coefficient, or another learning rate."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from decay_audit.model.horizon import DecayLaw, DecayOverRun, EqualSteps, Horizon
from decay_audit.model.observations import Observation, Optimizer, OptimizerOrigin
from decay_audit.model.parameters import Parameter
from decay_audit.optimizers.horizon.arithmetic import decay_over_run, step_settings
from decay_audit.optimizers.horizon.laws import decay_law

StepsByGroup = Mapping[tuple[str, int], tuple[EqualSteps, ...]]
"""The settings of each step, by the name of the optimizer and the index of the group."""
DecayOfCoefficient = Callable[[str, float, float], DecayOverRun]
"""Computes what decay does to the parameter of this name with this coefficient, and with lr times this factor."""

_IN_NO_GROUP = DecayOverRun(reason="not known: the optimizer does not hold it")
_NOTHING_DECAYS = DecayLaw(
    kind="unknown", reason="not known: no group of the optimizer decays, so no step of decay was measured"
)


def decay_with_other_coefficients(
    optimizers: Sequence[Optimizer],
    observations: Iterable[Observation],
    parameters: Iterable[Parameter],
    horizon: Horizon,
    scheduled: StepsByGroup,
) -> DecayOfCoefficient:
    """Make the function that computes what decay does with other coefficients than those of the groups.

    A parameter keeps the lr and the schedule of its group. With a factor on lr, the largest lr of its optimizer is
    multiplied. Where the schedule moves weight_decay, the given coefficient moves with it.
    """
    origin = observed_origin(optimizers)
    by_name = {optimizer.name: optimizer for optimizer in optimizers if optimizer.origin == origin}
    by_parameter = {parameter.name: parameter for parameter in parameters}
    known = [observation for observation in observations if observation.origin == origin]
    observed = {observation.parameter: observation for observation in reversed(known)}
    decaying: dict[str, Observation] = {}
    for observation in observed.values():
        if observation.weight_decay and observation.movement != "none":
            decaying.setdefault(observation.optimizer, observation)

    def decay(name: str, weight_decay: float, lr_factor: float) -> DecayOverRun:
        observation = observed.get(name)
        if observation is None:
            return _IN_NO_GROUP
        optimizer = by_name[observation.optimizer]
        law = _law(observation, decaying.get(optimizer.name), optimizer, by_parameter.get(name))
        index = observation.group if lr_factor == 1 else _fastest_group(optimizer)
        steps = scheduled.get((optimizer.name, index)) or (
            EqualSteps(settings=step_settings(optimizer.groups[index]), count=horizon.steps),
        )
        moved = _moved_coefficient(decaying.get(optimizer.name), optimizer, scheduled)
        return decay_over_run(law, _with_coefficient(steps, moved, weight_decay, lr_factor))

    return decay


def observed_origin(optimizers: Iterable[Optimizer]) -> OptimizerOrigin:
    """Choose whose groups count: those of live optimizers; of saved ones only if there is no live one."""
    return "live" if any(optimizer.origin == "live" for optimizer in optimizers) else "checkpoint"


def _law(
    observation: Observation, decaying: Observation | None, optimizer: Optimizer, parameter: Parameter | None
) -> DecayLaw:
    """Find the law of a parameter. A measured law of a group that decays nothing is that of a group that decays."""
    law = decay_law(observation, optimizer, parameter)
    frozen = parameter is not None and parameter.trainable is False
    if frozen or optimizer.semantics == "none" or observation.weight_decay or observation.movement is None:
        return law
    return _NOTHING_DECAYS if decaying is None else decay_law(decaying, optimizer, parameter)


def _fastest_group(optimizer: Optimizer) -> int:
    return max(range(len(optimizer.groups)), key=lambda index: optimizer.groups[index].lr or 0.0)


def _moved_coefficient(
    decaying: Observation | None, optimizer: Optimizer, scheduled: StepsByGroup
) -> tuple[EqualSteps, ...]:
    """Return steps whose coefficient is a factor on the coefficient of a group that decays; () if it stays 1."""
    if decaying is None:
        return ()
    base = optimizer.groups[decaying.group].weight_decay
    steps = scheduled.get((optimizer.name, decaying.group), ())
    if not base or all(part.settings.weight_decay == base for part in steps):
        return ()
    return tuple(
        replace(part, settings=replace(part.settings, weight_decay=part.settings.weight_decay / base)) for part in steps
    )


def _with_coefficient(
    steps: Sequence[EqualSteps], factors: Sequence[EqualSteps], weight_decay: float, lr_factor: float
) -> tuple[EqualSteps, ...]:
    """Replace the coefficient, and multiply lr, in each step of a run.

    Args:
        factors: steps with factors on the coefficient; () for a factor of 1.
    """
    if not factors:
        return tuple(_changed(part, weight_decay, lr_factor) for part in steps)
    return tuple(_changed(part, weight_decay * factor, lr_factor) for part, factor in _in_parallel(steps, factors))


def _in_parallel(steps: Sequence[EqualSteps], factors: Sequence[EqualSteps]) -> Iterator[tuple[EqualSteps, float]]:
    """Cut steps so that each piece has one factor."""
    others = iter(factors)
    factor, factor_count = 1.0, 0
    for part in steps:
        step_count = part.count
        while step_count:
            if not factor_count:
                other = next(others)
                factor, factor_count = other.settings.weight_decay, other.count
            count = min(step_count, factor_count)
            yield replace(part, count=count), factor
            step_count, factor_count = step_count - count, factor_count - count


def _changed(part: EqualSteps, weight_decay: float, lr_factor: float) -> EqualSteps:
    lr = part.settings.lr
    settings = replace(part.settings, weight_decay=weight_decay, lr=None if lr is None else lr * lr_factor)
    return EqualSteps(settings=settings, count=part.count)
