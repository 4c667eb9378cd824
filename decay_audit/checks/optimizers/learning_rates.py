"""Compare learning rates with those that the ruleset's `lr_scale` and `layer_decay` ask for: DA105.

A ruleset scales the learning rate and does not set it. So the base rate of each optimizer is found from its groups: it
is the rate of the parameters that the ruleset does not scale. If it scales all, the base that fits most is taken.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose

from msgspec import Struct

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, peak_lr
from decay_audit.checks.observed_plan import ObservedPlan
from decay_audit.model.observations import Observation, Optimizer, ParamGroup
from decay_audit.rulesets.plan import Decision

TOLERANCE = 1e-3
"""Relative difference up to which two learning rates are the same."""
_MAX_RATIOS = 2
"""Each ratio of live to expected learning rates gets its own finding; more ratios than this share one finding."""
_SCALE_KEY = "lr_scale"
"""The key of the factor that timm's schedulers apply; torch ignores it."""


class _LiveRate(Struct, frozen=True, kw_only=True, eq=False):
    """The learning rate of a parameter in a live group, before any schedule, and what the ruleset decides for it."""

    decision: Decision
    observation: Observation
    lr: float

    def ratio(self, base: float) -> float:
        """Divide the live rate by the ruleset's, to three digits."""
        return float(f"{self.lr / (base * self.decision.lr_scale):.3g}")


def check_learning_rates(observed: ObservedPlan) -> Iterator[Finding]:
    """Compare the learning rates of each optimizer, relative to its own base, with the ruleset's."""
    if not observed.compared_fully:
        return
    for optimizer in observed.optimizers.values():
        rates = [
            _LiveRate(decision=decision, observation=observation, lr=lr)
            for decision, observation in observed.pairs()
            if decision.grouped and decision.lr_scale and observation.optimizer == optimizer.name
            if (lr := initial_rate(optimizer, observation.group))
        ]
        if len({rate.decision.lr_scale for rate in rates}) > 1:
            yield from _compare(observed, rates)


def _compare(observed: ObservedPlan, rates: Sequence[_LiveRate]) -> Iterator[Finding]:
    base = _base(rates)
    by_ratio: dict[float, list[_LiveRate]] = {}
    for rate in rates:
        if not isclose(rate.lr, base * rate.decision.lr_scale, rel_tol=TOLERANCE):
            by_ratio.setdefault(rate.ratio(base), []).append(rate)
    if len(by_ratio) > _MAX_RATIOS:
        yield _other_rate_finding(observed, [rate for members in by_ratio.values() for rate in members], base)
        return
    for members in by_ratio.values():
        yield _other_rate_finding(observed, members, base)


def _other_rate_finding(observed: ObservedPlan, differing: Sequence[_LiveRate], base: float) -> Finding:
    decisions = list({rate.decision.name: rate.decision for rate in differing}.values())
    example = max(differing, key=lambda rate: rate.decision.lr_scale)
    decision = example.decision
    live, expected = coefficient_text(example.lr), coefficient_text(base * decision.lr_scale)
    ratios = {rate.ratio(base) for rate in differing}
    is_single, noun = len(decisions) == 1, "learning rate" if len(decisions) == 1 else "learning rates"
    name, ratio_text = observed.plan.ruleset.name, f"{coefficient_text(min(ratios))} times the {noun} of"
    other_text = f"another {noun} than in" if is_single else f"other {noun} than in"
    difference = ratio_text if len(ratios) == 1 else other_text
    return finding(
        "DA105",
        f"{count_by_kind(decisions)} {'has' if is_single else 'have'} {difference} {name}: "
        f"{decision.name} has {live}, the rule says {expected}",
        (decision.name for decision in decisions),
        expected=f"lr {expected} = {coefficient_text(base)} x {coefficient_text(decision.lr_scale)}",
        found=f"lr {live} in {observed.group_name(example.observation)}",
        where=_scale_locations(observed),
        fix=_rate_fix(differing, base),
    )


def _rate_fix(differing: Sequence[_LiveRate], base: float) -> str:
    """Say how to change the rates: to a number if all should have the same, by a factor if all differ by the same."""
    expected = {coefficient_text(base * rate.decision.lr_scale) for rate in differing}
    ratios = {rate.ratio(base) for rate in differing}
    if len(expected) == 1:
        return f"set lr={expected.pop()} there, or correct the code that computes the learning rates"
    first = differing[0]
    ratio = float(f"{base * first.decision.lr_scale / first.lr:.3g}")
    factor = f", by a factor of {coefficient_text(ratio)} each" if len(ratios) == 1 else ""
    return f"correct the code that computes these learning rates{factor}"


def _base(rates: Sequence[_LiveRate]) -> float:
    """Find the most frequent rate of unscaled parameters, or else the most frequent quotient of rate and scale."""
    unscaled = Counter(rate.lr for rate in rates if rate.decision.lr_scale == 1.0)
    quotients = Counter(float(f"{rate.lr / rate.decision.lr_scale:.6g}") for rate in rates)
    return (unscaled or quotients).most_common(1)[0][0]


def initial_rate(optimizer: Optimizer, group: int) -> float | None:
    """Return the rate of a group before its schedule, times timm's `lr_scale`; None if no rate is known."""
    if group >= len(optimizer.groups):
        return None
    rate = _base_rate(optimizer.groups[group])
    if rate is None or len({_base_rate(group) for group in optimizer.groups if group.parameters}) > 1:
        return rate  # the rates of the groups differ, so they already contain the factors
    factor = optimizer.groups[group].hyperparameters.get(_SCALE_KEY, 1.0)
    return rate * factor if isinstance(factor, int | float) else rate


def _base_rate(group: ParamGroup) -> float | None:
    """Return the rate that a schedule multiplies (`initial_lr`); without a schedule, the largest known rate."""
    initial_lr = group.hyperparameters.get("initial_lr")
    return float(initial_lr) if isinstance(initial_lr, int | float) and initial_lr else peak_lr(group)


def _scale_locations(observed: ObservedPlan) -> str:
    ruleset = observed.plan.ruleset
    layers = [ruleset.layer_decay.location] if ruleset.layer_decay else []
    locations = [*layers, *(scale.location for scale in ruleset.lr_scale)]
    return ", ".join(filter(None, locations))
