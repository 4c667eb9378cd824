"""Find coefficients that do something else in a step than they seem to: DA501 to DA504."""

from collections.abc import Iterator, Mapping, Sequence
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, group_names, peak_lr
from decay_audit.checks.observed_plan import ObservedPlan, Pair, effective_weight_decay
from decay_audit.model.choices import Severity
from decay_audit.model.observations import Movement, Observation, Optimizer
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun, join_words

RESOLUTION = {"bfloat16": 2.0**-9, "float16": 2.0**-12, "float32": 2.0**-25}
"""A quarter of the machine epsilon of each dtype. For a smaller x, w * (1 - x) rounds back to w, for every w."""
TOLERANCE = 0.01
"""Relative difference up to which a measured rate counts as equal to the declared one."""


def check_effective_decay(observed: ObservedPlan) -> Iterator[Finding]:
    """Find default, coupled and ineffective coefficients, and steps that differ from what their group declares."""
    if observed.origin == "live":
        yield from _find_defaults(observed)
    for optimizer in observed.optimizers.values():
        yield from _find_coupled(observed, optimizer)
    yield from _find_other_steps(observed)
    yield from _find_rounded_away(observed)


def _find_defaults(observed: ObservedPlan) -> Iterator[Finding]:
    """Find coefficients that no code sets: one DA501 for each default, also if several optimizers have it.

    If the construction of the optimizer was not watched, a coefficient that equals the default is reported too, unless
    the ruleset asks for it.
    """
    expected = {
        (observation.optimizer, observation.group): decision.weight_decay
        for decision, observation in observed.pairs()
        if decision.decays
    }
    causes: dict[tuple[str, float, bool | None], dict[str, list[int]]] = {}
    for optimizer in observed.optimizers.values():
        for index, group in enumerate(optimizer.groups):
            is_default = group.weight_decay_is_default
            is_asked = isclose(expected.get((optimizer.name, index), 0.0), group.weight_decay)
            if not group.weight_decay or not group.parameters or is_default is False:
                continue
            if is_default is not None or not is_asked:
                cause = causes.setdefault((optimizer.type, group.weight_decay, is_default), {})
                cause.setdefault(optimizer.name, []).append(index)
    for (kind, weight_decay, is_default), indices in causes.items():
        yield _default_finding(observed, kind, weight_decay, indices, is_default=bool(is_default))


def _default_finding(
    observed: ObservedPlan, kind: str, weight_decay: float, indices: Mapping[str, Sequence[int]], *, is_default: bool
) -> Finding:
    """Make the finding on all groups, by the name of their optimizer, that have a default coefficient."""
    coefficient = coefficient_text(weight_decay)
    optimizers = [(observed.optimizers[name], groups) for name, groups in indices.items()]
    return finding(
        "DA501",
        f"{kind}'s default {coefficient} is in effect; this code does not set weight_decay"
        if is_default
        else f"weight_decay {coefficient} is {kind}'s default; it may be that no code sets it",
        [name for optimizer, groups in optimizers for i in groups for name in optimizer.groups[i].parameters if name],
        expected="weight_decay set in the code",
        found=f"the default {coefficient}",
        where=join_words(
            [
                group_names(groups, len(optimizer.groups), observed.optimizer_name(optimizer))
                for optimizer, groups in optimizers
            ]
        ),
        fix=f"set weight_decay={coefficient} in the code, or the coefficient you want",
    )


def _find_coupled(observed: ObservedPlan, optimizer: Optimizer) -> Iterator[Finding]:
    """Find decay that is coupled through an adaptive denominator: DA502. For unknown classes, by measured steps."""
    names = [name for group in optimizer.groups if group.weight_decay for name in group.parameters if name]
    cause = f"{optimizer.type} adds weight_decay * w to the gradient and divides by its adaptive denominator"
    if not optimizer.class_is_known:
        names = [
            decision.name
            for decision, observation in observed.pairs()
            if (observation.optimizer, observation.movement) == (optimizer.name, "sign") and observation.weight_decay
        ]
        cause = f"measured steps of {optimizer.type} hardly depend on the coefficient"
    if names and (optimizer.adaptive_denominator or not optimizer.class_is_known):
        yield finding(
            "DA502",
            f"{cause}: the decay of {count_noun(len(names), 'parameter')} is not proportional to the weight",
            names,
            expected="decoupled decay",
            found="decay added to the gradient",
            where=optimizer.name,
            fix=_decoupling_fix(optimizer),
        )


def _decoupling_fix(optimizer: Optimizer) -> str:
    """Name a way to decouple: an argument of the class, its decoupled counterpart, or another class."""
    forms = ["AdamW with these groups" if optimizer.type == "Adam" else "", optimizer.decoupled_by]
    if any(forms):
        return f"use the decoupled form: {', or '.join(filter(None, forms))}"
    return "use a class that decouples it, such as AdamW, or weight_decay=0"


