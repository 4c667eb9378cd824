"""What coefficients turn out to do: DA501 to DA504."""

from collections.abc import Iterator
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.fixes import peak
from decay_audit.checks.phrases import kinds, number
from decay_audit.checks.view import Side, effective
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun

RESOLUTION = {"bfloat16": 2.0**-9, "float16": 2.0**-12, "float32": 2.0**-25}
"""Below this, 1 - x times any number of the dtype rounds back to the number: half of its machine epsilon, halved."""
TOLERANCE = 0.01
"""Relative difference up to which a measured rate is the declared one."""

Pair = tuple[Decision, Observation]


def check_meanings(side: Side) -> Iterator[Finding]:
    """Find coefficients that nobody chose, that are coupled, that a step does not follow, or that rounding undoes."""
    for optimizer in side.optimizers.values():
        if side.origin == "live":
            yield from _implicit(side, optimizer)
        yield from _coupled(optimizer)
    yield from _measured(side)
    yield from _vanishing(side)


def _implicit(side: Side, optimizer: Optimizer) -> Iterator[Finding]:
    """Certain where its construction was watched; else suspected, where the ruleset does not ask for just that."""
    wanted = {(seen.optimizer, seen.group): decision.weight_decay for decision, seen in side.pairs() if decision.decays}
    for index, group in enumerate(optimizer.groups):
        agreed = isclose(wanted.get((optimizer.name, index), 0.0), group.weight_decay)
        if (
            not group.weight_decay
            or group.weight_decay_is_default is False
            or (group.weight_decay_is_default is None and agreed)
        ):
            continue
        sure = ": nobody set it" if group.weight_decay_is_default else ", unless somebody chose just that"
        yield finding(
            "DA501",
            f"weight_decay {number(group.weight_decay)} is the default of {optimizer.type}{sure}",
            filter(None, group.parameters),
            expected="weight_decay written down",
            found=f"the default {number(group.weight_decay)}",
            where=f"group {index} of {optimizer.type}",
            fix=f"write weight_decay={number(group.weight_decay)}, or the coefficient that is meant",
        )


def _coupled(optimizer: Optimizer) -> Iterator[Finding]:
    names = [name for group in optimizer.groups if group.weight_decay for name in group.parameters if name]
    if optimizer.adaptive_denominator and names:
        yield finding(
            "DA502",
            f"{optimizer.type} divides weight_decay * w by its adaptive denominator: what a step removes from "
            f"{count_noun(len(names), 'parameter')} is not proportional to the weight",
            names,
            expected="decoupled decay",
            found="decay added to the gradient",
            where=optimizer.name,
            fix="use the decoupled form: AdamW, or decoupled_weight_decay=True",
        )


def _measured(side: Side) -> Iterator[Finding]:
    causes: dict[tuple[str, str, str], list[Decision]] = {}
    for decision, seen in side.pairs():
        if (cause := _difference(side.optimizer(seen), seen)) is not None:
            causes.setdefault((*cause, side.location(seen)), []).append(decision)
    for (expected, got, place), decisions in causes.items():
        yield finding(
            "DA503",
            f"a step with a gradient of zero {got} {kinds(decisions)}; {place} says {expected}",
            (decision.name for decision in decisions),
            expected=expected,
            found=got,
            where=place,
            fix="read what the optimizer's step does with weight_decay, and audit what it does",
        )


def _difference(optimizer: Optimizer, seen: Observation) -> tuple[str, str] | None:
    """What the group announces and what a step does, in words; None where they agree or nothing was measured."""
    announced = f"weight_decay {number(seen.weight_decay)}"
    match seen.movement:
        case None | "vanishing":
            return None
        case "unstable":
            return announced, "makes infinite or undefined"
        case "none":
            return (announced, "does not move") if seen.weight_decay and seen.declared_rate != 0 else None
        case "proportional" | "cautious" if seen.measured_rate is not None:
            rate = seen.declared_rate if optimizer.semantics != "unknown" else seen.weight_decay
            if rate is None or isclose(rate, seen.measured_rate, rel_tol=TOLERANCE):
                return None
            return announced, f"removes {number(seen.measured_rate)} x lr of"
        case _:
            return None if seen.weight_decay else (announced, "moves")


def _vanishing(side: Side) -> Iterator[Finding]:
    causes: dict[tuple[str, float], list[Decision]] = {}
    for decision, seen in side.pairs():
        dtype = decision.classified.parameter.dtype
        if _is_lost(side.optimizer(seen), seen, dtype):
            causes.setdefault((dtype, _rate(side.optimizer(seen), seen) * effective(seen)), []).append(decision)
    for (dtype, product), decisions in causes.items():
        limit = f"; below {number(RESOLUTION[dtype])} nothing changes" if dtype in RESOLUTION else ""
        yield finding(
            "DA504",
            f"lr x weight_decay is {number(product)}, which {dtype} rounds away: {kinds(decisions)} never "
            f"{'shrinks' if len(decisions) == 1 else 'shrink'}{limit}",
            (decision.name for decision in decisions),
            expected=f"1 - {number(product)} times the weight",
            found="the weight",
            where=side.types(),
            fix="keep float32 weights for the optimizer, round stochastically, or use a larger product",
        )


def _is_lost(optimizer: Optimizer, seen: Observation, dtype: str) -> bool:
    """As measured; else, for decoupled decay, which multiplies the weight on its own, by arithmetic.

    A schedule that warms up or has ended is not what decides: its first or last rates are small, and soon others.
    """
    rate = _rate(optimizer, seen)
    if seen.movement not in (None, "unstable") and (seen.movement != "vanishing" or rate == (seen.lr or 0.0)):
        return seen.movement == "vanishing"
    product = rate * seen.weight_decay
    return optimizer.semantics == "decoupled" and 0 < product < RESOLUTION.get(dtype, 0.0)


def _rate(optimizer: Optimizer, seen: Observation) -> float:
    return (peak(optimizer.groups[seen.group]) if seen.group < len(optimizer.groups) else seen.lr) or 0.0
