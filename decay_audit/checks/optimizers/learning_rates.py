"""Compare learning rates with those that the ruleset's `lr_scale` and `layer_decay` ask for: DA105.

A ruleset scales the learning rate and does not set it. So the base rate of each optimizer is found from its groups: it
is the rate of the parameters that the ruleset does not scale. If all are scaled, the base that fits most is taken.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, peak_lr
from decay_audit.checks.observed_plan import ObservedPlan, Pair
from decay_audit.model.observations import Optimizer, ParamGroup

TOLERANCE = 1e-3
"""Relative difference up to which two learning rates are the same."""
_MAX_RATIOS = 2
"""Each ratio of live to expected learning rates gets its own finding; more ratios than this share one finding."""
_SCALE_KEY = "lr_scale"
"""The key of the factor that timm's schedulers apply; torch ignores it."""


def check_learning_rates(observed: ObservedPlan) -> Iterator[Finding]:
    """Compare the learning rates of each optimizer, relative to its own base, with the ruleset's."""
    if not observed.primary:  # saved optimizers are compared with the live ones in `checks.resume`
        return
    for optimizer in observed.optimizers.values():
        pairs = [pair for pair in observed.pairs() if pair[0].grouped and pair[1].optimizer == optimizer.name]
        rates = [(pair, rate) for pair in pairs if (rate := initial_rate(optimizer, pair[1].group))]
        scaled = [(pair, rate) for pair, rate in rates if pair[0].lr_scale]
        if len({pair[0].lr_scale for pair, _ in scaled}) > 1:
            yield from _compare(observed, scaled)


def _compare(observed: ObservedPlan, rates: Sequence[tuple[Pair, float]]) -> Iterator[Finding]:
    base = _base(rates)
    by_ratio: dict[float, list[tuple[Pair, float]]] = {}
    for pair, rate in rates:
        expected = base * pair[0].lr_scale
        if not isclose(rate, expected, rel_tol=TOLERANCE):
            by_ratio.setdefault(float(f"{rate / expected:.3g}"), []).append((pair, rate))
    batches = [*by_ratio.values()]
    if len(batches) > _MAX_RATIOS:
        batches = [[entry for batch in batches for entry in batch]]
    for batch in batches:
        yield _other_rate_finding(observed, batch, base)


def _other_rate_finding(observed: ObservedPlan, differing: Sequence[tuple[Pair, float]], base: float) -> Finding:
    decisions = list({pair[0].name: pair[0] for pair, _ in differing}.values())
    (decision, observation), rate = max(differing, key=lambda entry: entry[0][0].lr_scale)
    live, expected = coefficient_text(rate), coefficient_text(base * decision.lr_scale)
    ratios = {float(f"{rate / (base * pair[0].lr_scale):.3g}") for pair, rate in differing}
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
        found=f"lr {live} in {observed.group_name(observation)}",
        where=_scale_locations(observed),
        fix=f"set lr={expected} there, or correct the code that computes the learning rates",
    )


def _base(rates: Sequence[tuple[Pair, float]]) -> float:
    """Find the commonest rate of unscaled parameters; if all are scaled, the commonest quotient of rate and scale."""
    unscaled = Counter(rate for pair, rate in rates if pair[0].lr_scale == 1.0)
    ratios = Counter(float(f"{rate / pair[0].lr_scale:.6g}") for pair, rate in rates)
    return (unscaled or ratios).most_common(1)[0][0]


def initial_rate(optimizer: Optimizer, group: int) -> float | None:
    """Return the base rate of a group, times the factor that timm's schedulers apply; None if no rate is known."""
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
