"""Counts of a plan, by role too, and numbers as people read them: amounts, shares and factors."""

from collections import Counter
from collections.abc import Iterable
from math import prod
from operator import attrgetter

from msgspec import Struct

from decay_audit.roles.words import ROLES, Role
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import count_noun, format_coefficient

_UNITS = (("T", 1e12, 2, 999.995e9), ("B", 1e9, 2, 999.995e6), ("M", 1e6, 2, 999.95e3), ("k", 1e3, 1, 1e3))
"""Symbol, size, number of decimals, and the smallest amount that is written in the unit."""

_size = attrgetter("classified.parameter.shape", "classified.parameter.lazy")
"""Returns what the number of elements of a decision's parameter depends on."""


class Count(Struct, frozen=True, kw_only=True):
    """A number of parameters, and the number of elements in them."""

    parameters: int = 0
    numel: int = 0


def count(decisions: Iterable[Decision]) -> Count:
    """Count decisions and their elements."""
    sizes = Counter(map(_size, decisions))  # a model has few shapes, however large it is
    return Count(
        parameters=sizes.total(), numel=sum(number * prod(shape) for (shape, lazy), number in sizes.items() if not lazy)
    )


def decayed(plan: Plan) -> tuple[Decision, ...]:
    """List the decisions with a weight_decay other than 0."""
    return tuple(decision for decision in plan.decisions if decision.weight_decay != 0.0)


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


def decayed_shares(plan: Plan) -> dict[str, float]:
    """Compute the share of parameters and of elements that decay, from 0 to 1, and that of the parameters of each role.

    Frozen parameters that are in no group do not count.
    """
    grouped = [decision for decision in plan.decisions if decision.grouped]
    whole, part = count(grouped), count(decayed(plan))
    return {
        "decay/parameters": part.parameters / whole.parameters if whole.parameters else 0.0,
        "decay/elements": part.numel / whole.numel if whole.numel else 0.0,
        **{
            f"decay/parameters/{role}": sum(decision.decays for decision in members) / len(members)
            for role, members in by_role(grouped).items()
        },
    }


def amount(numel: int) -> str:
    """Write a number of elements in about four digits: `34.43 M`, `57.5 k`, `640`."""
    for unit, size, digits, least in _UNITS:
        if numel >= least:
            return f"{numel / size:.{digits}f} {unit}"
    return str(numel)


def size(numel: int, parameters: int) -> str:
    """Write the size of a model or of a part of it: `34.43 M elements in 95 parameters`."""
    return f"{amount(numel)} {'element' if numel == 1 else 'elements'} in {count_noun(parameters, 'parameter')}"


def share(part: int, whole: int) -> str:
    """Write a share in percent. Only a share of nothing is written as 0 %, and only the whole as 100 %."""
    if part in (0, whole) or not whole:
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.05:
        return "<0.1 %"
    return ">99.9 %" if percent >= 99.95 else f"{percent:.1f} %"


def factors(scales: Iterable[float]) -> str:
    """Write factors on learning rates in four digits, as a range where they differ: `x0.1`, `x0.02376..0.75`."""
    ordered = sorted(scales)
    ends = dict.fromkeys(format_coefficient(float(f"{end:.4g}")) for end in (ordered[0], ordered[-1]))
    return f"x{'..'.join(ends)}"
