"""Count a plan: parameters and elements, decayed and spared, by role."""

from collections.abc import Iterable

from msgspec import Struct

from decay_audit.roles.words import ROLES, Role
from decay_audit.rulesets.plan import Decision, Plan


class Count(Struct, frozen=True, kw_only=True):
    """A number of parameters, and the number of elements in them."""

    parameters: int = 0
    numel: int = 0


def count(decisions: Iterable[Decision]) -> Count:
    """Count decisions and their elements."""
    sizes = [decision.numel for decision in decisions]
    return Count(parameters=len(sizes), numel=sum(sizes))


def decayed(plan: Plan) -> tuple[Decision, ...]:
    """List the decisions with a weight_decay other than 0."""
    return tuple(decision for decision in plan.decisions if decision.decays)


def spared(plan: Plan) -> tuple[Decision, ...]:
    """List the decisions that are in a param group with weight_decay 0."""
    return tuple(decision for decision in plan.decisions if decision.grouped and not decision.decays)


def skipped(plan: Plan) -> tuple[Decision, ...]:
    """List the frozen parameters that the ruleset puts in no param group."""
    return tuple(decision for decision in plan.decisions if not decision.grouped)


def by_role(decisions: Iterable[Decision]) -> dict[Role, tuple[Decision, ...]]:
    """Split decisions by role, in the order of the roles."""
    members_by_role: dict[Role, list[Decision]] = {role: [] for role in ROLES}
    for decision in decisions:
        members_by_role[decision.classified.role].append(decision)
    return {role: tuple(members) for role, members in members_by_role.items() if members}
