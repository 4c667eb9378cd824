"""A plan and what optimizers do, matched by parameter: the view that the checks on optimizers share."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from decay_audit.checks import fixes
from decay_audit.model.observations import Observation, Optimizer, Origin, held
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import join_words

ORIGINS: tuple[Origin, ...] = ("live", "checkpoint")
"""The first that there is is the one whose coefficient a plan takes over."""


class Side(Struct, frozen=True, kw_only=True, eq=False):
    """The live optimizers, or the saved ones: what they do to each parameter of the plan.

    Attributes:
        optimizers: by name.
        observed: by parameter, in the plan's order; only those that an optimizer holds.
        target: the target in commands that a fix names; "" if there is only a model, in Python.
        adopted: the plan's base coefficient was taken over from these optimizers: each may have one of its own.
        first: no other origin comes before this one; what a saved coefficient does to a live one is said of resuming.
    """

    origin: Origin
    plan: Plan
    optimizers: Mapping[str, Optimizer]
    observed: Mapping[str, tuple[Observation, ...]]
    target: str
    adopted: bool = False
    first: bool = True

    def pairs(self) -> Iterator[tuple[Decision, Observation]]:
        """Each decision with each observation of its parameter."""
        for decision in self.plan.decisions:
            for observation in self.observed.get(decision.name, ()):
                yield decision, observation

    def optimizer(self, observation: Observation) -> Optimizer:
        """The optimizer that an observation is of."""
        return self.optimizers[observation.optimizer]

    def types(self) -> str:
        """The classes of its optimizers, each once: a run may have one optimizer for each parameter."""
        return join_words(list(dict.fromkeys(one.type for one in self.optimizers.values())))

    def location(self, observation: Observation) -> str:
        """Where an observation was made: `group 0 of AdamW`."""
        saved = "the saved " if self.origin == "checkpoint" else ""
        return f"group {observation.group} of {saved}{self.optimizer(observation).type}"

    def by(self) -> str:
        """Who does it, where that is not the run at hand: ` by the saved AdamW`."""
        return f" by the saved {self.types()}" if self.origin == "checkpoint" else ""

    def fix(self) -> str:
        """What makes groups as the ruleset wants them."""
        return fixes.groups(self.plan, tuple(self.optimizers.values()), self.target)


def sides(
    plan: Plan,
    optimizers: Sequence[Optimizer],
    observations: Sequence[Observation],
    target: str,
    *,
    adopted: bool = False,
) -> tuple[Side, ...]:
    """Split optimizers into live and saved ones. Those without observations of their own are read from their groups."""
    named = {(observation.optimizer, observation.origin) for observation in observations}
    unseen = (one for one in optimizers if (one.name, one.origin) not in named)
    known = [*observations, *(each for one in unseen for each in held(one))]
    origins: list[Origin] = [each for each in ORIGINS if any(one.origin == each for one in optimizers)]
    return tuple(
        Side(
            origin=origin,
            plan=plan,
            optimizers={one.name: one for one in optimizers if one.origin == origin},
            observed=_by_parameter([each for each in known if each.origin == origin]),
            target=target,
            adopted=adopted and origin == origins[0],
            first=origin == origins[0],
        )
        for origin in origins
    )


def effective(observation: Observation) -> float:
    """The coefficient that counts: the group's, unless its class ignores it or a step was seen to do otherwise."""
    if observation.movement == "none" or (observation.movement is None and observation.declared_rate == 0):
        return 0.0
    if observation.weight_decay == 0 and observation.movement in ("proportional", "cautious"):
        return observation.measured_rate or 0.0
    return observation.weight_decay


def _by_parameter(observations: Sequence[Observation]) -> Mapping[str, tuple[Observation, ...]]:
    grouped: dict[str, list[Observation]] = {}
    for observation in observations:
        grouped.setdefault(observation.parameter, []).append(observation)
    return {parameter: tuple(found) for parameter, found in grouped.items()}
