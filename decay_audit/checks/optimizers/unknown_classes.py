"""Optimizers whose class is not known: DA507 says what measured steps showed, or why none was measured."""

from collections.abc import Iterator, Sequence
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind
from decay_audit.checks.observed_plan import ObservedPlan, Pair
from decay_audit.model.observations import Movement, Observation, Optimizer
from decay_audit.text import join_words

TOLERANCE = 0.01
"""Relative difference up to which a measured rate is the coefficient."""
_SETTLED = 0.05
"""Relative difference from which on the rate of later steps is named as well."""

_EFFECTS: dict[Movement | None, str] = {
    "sign": "moves every element towards 0 by an amount that the coefficient hardly changes ({})",
    "constant": "subtracts the same amount from every element ({})",
    "other_point": "pulls {} towards other values than 0",
    "normalized": "decays {} by an amount that depends on the gradient or on a norm",
    "cautious": "decays {} only where the gradient has the sign of the weight",
    "scheduled": "removes a fraction of {} that changes from step to step",
    "other": "moves {} neither by a fraction nor by an amount",
    "vanishing": "decays {} by less than its dtype resolves",
    "none": "leaves {} as before",
    "unstable": "gives inf or nan for {}",
}
"""What a step does, with the parameters in place of the braces."""


def check_unknown_classes(observed: ObservedPlan) -> Iterator[Finding]:
    """Say of each optimizer that is not known what is known of it instead. One that failed to step is named, too."""
    for optimizer in observed.optimizers.values():
        if not optimizer.class_is_known or optimizer.failed_measurement:
            pairs = [pair for pair in observed.pairs() if pair[1].optimizer == optimizer.name]
            yield finding(
                "DA507",
                _message(optimizer, pairs),
                dict.fromkeys(decision.name for decision, _ in pairs),
                expected="a class that decay-audit knows, or a measured step",
                found=optimizer.failed_measurement or f"the class {optimizer.import_path or optimizer.type}",
                where=optimizer.name,
            )


def _message(optimizer: Optimizer, pairs: Sequence[Pair]) -> str:
    failure = optimizer.failed_measurement
    if optimizer.class_is_known:
        return f"no step of {optimizer.type} could be measured, its class and groups count instead: {failure}"
    effects = _effects([pair for pair in pairs if pair[1].movement != "unknown"])
    if effects:
        return f"{optimizer.type} is not a known class; measured instead, a step {join_words(effects)}"
    cause = f"no step could be measured: {failure}" if failure else "no step was measured"
    return f"{optimizer.type} is not a known class, and {cause}; what its groups set was not compared"


def _effects(pairs: Sequence[Pair]) -> list[str]:
    causes: dict[str, list[Pair]] = {}
    for pair in pairs:
        causes.setdefault(_effect(pair[1]), []).append(pair)
    return [effect.format(count_by_kind([decision for decision, _ in members])) for effect, members in causes.items()]


def _effect(observation: Observation) -> str:
    rate, lr = observation.measured_rate or 0.0, observation.lr or 1.0
    if observation.movement == "without_lr":
        if isclose(rate * lr, observation.weight_decay, rel_tol=TOLERANCE):
            return "removes weight_decay itself, not multiplied by lr, of {}"
        return f"removes {coefficient_text(rate * lr)}, whatever lr is, of {{}}"
    if observation.movement == "proportional":
        is_coefficient = isclose(rate, observation.weight_decay, rel_tol=TOLERANCE)
        product = "lr x weight_decay" if is_coefficient else f"{coefficient_text(rate)} x lr"
        return f"removes {product} of {{}}{_settled_text(observation)}"
    return _EFFECTS[observation.movement]


def _settled_text(observation: Observation) -> str:
    """How much more a step removes once momentum has settled: ` (10 x that once momentum has settled)`; "" if not."""
    rate, settled = observation.measured_rate, observation.settled_rate
    if not rate or settled is None or isclose(settled, rate, rel_tol=_SETTLED):
        return ""
    return f" ({settled / rate:.3g} x that once momentum has settled)"
