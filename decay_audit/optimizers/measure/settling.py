"""Find out whether the decay rate of the first step holds for later steps, settles at another one, or keeps changing.

Momentum raises the rate over some steps. A schedule inside the optimizer changes it in every step. A compensated sum
applies after many steps what each of them rounds away.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import dropwhile, pairwise
from math import floor, isclose, isfinite, log2
from statistics import fmean

import torch
from msgspec.structs import replace

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Movement
from decay_audit.optimizers.measure.conditions import HISTORY, amounts_by_condition, exact_steps
from decay_audit.optimizers.measure.laws import effect_by_law, multiple, projection
from decay_audit.optimizers.measure.movement import NOISE_OF_DIFFERENCE, StepEffect, effect_of_step, rounding_error
from decay_audit.optimizers.measure.probe import LR_IF_ZERO, NO_HISTORY, Factors, History, ProbeResult, probe
from decay_audit.optimizers.table.group_keys import COEFFICIENT_KEYS

QUARTER = 16
"""A quarter of the steps in which a rate may settle: the rates are averaged over each quarter."""
LONG_QUARTER = 96
"""The same if the rate has not settled, and more steps are taken."""
EQUAL_TOLERANCE = 1e-3
"""Relative difference up to which two rates are the same."""
SETTLED = 0.02
"""A rate has settled if it still changes by less than this fraction of itself."""
GEOMETRIC_TOLERANCE = 0.02
"""How far a settling rate may be from its prediction, as a part of its last change.

