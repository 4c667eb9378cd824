"""What a coefficient does in a step: DA501 to DA504."""

from collections.abc import Iterator
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, peak_lr
from decay_audit.checks.observed_plan import ObservedPlan, effective_weight_decay
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun

RESOLUTION = {"bfloat16": 2.0**-9, "float16": 2.0**-12, "float32": 2.0**-25}
"""Below this x, w * (1 - x) rounds back to every w of the dtype: a quarter of its machine epsilon."""
TOLERANCE = 0.01
"""Relative difference up to which a measured rate is the declared one."""


def check_effective_decay(observed: ObservedPlan) -> Iterator[Finding]:
    """Find coefficients that no code sets, that are coupled, that a measured step contradicts, or that round away."""
    for optimizer in observed.optimizers.values():
        if observed.origin == "live":
            yield from _default_in_effect(observed, optimizer)
        yield from _coupled(optimizer)
    yield from _measured(observed)
    yield from _rounded_away(observed)


def _default_in_effect(observed: ObservedPlan, optimizer: Optimizer) -> Iterator[Finding]:
    """DA501. Known if the optimizer's construction was watched; else suspected, unless the ruleset wants the same."""
    wanted = {
        (observation.optimizer, observation.group): decision.weight_decay
        for decision, observation in observed.pairs()
        if decision.decays
    }
    for index, group in enumerate(optimizer.groups):
        is_default = group.weight_decay_is_default
        is_wanted = isclose(wanted.get((optimizer.name, index), 0.0), group.weight_decay)
        if not group.weight_decay or is_default is False or (is_default is None and is_wanted):
            continue
        coefficient = coefficient_text(group.weight_decay)
        yield finding(
            "DA501",
            f"{optimizer.type}'s default {coefficient} is in effect; this code does not set weight_decay"
            if is_default
            else f"weight_decay {coefficient} is {optimizer.type}'s default; it may be that no code sets it",
            filter(None, group.parameters),
            expected="weight_decay set in the code",
            found=f"the default {coefficient}",
            where=f"group {index} of {optimizer.type}",
            fix=f"set weight_decay={coefficient} in the code, or the coefficient you want",
        )


def _coupled(optimizer: Optimizer) -> Iterator[Finding]:
    names = [name for group in optimizer.groups if group.weight_decay for name in group.parameters if name]
    if optimizer.adaptive_denominator and names:
        yield finding(
            "DA502",
            f"{optimizer.type} adds weight_decay * w to the gradient and divides by its adaptive denominator: "
            f"the decay of {count_noun(len(names), 'parameter')} is not proportional to the weight",
            names,
            expected="decoupled decay",
            found="decay added to the gradient",
            where=optimizer.name,
            fix="use the decoupled form: AdamW, or decoupled_weight_decay=True",
        )


def _measured(observed: ObservedPlan) -> Iterator[Finding]:
    causes: dict[tuple[str, str, str], list[Decision]] = {}
    for decision, observation in observed.pairs():
        difference = _difference(observed.optimizer(observation), observation)
        if difference is not None:
            causes.setdefault((*difference, observed.group_name(observation)), []).append(decision)
    for (announced, effect, group), decisions in causes.items():
        yield finding(
            "DA503",
            f"a step with a gradient of zero {effect} {count_by_kind(decisions)}; {group} says {announced}",
            (decision.name for decision in decisions),
            expected=announced,
            found=effect.removesuffix(" of").removesuffix(" for"),
            where=group,
            fix="read how the optimizer's step() uses weight_decay, and change the groups or the optimizer",
        )


def _difference(optimizer: Optimizer, observation: Observation) -> tuple[str, str] | None:
    """The group's coefficient and what a step does, in words; None where they agree or nothing was measured."""
    announced = f"weight_decay {coefficient_text(observation.weight_decay)}"
    match observation.movement:
        case None | "vanishing":
            return None
        case "unstable":
            return announced, "gives inf or nan for"
        case "none":
            return (announced, "does not move") if observation.weight_decay and observation.declared_rate != 0 else None
        case "proportional" | "cautious" if observation.measured_rate is not None:
            rate = observation.declared_rate if optimizer.semantics != "unknown" else observation.weight_decay
            if rate is None or isclose(rate, observation.measured_rate, rel_tol=TOLERANCE):
                return None
            return announced, f"removes {coefficient_text(observation.measured_rate)} x lr of"
        case _:
            return None if observation.weight_decay else (announced, "moves")


def _rounded_away(observed: ObservedPlan) -> Iterator[Finding]:
    causes: dict[tuple[str, float], list[Decision]] = {}
    for decision, observation in observed.pairs():
        dtype, optimizer = decision.classified.parameter.dtype, observed.optimizer(observation)
        if _is_rounded_away(optimizer, observation, dtype):
            product = _peak_lr(optimizer, observation) * effective_weight_decay(observation)
            causes.setdefault((dtype, product), []).append(decision)
    for (dtype, product), decisions in causes.items():
        limit = f" (the product must be at least {RESOLUTION[dtype]:.2g})" if dtype in RESOLUTION else ""
        yield finding(
            "DA504",
            f"lr x weight_decay is {coefficient_text(product)}, and {dtype} rounds it away: {count_by_kind(decisions)} "
            f"never {'shrinks' if len(decisions) == 1 else 'shrink'}{limit}",
            (decision.name for decision in decisions),
            expected=f"1 - {coefficient_text(product)} times the weight",
            found="the weight",
            where=observed.class_names(),
            fix="keep float32 master weights, use stochastic rounding, or raise lr x weight_decay",
        )


def _is_rounded_away(optimizer: Optimizer, observation: Observation, dtype: str) -> bool:
    """As measured; without a measurement, by arithmetic, for decoupled decay only: it scales the weight on its own.

    What counts is the peak learning rate: at the start of a warm-up and after the end of a schedule it is small.
    """
    lr, movement = _peak_lr(optimizer, observation), observation.movement
    if movement not in (None, "unstable") and (movement != "vanishing" or lr == (observation.lr or 0.0)):
        return movement == "vanishing"
    product = lr * observation.weight_decay
    return optimizer.semantics == "decoupled" and 0 < product < RESOLUTION.get(dtype, 0.0)


def _peak_lr(optimizer: Optimizer, observation: Observation) -> float:
    if observation.group >= len(optimizer.groups):
        return observation.lr or 0.0
    return peak_lr(optimizer.groups[observation.group]) or 0.0
