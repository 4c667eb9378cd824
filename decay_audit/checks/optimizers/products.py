"""Compare lr x weight_decay instead of weight_decay alone, where the ruleset says `compare: product`: DA103.

muP and other recipes that scale learning rates with width scale weight_decay against them, so that a step removes the
same part of every weight. What the ruleset asks for is its coefficient at the unscaled learning rate.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose

from msgspec import Struct

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, rules_with_locations
from decay_audit.checks.observed_plan import ObservedPlan, Pair, effective_weight_decay
from decay_audit.checks.optimizers.learning_rates import initial_rate
from decay_audit.model.observations import Observation
from decay_audit.rulesets.plan import Decision

TOLERANCE = 1e-5
"""Relative difference up to which two products are the same; written settings are often rounded."""


class _Product(Struct, frozen=True, kw_only=True, eq=False):
    """lr x weight_decay of a parameter, and the unscaled lr with which the ruleset's coefficient gives the same."""

    decision: Decision
    observation: Observation
    lr: float
    product: float
    unscaled_lr: float


def has_scaled_product(observed: ObservedPlan, expected: float, observation: Observation) -> bool:
    """Whether lr x weight_decay equals the expected coefficient times the lr of another group, as in muP."""
    optimizer, lr = observed.optimizer(observation), observation.lr or 0.0
    rates = [group.lr for group in optimizer.groups if group.lr and group.lr != lr and group.parameters]
    product = lr * effective_weight_decay(observation)
    return any(isclose(product, expected * rate, rel_tol=TOLERANCE) for rate in rates)


def find_other_products(observed: ObservedPlan, pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find parameters whose lr x weight_decay differs from the ruleset's: one DA103 for each combination of the two."""
    for name in observed.optimizers:
        products = [
            product
            for decision, observation in pairs
            if observation.optimizer == name and (product := _product(observed, decision, observation)) is not None
        ]
        if not products:
            continue
        unscaled_lr = _unscaled_lr(observed, name, products)
        causes: dict[tuple[bool, str, str], list[_Product]] = {}
        for product in products:
            expected = unscaled_lr * product.decision.weight_decay * product.decision.lr_scale
            if not isclose(product.product, expected, rel_tol=TOLERANCE):
                texts = (_text(expected), _text(product.product))
                causes.setdefault((product.decision.lenient, *texts), []).append(product)
        for (lenient, expected_text, found_text), differing in causes.items():
            yield _finding(observed, differing, unscaled_lr, (expected_text, found_text), lenient=lenient)


def _product(observed: ObservedPlan, decision: Decision, observation: Observation) -> _Product | None:
    """Multiply lr and weight_decay; None where one of the two sides does not decay, or no rate is known."""
    lr = initial_rate(observed.optimizer(observation), observation.group)
    coefficient = effective_weight_decay(observation)
    wanted = decision.weight_decay * decision.lr_scale
    if not (lr and coefficient and wanted):
        return None
    product = lr * coefficient
    return _Product(decision=decision, observation=observation, lr=lr, product=product, unscaled_lr=product / wanted)


def _unscaled_lr(observed: ObservedPlan, optimizer: str, products: Sequence[_Product]) -> float:
    """Find the unscaled learning rate: the one that the ruleset's coefficients are multiplied by.

    It is the rate of a group with which most parameters agree with the ruleset. If the coefficient was taken
    from this optimizer, it need not be that of a group. If no group has such a rate, it is the largest rate.
    """
    strict = [product for product in products if not product.decision.lenient] or products
    counts = Counter(float(f"{product.unscaled_lr:.5g}") for product in strict)
    subject = observed.optimizers[optimizer]
    initial_rates = [initial_rate(subject, index) for index, group in enumerate(subject.groups) if group.parameters]
    rates = [rate for rate in initial_rates if rate]
    for candidate, _ in counts.most_common():
        exact = next((rate for rate in rates if isclose(rate, candidate, rel_tol=1e-4)), None)
        if exact is not None:
            return exact
    return counts.most_common(1)[0][0] if observed.coefficient_adopted else max(rates)


def _finding(
    observed: ObservedPlan, differing: Sequence[_Product], unscaled_lr: float, texts: tuple[str, str], *, lenient: bool
) -> Finding:
    decisions = list({product.decision.name: product.decision for product in differing}.values())
    expected, found = texts
    example = differing[0]
    is_single, name = len(decisions) == 1, observed.plan.ruleset.name
    wanted_text = coefficient_text(example.decision.weight_decay)
    at_lr = coefficient_text(unscaled_lr * example.decision.lr_scale)
    needed = unscaled_lr * example.decision.lr_scale * example.decision.weight_decay / example.lr
    return finding(
        "DA103",
        f"{count_by_kind(decisions)} {'is' if is_single else 'are'} decayed{observed.agent_text()} with lr x "
        f"weight_decay {found}, not {expected}" + (f"; {name} is lenient there" if lenient else ""),
        [decision.name for decision in decisions],
        expected=f"lr x weight_decay {expected} = {at_lr} x {wanted_text}",
        found=f"{coefficient_text(example.lr)} x {coefficient_text(effective_weight_decay(example.observation))} in "
        f"{observed.group_names(product.observation for product in differing)}",
        where=rules_with_locations(decisions),
        fix="" if lenient else f"set weight_decay={_text(needed)} where lr is {coefficient_text(example.lr)}",
        severity="note" if lenient else None,
    )


def _text(value: float) -> str:
    return coefficient_text(float(f"{value:.5g}"))
