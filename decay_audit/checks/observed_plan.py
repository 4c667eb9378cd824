"""ObservedPlan: a plan, with what optimizers do to each of its parameters. The checks on optimizers take it.

There is one ObservedPlan for all live optimizers, and one for all saved optimizers.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from decay_audit.checks import finding_text
from decay_audit.model.observations import Observation, Optimizer, OptimizerOrigin, observe_groups
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import join_words

Pair = tuple[Decision, Observation]
"""What the ruleset decides for a parameter, and what one optimizer does to it."""

_ORIGINS: tuple[OptimizerOrigin, ...] = ("live", "checkpoint")
"""Where optimizers come from. If there are live ones, saved ones are compared with those, not with the whole plan."""

NO_OPTIONS: Mapping[OptimizerOrigin, Sequence[str]] = MappingProxyType({})
"""The `emit_options` if `emit` needs none."""


class ObservedPlan(Struct, frozen=True, kw_only=True, eq=False):
    """What the optimizers of one origin do to the parameters of a plan.

    Attributes:
        optimizers: the optimizers, by name.
        observations: the observations, by parameter; a parameter that is in no optimizer has no entry.
        target: the target in the commands of fixes; "" for a model in Python.
        emit_options: the options with which `emit` reads the target and makes these optimizers again.
        of_other_models: the parameters of the models that `--with` names: no command makes groups for them.
        coefficient_adopted: whether the plan's base coefficient was taken from these optimizers. If there are several
            optimizers, their coefficients may differ.
        compared_fully: whether the checks compare the sizes of coefficients, the learning rates and the routes with
            the plan. It is False for saved optimizers if there are live ones: `checks.resume` compares the two.
    """

    origin: OptimizerOrigin
    plan: Plan
    optimizers: Mapping[str, Optimizer]
    observations: Mapping[str, tuple[Observation, ...]]
    target: str
    emit_options: Sequence[str] = ()
    of_other_models: Collection[str] = ()
    coefficient_adopted: bool = False
    compared_fully: bool = True

    def pairs(self) -> Iterator[Pair]:
        """Yield each decision with each observation of its parameter."""
        for decision in self.plan.decisions:
            for observation in self.observations.get(decision.name, ()):
                yield decision, observation

    def optimizer(self, observation: Observation) -> Optimizer:
        """Return the optimizer of an observation."""
        return self.optimizers[observation.optimizer]

    def class_names(self) -> str:
        """List the classes of the optimizers, each once: a run may have one optimizer for each parameter."""
        return join_words(list(dict.fromkeys(optimizer.type for optimizer in self.optimizers.values())))

    def group_name(self, observation: Observation) -> str:
        """Name the group of an observation: `group 0 of AdamW`."""
        saved = "the saved " if self.origin == "checkpoint" else ""
        return f"group {observation.group} of {saved}{self.optimizer_name(self.optimizer(observation))}"

    def group_names(self, observations: Iterable[Observation]) -> str:
        """Name the groups of observations, by optimizer: `groups 0-8 of AdamW and group 1 of SGD`."""
        indices: dict[str, set[int]] = {}
        for observation in observations:
            indices.setdefault(observation.optimizer, set()).add(observation.group)
        saved = "the saved " if self.origin == "checkpoint" else ""
        return join_words(
            [
                finding_text.group_names(
                    sorted(groups), len(optimizer.groups), f"{saved}{self.optimizer_name(optimizer)}"
                )
                for optimizer, groups in ((self.optimizers[name], groups) for name, groups in indices.items())
            ]
        )

    def optimizer_name(self, optimizer: Optimizer) -> str:
        """Name the class of an optimizer, followed by the optimizer's own name if several have that class."""
        same_class = [other for other in self.optimizers.values() if other.type == optimizer.type]
        return optimizer.type if len(same_class) == 1 else f"{optimizer.type} {optimizer.name}"

    def agent_text(self) -> str:
        """Write what follows `is decayed` in a message: ` by the saved AdamW`; "" for live optimizers."""
        return f" by the saved {self.class_names()}" if self.origin == "checkpoint" else ""

    def emit_command(self, decisions: Sequence[Decision]) -> str:
        """Write the command that makes the ruleset's param groups for these parameters; "" if it would not help.

        It does not help for parameters of other models, nor where the groups already have the ruleset's coefficients.
        """
        if any(decision.name in self.of_other_models for decision in decisions):
            return ""
        names = {decision.name for decision in decisions}
        pairs = [(decision, observation) for decision, observation in self.pairs() if decision.name in names]
        optimizers = {observation.optimizer: self.optimizer(observation) for _, observation in pairs}
        if pairs and all(optimizer.semantics == "none" for optimizer in optimizers.values()):
            return finding_text.use_another_class(self.plan, [*optimizers.values()], self.target, self.emit_options)
        if pairs and all(decision.weight_decay == observation.weight_decay for decision, observation in pairs):
            return ""
        return finding_text.emit_command(self.plan, self.target, self.emit_options)


