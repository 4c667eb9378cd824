"""Optimizers whose class is not known: DA507 says what measured steps showed, or why none was measured."""

from collections.abc import Iterator, Sequence
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind
from decay_audit.checks.observed_plan import ObservedPlan, Pair
from decay_audit.model.observations import Movement, Observation, Optimizer
from decay_audit.text import join_words

TOLERANCE = 0.01
"""Relative difference up to which a measured rate counts as equal to the coefficient."""
_SETTLED_TOLERANCE = 0.05
"""If the rates of later steps and of the first step differ by more than this, relatively, the message has both."""

_EFFECTS: dict[Movement, str] = {
    "sign": "moves every element towards 0 by an amount that hardly depends on the coefficient ({})",
    "constant": "moves every element of {} by the same amount, whatever its value",
    "other_point": "pulls {} towards values other than 0",
    "normalized": "decays {} by an amount that depends on the gradient or on a norm",
    "cautious": "decays {} only where the gradient has the sign of the weight",
    "scheduled": "removes a fraction of {} that changes from step to step",
    "other": "changes {} in a way that is none of the known forms of decay",
    "vanishing": "decays {} by less than its dtype resolves",
    "none": "does not decay {}",
    "unstable": "gives inf or nan for {}",
}
"""What a step does, with the parameters in place of the braces."""


def check_unknown_classes(observed: ObservedPlan) -> Iterator[Finding]:
    """Report optimizers of unknown classes, with what measured steps showed, and optimizers that failed to step."""
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
        return f"no step of {optimizer.type} could be measured, so its class and groups were used: {failure}"
    effects = _effects([pair for pair in pairs if pair[1].movement != "unknown"])
    if effects:
        return f"{optimizer.type} is not a known class; a measured step {join_words(effects)}"
    cause = f"no step could be measured: {failure}" if failure else "no step was measured"
    return f"{optimizer.type} is not a known class, and {cause}; the settings of its groups were not compared"


def _effects(pairs: Sequence[Pair]) -> list[str]:
    """Say what a step does to the parameters, each effect once; what it does not decay comes last."""
    by_effect: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair[1].movement == "none"):
        by_effect.setdefault(_effect(pair[1]), []).append(pair)
    counts = {effect: count_by_kind([decision for decision, _ in members]) for effect, members in by_effect.items()}
    return [effect.format(count) for effect, count in counts.items()]


def _effect(observation: Observation) -> str:
    rate, lr = observation.measured_rate or 0.0, observation.lr or 1.0
    if observation.movement == "without_lr":
        if isclose(rate * lr, observation.weight_decay, rel_tol=TOLERANCE):
            return "decays {} by weight_decay itself (not multiplied by lr)"
        return f"decays {{}} by {coefficient_text(rate * lr)}, whatever lr is"
    if observation.movement == "proportional" and rate < 0:
        return f"makes {{}} larger, by lr x {coefficient_text(-rate)} of the values"
    if observation.movement == "proportional":
        return f"decays {{}} by {_product_text(observation, rate, lr)}{_settled_text(observation)}"
    return _EFFECTS[observation.movement or "other"]


def _product_text(observation: Observation, rate: float, lr: float) -> str:
    """Write the removed fraction as a product with lr, or say that it equals weight_decay at this lr."""
    if isclose(rate, observation.weight_decay, rel_tol=TOLERANCE):
        return "lr x weight_decay"
    if isclose(rate * lr, observation.weight_decay, rel_tol=TOLERANCE):
        return f"weight_decay at lr {coefficient_text(lr)}, and in proportion to lr"
    return f"lr x {coefficient_text(rate)}"


def _settled_text(observation: Observation) -> str:
    """Compare later steps with the first: ` (10 x that once momentum has settled)`; "" if they remove the same."""
    rate, settled = observation.measured_rate, observation.settled_rate
    if not rate or settled is None or isclose(settled, rate, rel_tol=_SETTLED_TOLERANCE):
        return ""
    return f" ({settled / rate:.3g} x that once momentum has settled)"