A rate that falls as 1 / step is farther away, so it does not count as settling.
"""
SLOWEST = 0.995
"""Largest ratio of successive changes of a rate that settles (momentum 0.9997). With 1 the rate never settles."""
CHANGE_TOLERANCE = 0.1
"""Relative difference up to which the rate after steps with gradients counts as equal to that of the first step."""
OSCILLATION_FREE_LR = 2.0**-12
"""The factor that makes lr so small that all steps together hardly change a weight."""
ACCUMULATING_STEPS = 256
"""After this many steps, a compensated sum has changed a tensor that no single step could change."""

Effects = dict[int, StepEffect]


def correct_by_later_steps(optimizer: torch.optim.Optimizer, effects: Mapping[int, StepEffect]) -> Effects:
    """Correct the effects that remove a fraction of the weight, by the effects of later steps without a gradient.

    Raises:
        OptimizerError: steps with random gradients give inf or nan, so the class has no law; or later steps need the
            values of tensors on the meta device.
    """
    keys = [key for key, effect in effects.items() if effect.movement in ("proportional", "without_lr")]
    if not keys:
        return {}
    try:
        result = exact_steps(optimizer, 4 * QUARTER, keys)
        corrected = {key: _with_settled_rate(effects[key], result.values[key], result.lrs[key]) for key in keys}
        unsettled = [key for key, effect in corrected.items() if effect and effect.movement == "scheduled"]
        if unsettled:  # slow momentum takes longer; a schedule does not settle at all
            longer = exact_steps(optimizer, 4 * LONG_QUARTER, unsettled)
            corrected |= {
                key: _with_settled_rate(effects[key], longer.values[key], longer.lrs[key]) for key in unsettled
            }
            corrected |= _at_small_lr(optimizer, effects, corrected)
    except OptimizerError as error:
        if "meta" in error.message:  # later steps need values: they can be measured on the CPU
            raise
        return {}
    changed = [key for key, effect in corrected.items() if effect is None]
    kept = {key: effect for key, effect in corrected.items() if effect}
    laws = kept | {key: effects[key] for key in changed} | _later_laws(optimizer, changed)
    return laws | _changed_by_training(optimizer, laws, result)


def _at_small_lr(
    optimizer: torch.optim.Optimizer, effects: Mapping[int, StepEffect], corrected: Mapping[int, StepEffect | None]
) -> Effects:
    """Measure the effects that did not settle again, with a small lr. Return those that settle then.

    With a large lr, slow momentum makes a weight oscillate around 0. A schedule does not depend on lr.
    """
    keys = [key for key, effect in corrected.items() if effect and effect.movement == "scheduled"]
    if not keys:
        return {}
    result = probe(
        optimizer, steps=4 * LONG_QUARTER, dtype=torch.float64, only=keys, factors=Factors(lr=OSCILLATION_FREE_LR)
    )
    settled = {
        key: _with_settled_rate(effects[key], values, result.lrs[key] * OSCILLATION_FREE_LR)
        for key, values in result.values.items()
        if rounding_error(values[-1]) < NOISE_OF_DIFFERENCE  # float32 would round such small steps away
    }
    return {key: effect for key, effect in settled.items() if effect and effect.movement == "proportional"}


def _with_settled_rate(effect: StepEffect, values: tuple[torch.Tensor, ...], lr: float) -> StepEffect | None:
    """Add the settled rate to an effect; None if later steps follow another law."""
    last = effect_of_step(values[-2], values[-1], lr)
    if last.movement == "unstable" or not isfinite(last.rate):
        return effect
    if last.movement == "none":  # the decay has faded out, or needs a gradient
        return effect if values[0].equal(values[-1]) else replace(effect, movement="scheduled")
    if last.movement != "proportional":
        return None if last.movement in ("sign", "other") else effect
    rates = [_rate(before, after, lr) for before, after in pairwise(values)]
    rates = [*dropwhile(lambda rate: rate == 0, rates)]  # some classes move nothing at first
    scale = effect.rate / rates[0]  # not 1 if the steps were amplified
    limit = settled_rate(rates)
    if limit is None or abs(limit) <= SETTLED * abs(rates[0]):  # in the second case the decay ends
        return replace(effect, movement="scheduled")
    return replace(effect, settled_rate=limit * scale)


def settled_rate(rates: Sequence[float]) -> float | None:
    """Extrapolate the rates of steps in a row, if they are equal or approach a limit as momentum does; else None."""
    if all(abs(rate - rates[0]) <= EQUAL_TOLERANCE * abs(rates[0]) for rate in rates):
        return rates[0]
    size = len(rates) // 4
    means = [fmean(rates[index * size : (index + 1) * size]) for index in range(4)]
    changes = [after - before for before, after in pairwise(means)]
    last, scatter = rates[-size:], EQUAL_TOLERANCE * abs(means[-1]) + 2 * abs(changes[-1])
    if max(last) - min(last) > scatter:  # some steps differ from those around them, as in Lookahead
        return None
    if all(abs(change) <= EQUAL_TOLERANCE * abs(means[-1]) for change in changes):
        return means[-1]
    if abs(changes[2]) <= SETTLED * abs(means[-1]) and abs(changes[2]) < abs(changes[1]) / 2 < abs(changes[0]) / 4:
        return means[-1]  # several momenta, or rounding: what is left of the change is small and fades
    ratio = changes[1] / changes[0] if changes[0] else 1.0
    if 0 <= ratio < SLOWEST and abs(changes[2] - ratio * changes[1]) <= GEOMETRIC_TOLERANCE * abs(changes[1]):
        return means[-1] + changes[2] * ratio / (1 - ratio)
    return None


def _rate(before: torch.Tensor, after: torch.Tensor, lr: float) -> float:
    return projection((before - after).double(), before.double()) / lr


def _changed_by_training(
    optimizer: torch.optim.Optimizer, effects: Mapping[int, StepEffect], without_history: ProbeResult
) -> Effects:
    """Correct the effects of decay that depends on earlier gradients.

    Two copies take the same steps with random gradients. Only the coefficient of the last step differs.
    It is twice as large, and not 0: without a coefficient, some optimizers leave out more than the decay.
    """
    lrs = {
        id(tensor): float(group.get("lr") or LR_IF_ZERO)
        for group in optimizer.param_groups
        if any(group.get(key) for key in COEFFICIENT_KEYS)
        for tensor in group["params"]
    }
    keys = [key for key, effect in effects.items() if effect.movement in ("proportional", "without_lr") and key in lrs]
    if not keys:
        return {}
    take_steps = partial(
        probe,
        optimizer,
        dtype=without_history.dtype,
        amplify=without_history.amplify,
        history=History(steps=HISTORY),
        only=keys,
    )
    try:
        usual, more = take_steps(gradient="random"), take_steps(gradient="random", factors=Factors(coefficient=2))
        large = take_steps(gradient="large")
        more_large = take_steps(gradient="large", factors=Factors(coefficient=2))
    except OptimizerError:
        return {}
    _refuse_infinities(optimizer, (usual, large))
    changed: dict[int, float | None] = {}
    for key in keys:
        fraction = _fraction_by_coefficient(usual, more, key)
        rate = effects[key].rate * (lrs[key] if effects[key].movement == "without_lr" else usual.lrs[key])
        needs_gradient = without_history.values[key][0].equal(without_history.values[key][-1])
        is_kept = not needs_gradient or _is_close(_fraction_by_coefficient(large, more_large, key), rate)
        if not (is_kept and _is_close(fraction, rate)):
            changed[key] = fraction
    causes = _causes_of_changes(take_steps, changed)
    if type(optimizer) is torch.optim.SGD:  # it has no schedule; dampening lessens what the coefficient adds later
        causes = {key: None if cause == "scheduled" else cause for key, cause in causes.items()}
    return {
        key: replace(effects[key], movement=cause, settled_rate=None)
        for key in changed
        if (cause := causes.get(key, "normalized")) is not None
    }


def _refuse_infinities(optimizer: torch.optim.Optimizer, results: Iterable[ProbeResult]) -> None:
    """Refuse an optimizer whose weights became inf or nan.

    Raises:
        OptimizerError: they did.
    """
    if not all(values[-1].isfinite().all() for result in results for values in result.values.values()):
        raise OptimizerError(
            f"{type(optimizer).__name__}.step() gives inf or nan with random gradients", "correct its step()"
        )


def _causes_of_changes(
    take_steps: Callable[..., ProbeResult], changed: Mapping[int, float | None]
) -> dict[int, Movement | None]:
    """Find the tensors that decay by the same fractions without gradients, in an equally late step.

    The law is a schedule; None if the first step also removes that fraction, so that the law stays as it was: the
    optimizer decays by another amount as well, which does not depend on the coefficient.

    Args:
        changed: the fraction that the coefficient removes after steps with gradients, by tensor.
    """
    if not changed:
        return {}
    take_steps = partial(take_steps, gradient="zero", only=[*changed])
    twice, late = Factors(coefficient=2), History(steps=HISTORY, gradient="zero")
    try:
        at_end = take_steps(history=late), take_steps(history=late, factors=twice)
        at_start = take_steps(history=NO_HISTORY), take_steps(history=NO_HISTORY, factors=twice)
    except OptimizerError:
        return {}
    causes: dict[int, Movement | None] = {}
    for key, fraction in changed.items():
        if _is_close(fraction, _fraction_by_coefficient(*at_end, key)):
            is_constant = _is_close(fraction, _fraction_by_coefficient(*at_start, key))
            causes[key] = None if is_constant else "scheduled"
    return causes


def _fraction_by_coefficient(usual: ProbeResult, more: ProbeResult, key: int) -> float | None:
    """Return the fraction of a weight that a step removes in addition with twice the coefficient; None if it varies."""
    before, after = (values.double() for values in usual.values[key])
    return multiple(after - more.values[key][1].double(), before, CHANGE_TOLERANCE)


def _is_close(fraction: float | None, other: float | None) -> bool:
    return fraction is not None and other is not None and isclose(fraction, other, rel_tol=CHANGE_TOLERANCE)


def _later_laws(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> Effects:
    """Find the laws of late steps, for tensors whose first steps follow other laws.

    Tensors that also move without a coefficient are left out: under each condition, they are elsewhere by then.
    """
    if not keys:
        return {}
    try:
        amounts = amounts_by_condition(optimizer, 4 * QUARTER, keys, of_last_step=True)
    except OptimizerError:
        return {}
    effects = {}
    for key, amount in amounts.items():
        if amount.moves_without_coefficient():
            continue
        effect = effect_of_step(amount.weight, amount.weight - amount.usual, amount.lr)
        effects[key] = effect_by_law(effect, amount, amount.lr)
    return effects


def find_accumulating(optimizer: torch.optim.Optimizer, effects: Mapping[int, StepEffect]) -> frozenset[int]:
    """Find the tensors that change over many steps, although the change of one step is rounded away.

    Momentum may raise the change of later steps above what is rounded away. A compensated sum adds up what is rounded
    away: for it, the learning rate is raised, so that fewer steps are needed, but only so far that a later step, with
    momentum, would still be rounded away.
    """
    growth = _growth(optimizer, effects)
    by_factor: dict[float, list[int]] = {}
    tensors = [
        (group, tensor) for group in optimizer.param_groups for tensor in group["params"] if id(tensor) in effects
    ]
    for group, tensor in tensors:
        key = id(tensor)
        product = float(group.get("lr") or LR_IF_ZERO) * abs(effects[key].rate) * growth.get(key, 1.0)
        if product > 0:
            factor = 2.0 ** floor(log2(torch.finfo(tensor.dtype).eps / 16 / product))
            by_factor.setdefault(max(factor, 1.0), []).append(key)
    moving: set[int] = set()
    for factor, keys in by_factor.items():
        try:
            result = probe(optimizer, steps=ACCUMULATING_STEPS, only=keys, factors=Factors(lr=factor))
        except OptimizerError:
            continue
        moving |= {key for key, values in result.values.items() if not values[0].equal(values[-1])}
    return frozenset(moving)


def _growth(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> Mapping[int, float]:
    """Find how many times what the first step removes a later step removes, after momentum has settled."""
    if not keys:
        return {}
    try:
        result = exact_steps(optimizer, 4 * QUARTER, keys)
    except OptimizerError:
        return {}
    growth = {}
    for key, values in result.values.items():
        rates = [abs(_rate(before, after, result.lrs[key])) for before, after in pairwise(values)]
        moving = [*dropwhile(lambda rate: rate == 0, rates)]
        if moving and all(map(isfinite, moving)):
            growth[key] = max(*moving, settled_rate(rates) or 0.0, 0.0) / moving[0]
    return growth