def observed_plans(
    plan: Plan,
    optimizers: Sequence[Optimizer],
    observations: Sequence[Observation] = (),
    target: str = "",
    *,
    emit_options: Mapping[OptimizerOrigin, Sequence[str]] = NO_OPTIONS,
    of_other_models: Collection[str] = (),
    coefficient_adopted: bool = False,
) -> tuple[ObservedPlan, ...]:
    """Join a plan with live and with saved optimizers.

    Args:
        observations: what each optimizer does to each parameter; if an optimizer has none, its groups are compared.
        target: the target as the user wrote it, for the commands of fixes; "" for a model in Python.
        emit_options: by origin, the options with which `emit` reads the target and makes the optimizers again.
        of_other_models: the parameters that are not the target's, but of the models that `--with` names.
        coefficient_adopted: whether the plan's base coefficient was taken from the optimizers, as the user set none.

    Returns:
        One ObservedPlan for all live optimizers, then one for all saved ones; none for an origin without optimizers.
    """
    observed = {(observation.optimizer, observation.origin) for observation in observations}
    unobserved = [optimizer for optimizer in optimizers if (optimizer.name, optimizer.origin) not in observed]
    completed = [*observations, *(observation for optimizer in unobserved for observation in observe_groups(optimizer))]
    origins = [origin for origin in _ORIGINS if any(optimizer.origin == origin for optimizer in optimizers)]
    return tuple(
        ObservedPlan(
            origin=origin,
            plan=plan,
            optimizers={optimizer.name: optimizer for optimizer in optimizers if optimizer.origin == origin},
            observations=_by_parameter([observation for observation in completed if observation.origin == origin]),
            target=target,
            emit_options=emit_options.get(origin, ()),
            of_other_models=of_other_models,
            coefficient_adopted=coefficient_adopted and origin == origins[0],
            compared_fully=origin == origins[0],
        )
        for origin in origins
    )


def has_known_decay(observation: Observation) -> bool:
    """Whether the class and the group, or a measured step, tell how much the weight decays towards 0."""
    if observation.movement in ("unknown", "other_point"):
        return False
    no_rate = observation.movement in ("sign", "constant", "normalized", "scheduled", "other")
    return observation.weight_decay > 0 or not no_rate


def effective_weight_decay(observation: Observation) -> float:
    """Return the coefficient in effect: the group's, unless its class ignores it or a measured step shows another.

    The result has no meaning if `has_known_decay` is False for the observation.
    """
    if observation.movement == "none" or (observation.movement is None and observation.declared_rate == 0):
        return 0.0
    if observation.weight_decay == 0 and observation.movement in ("proportional", "cautious", "without_lr"):
        return observation.measured_rate or 0.0
    return observation.weight_decay


def _by_parameter(observations: Sequence[Observation]) -> Mapping[str, tuple[Observation, ...]]:
    grouped: dict[str, list[Observation]] = {}
    for observation in observations:
        grouped.setdefault(observation.parameter, []).append(observation)
    return {parameter: tuple(members) for parameter, members in grouped.items()}
