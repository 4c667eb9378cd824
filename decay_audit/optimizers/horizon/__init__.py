"""What decay comes to over a whole run: the part of a weight that decay alone leaves, and how long a weight remembers.

- schedules: steps a schedule on stand-ins for the optimizers, and records the settings of each step
- closed_forms: the rates of all steps of a scheduler of torch at once, where its class has a formula
- other_coefficients: what decay would come to with another coefficient or lr, as another ruleset gives it
- laws: what a step removes from a parameter, from its optimizer's class, settings and measured steps
- arithmetic: a law and the settings of all steps become the numbers
- equilibrium: by what angle a step turns a scale-invariant weight in the long run

Roles and rules are not used. Only `schedules` and `closed_forms` import torch.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from decay_audit.model.horizon import DecayLaw, EqualSteps, GroupOverRun, Horizon
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.model.parameters import Parameter
from decay_audit.optimizers.horizon.arithmetic import decay_over_run, step_settings
from decay_audit.optimizers.horizon.laws import decay_law
from decay_audit.optimizers.horizon.other_coefficients import (
    DecayOfCoefficient,
    StepsByGroup,
    decay_with_other_coefficients,
    observed_origin,
)

__all__ = ["DecayOfCoefficient", "StepsByGroup", "decay_with_other_coefficients", "over_run"]

_UNNAMED_SCHEDULE = DecayLaw(
    kind="unknown",
    reason="not known: the group has an initial_lr, so a schedule changes its lr; name the schedule with --schedule",
    without_coefficient=False,
)


def over_run(
    optimizers: Sequence[Optimizer],
    observations: Iterable[Observation],
    parameters: Iterable[Parameter],
    horizon: Horizon,
    scheduled: StepsByGroup,
) -> Horizon:
    """Add to a horizon what decay does to the parameters of each group over the run.

    Live optimizers count; saved ones only if there is no live one.

    Args:
        horizon: the length of the run, and the name of the schedule.
        scheduled: the settings of live groups under the schedule. Other groups keep the settings that they have.
    """
    origin = observed_origin(optimizers)
    by_name = {optimizer.name: optimizer for optimizer in optimizers if optimizer.origin == origin}
    by_parameter = {parameter.name: parameter for parameter in parameters}
    members: dict[tuple[str, int, DecayLaw], list[str]] = {}
    for observation in observations:
        if observation.origin == origin and observation.optimizer in by_name:
            optimizer = by_name[observation.optimizer]
            law = decay_law(observation, optimizer, by_parameter.get(observation.parameter))
            key = (optimizer.name, observation.group, law)
            members.setdefault(key, []).append(observation.parameter)
    groups = tuple(
        _group_over_run(by_name[name], index, law, tuple(names), scheduled.get((name, index)), horizon.steps)
        for (name, index, law), names in members.items()
    )
    return replace(horizon, groups=groups)


def _group_over_run(
    optimizer: Optimizer,
    index: int,
    law: DecayLaw,
    names: tuple[str, ...],
    scheduled: tuple[EqualSteps, ...] | None,
    count: int,
) -> GroupOverRun:
    group = optimizer.groups[index]
    if scheduled is None and "initial_lr" in group.hyperparameters and law.kind not in ("none", "unknown"):
        law = _UNNAMED_SCHEDULE
    steps = scheduled or (EqualSteps(settings=step_settings(group), count=count),)
    return GroupOverRun(
        optimizer=optimizer.name,
        origin=optimizer.origin,
        type=optimizer.type,
        group=index,
        parameters=names,
        steps=steps,
        law=law,
        decay=decay_over_run(law, steps),
    )