def _find_other_steps(observed: ObservedPlan) -> Iterator[Finding]:
    """Find measured steps that differ from the declared decay: one DA503 for each group and kind of difference."""
    causes: dict[tuple[str, float, str], list[Pair]] = {}
    for decision, observation in observed.pairs():
        optimizer = observed.optimizer(observation)
        if _differs(optimizer, observation):
            key = (
                _effect(observation),
                observation.weight_decay,
                observed.group_name(observation),
            )
            causes.setdefault(key, []).append((decision, observation))
    for (effect, weight_decay, group), pairs in causes.items():
        decisions, declared = [decision for decision, _ in pairs], f"weight_decay {coefficient_text(weight_decay)}"
        rates = _range([observation for _, observation in pairs])
        measured = effect.format(rates=rates, parameters=count_by_kind(decisions))
        yield finding(
            "DA503",
            f"a step with a gradient of zero {measured}; {group} declares {declared}",
            (decision.name for decision in decisions),
            expected=declared,
            found=effect.format(rates=rates, parameters="the weight"),
            where=group,
            fix="read how the optimizer's step() uses weight_decay, and change the groups or the optimizer",
            severity=None if observed.optimizer(pairs[0][1]).class_is_known else _INFERRED_SEVERITY,
        )


_INFERRED_SEVERITY: Severity = "warning"
"""Severity of a DA503 for an optimizer of an unknown class, whose semantics are inferred from measured steps."""
_EFFECTS: dict[Movement | None, str] = {
    "proportional": "removes {rates} x lr of {parameters}",
    "cautious": "removes {rates} x lr of {parameters}",
    "without_lr": "removes the same fraction of {parameters} whatever lr is, here {rates} x lr",
    "none": "does not change {parameters}",
    "unstable": "gives inf or nan for {parameters}",
    "constant": "moves every element of {parameters} by the same amount, whatever its value",
    "other_point": "pulls every element of {parameters} towards values other than 0",
}
"""What a step does, by the observed movement. `{parameters}` counts the parameters, `{rates}` are measured rates."""


def _effect(observation: Observation) -> str:
    if observation.movement == "proportional" and (observation.measured_rate or 0.0) < 0:
        return "makes {parameters} larger, by {rates} x lr of its values"
    return _EFFECTS.get(observation.movement, "moves {parameters}")


def _range(observations: Sequence[Observation]) -> str:
    """Write the rates of several parameters: `0.1`, or `0.1 to 0.3`."""
    rates = sorted({abs(observation.measured_rate or 0.0) for observation in observations})
    texts = dict.fromkeys(coefficient_text(rate) for rate in (rates[0], rates[-1]))
    return " to ".join(texts)


def _differs(optimizer: Optimizer, observation: Observation) -> bool:
    """Whether a measured step differs from what the class and the group declare."""
    known, coefficient = optimizer.class_is_known, observation.weight_decay
    match observation.movement:
        case None | "vanishing" | "unknown":
            return False
        case "other" | "other_point" if not known:  # DA507 says what it is; `other` may be noise, and no decay
            return False
        case "unstable" | "constant" | "other_point":
            return True
        case "none":
            return known and coefficient > 0 and observation.declared_rate != 0
        case "proportional" | "cautious" | "without_lr" if observation.measured_rate is not None:
            declares = known or _declares_coefficient(optimizer, observation)
            return declares and not _is_as_declared(optimizer, observation, observation.measured_rate)
        case _:  # a step that moves weights in a form without one rate contradicts only a declared 0
            return not coefficient and _declares_coefficient(optimizer, observation)


def _declares_coefficient(optimizer: Optimizer, observation: Observation) -> bool:
    """Whether the group has a coefficient. A class of its own may keep it under another key, or in an attribute."""
    if observation.group >= len(optimizer.groups):
        return True
    return optimizer.groups[observation.group].coefficient_key != ""


def _is_as_declared(optimizer: Optimizer, observation: Observation, rate: float) -> bool:
    """Whether a rate is the one that the class declares; for an unknown class, whether it fits the coefficient."""
    if optimizer.semantics != "unknown":
        return observation.declared_rate is None or isclose(observation.declared_rate, rate, rel_tol=TOLERANCE)
    lr = observation.lr or 1.0
    is_without_lr = isclose(observation.weight_decay, rate * lr, rel_tol=TOLERANCE)
    if observation.movement == "without_lr":
        return is_without_lr
    # some classes multiply by lr / initial lr, which is 1 at the start: there, only the coefficient itself is removed
    return is_without_lr or isclose(observation.weight_decay, rate, rel_tol=TOLERANCE)


def _find_rounded_away(observed: ObservedPlan) -> Iterator[Finding]:
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
    """Whether a measured step was rounded away. If no step was measured, compute this, for decoupled decay only.

    The peak learning rate is used, because the current one is small in a warm-up and at the end of a schedule.
    """
    lr, movement = _peak_lr(optimizer, observation), observation.movement
    was_measured_at_peak = lr == (observation.lr or 0.0)
    if movement == "vanishing" and was_measured_at_peak:
        return True
    if movement not in (None, "unstable", "vanishing"):
        return False
    product = lr * observation.weight_decay
    is_decoupled = optimizer.semantics == "decoupled" and not optimizer.compensates_rounding
    return is_decoupled and 0 < product < RESOLUTION.get(dtype, 0.0)


def _peak_lr(optimizer: Optimizer, observation: Observation) -> float:
    if observation.group >= len(optimizer.groups):
        return observation.lr or 0.0
    return peak_lr(optimizer.groups[observation.group]) or 0.0
