"""Observe optimizers, with what steps on probe tensors did to each parameter."""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import torch
from msgspec.structs import replace

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Observation
from decay_audit.optimizers.find import NamedOptimizers
from decay_audit.optimizers.live import LiveOptimizers, decaying_optimizer, observe
from decay_audit.optimizers.measure.conditions import (
    WITHOUT_COEFFICIENT,
    amounts_by_condition,
    differences_by_condition,
    exact_steps,
)
from decay_audit.optimizers.measure.laws import effect_by_law, multiple
from decay_audit.optimizers.measure.movement import (
    NOISE_OF_DIFFERENCE,
    StepEffect,
    after_rounding,
    correct_by_gradient,
    effect_of_step,
)
from decay_audit.optimizers.measure.probe import NEAR, Factors, Gradient, History, ProbeResult, probe
from decay_audit.optimizers.measure.probe_tensors import is_all_zero
from decay_audit.optimizers.measure.settling import correct_by_later_steps, find_accumulating
from decay_audit.optimizers.table.group_keys import COEFFICIENT_KEYS
from decay_audit.optimizers.watch_construction import ConstructionLog

STEPS = 3
"""How many steps are usually taken to see an effect."""
MORE_STEPS = 12
"""How many steps are taken if the first few moved nothing: some optimizers begin with steps of another kind."""

SMALLEST_PULL = 1e-9
"""A pull that moves a weight by a smaller part of the distance to its target is a rounding error."""
SMALL_WEIGHT = 2.0**-10
"""The factor that makes the values of a probe tensor small, to see whether they decay differently then."""

Effects = dict[int, StepEffect]
"""The effect of a step on each tensor, by the id of the tensor."""


def measure(
    optimizers: NamedOptimizers,
    names: Mapping[int, str],
    log: ConstructionLog | None = None,
    *,
    known_classes: bool = True,
) -> LiveOptimizers:
    """Observe optimizers, and fill in what a step with a gradient of zero does to each parameter of the model.

    Neither the model nor the optimizers are changed. Frozen parameters, which have no gradient, and empty shards are
    not measured. If an optimizer cannot step, its groups are read, and `failed_measurement` has the error.

    Args:
        optimizers, names, log: as for `live.observe`.
        known_classes: measure optimizers whose class is in the table, too.

    Raises:
        OptimizerError: as for `live.observe`.
    """
    live = observe(optimizers, names, log)
    effects: dict[str, dict[str, StepEffect]] = {}
    failures: dict[str, str] = {}
    for (name, optimizer), observed in zip(optimizers, live.optimizers, strict=True):
        if known_classes or not observed.class_is_known:
            try:
                effects[name] = _effects_by_name(optimizer, names)
                if not observed.class_is_known:
                    effects[name] |= _late_decay(optimizer, names, effects[name])
            except OptimizerError as error:
                failures[name] = error.message
    return LiveOptimizers(
        optimizers=tuple(
            replace(optimizer, failed_measurement=failures.get(optimizer.name, "")) for optimizer in live.optimizers
        ),
        observations=tuple(
            _with_effect(observation, effects.get(observation.optimizer, {}).get(observation.parameter))
            for observation in live.observations
        ),
    )


def _with_effect(observation: Observation, effect: StepEffect | None) -> Observation:
    if effect is None:
        return observation
    return replace(observation, movement=effect.movement, measured_rate=effect.rate, settled_rate=effect.settled_rate)


def _effects_by_name(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, StepEffect]:
    try:
        effects = effects_of_steps(optimizer, _measurable(optimizer, names))
    except OptimizerError:
        wrapped = decaying_optimizer(optimizer)
        if wrapped is optimizer:
            raise
        effects = effects_of_steps(wrapped, _measurable(wrapped, names))  # LightningOptimizer needs a running Trainer
    return {names[key]: effect for key, effect in effects.items()}


def _late_decay(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], effects: Mapping[str, StepEffect]
) -> dict[str, StepEffect]:
    """Find decay that shows only after other steps, such as a pull towards the first values, or towards their mean.

    The copy takes steps with random gradients. Then one more step is measured three times: as it is, with twice the
    coefficient, and with twice the weight. The differences show whether weights decay, and towards which values.
    """
    moved = {name for name, effect in effects.items() if effect.movement != "none"}
    keys = [key for key in _measurable(optimizer, names) if names[key] not in moved]
    settings: dict[str, Any] = {"dtype": torch.float64, "history": History(steps=STEPS)}
    try:
        usual = probe(optimizer, only=keys, **settings) if keys else None
        more = probe(optimizer, only=keys, factors=Factors(coefficient=2), **settings) if keys else None
        of_twice = probe(optimizer, only=keys, factors=Factors(weight=2), **settings) if keys else None
    except OptimizerError:
        return {}
    if not (usual and more and of_twice):
        return {}
    decay = {}
    for key in keys:
        (before, after), (twice, after_twice) = usual.values[key], of_twice.values[key]
        depends = (more.values[key][1] - after).abs().max() > SMALLEST_PULL * before.abs().max()
        pull = multiple((twice - after_twice) - (before - after), before)
        if (depends or key in usual.keep_early_values) and pull is not None and SMALLEST_PULL < pull < 1 - NEAR:
            decay[names[key]] = StepEffect(movement="other_point")
        elif depends:
            decay[names[key]] = StepEffect(movement="other")
    return decay


def _measurable(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> list[int]:
    tensors = {id(tensor): tensor for group in optimizer.param_groups for tensor in group["params"]}
    return [key for key, tensor in tensors.items() if key in names and tensor.requires_grad and tensor.numel()]


def effects_of_steps(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> Effects:
    """Measure the tensors with these ids.

    Every tensor takes one step. Tensors of the same group, shape and dtype that moved alike are then represented by one
    of them, which takes more steps: in double precision, which shows the rate; and in its own dtype, which shows
    whether rounding undoes it.
    """
    if not keys:
        return {}
    try:
        first = _first_movements(exact_steps(optimizer, 1, keys))
    except OptimizerError as error:
        if effects := _effects_with_gradient(optimizer, keys):
            return effects
        raise error from None
    representative = _representatives(optimizer, first)
    effects = _effects_in_detail(optimizer, set(representative.values()))
    effects = {key: effects[representative[key]] for key in keys}
    return effects | _unknown_effects_of_zeros(optimizer, effects)


def _unknown_effects_of_zeros(optimizer: torch.optim.Optimizer, effects: Effects) -> Effects:
    """Return the effect `unknown` for each tensor of zeros whose later decay cannot be told from its probe tensor.

    Its values in training are not known. So its effect is unknown if only small values decay without a gradient, or
    only large ones. It is unknown, too, if the optimizer pulls other tensors to their initial values: a pull to 0 looks
    like decay.
    """
    zeros = [
        id(tensor)
        for group in optimizer.param_groups
        for tensor in group["params"]
        if id(tensor) in effects and is_all_zero(tensor)
    ]
    if any(effect.movement == "other_point" for effect in effects.values()):
        return {key: StepEffect(movement="unknown") for key in zeros if effects[key].movement != "none"}
    keys = [key for key in zeros if effects[key].movement in ("none", "proportional")]
    if not keys:
        return {}
    settings: dict[str, Any] = {"steps": MORE_STEPS, "dtype": torch.float64, "only": keys}
    try:
        small = _first_movements(probe(optimizer, factors=Factors(weight=SMALL_WEIGHT), **settings))
        large = _first_movements(probe(optimizer, **settings))
    except OptimizerError:
        return {}
    return {
        key: StepEffect(movement="unknown")
        for key in keys
        if (small[key].movement == "none") != (large[key].movement == "none")
    }


def _representatives(optimizer: torch.optim.Optimizer, effects: Effects) -> dict[int, int]:
    """Map the id of each tensor to that of the first tensor with the same group, shape, dtype and movement."""
    first: dict[tuple[object, ...], int] = {}
    representative = {}
    for index, group in enumerate(optimizer.param_groups):
        for tensor in group["params"]:
            if (effect := effects.get(id(tensor))) is not None:
                attributes = tuple(sorted(vars(tensor)))
                kind = (index, tensor.shape, tensor.dtype, attributes, effect.movement, f"{effect.rate:.9g}")
                representative[id(tensor)] = first.setdefault(kind, id(tensor))
    return representative


def _effects_in_detail(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> Effects:
    steps, effects = STEPS, _without_gradient(optimizer, keys, STEPS)
    if all(effect.movement == "none" for effect in effects.values()):
        steps, effects = MORE_STEPS, _without_gradient(optimizer, keys, MORE_STEPS)
    effects |= _corrected_by_gradient(optimizer, effects)
    effects |= _laws(optimizer, effects, steps)
    return effects | correct_by_later_steps(optimizer, effects)


def _laws(optimizer: torch.optim.Optimizer, effects: Effects, steps: int) -> Effects:
    """Find what the movements depend on, if the optimizer can take steps under other conditions."""
    keys = [key for key, effect in effects.items() if effect.movement in ("proportional", "sign", "other", "none")]
    if not keys:
        return {}
    try:
        amounts_by_key = amounts_by_condition(optimizer, steps, keys)
    except OptimizerError:
        return {}
    lrs = _lrs(optimizer)
    return {key: effect_by_law(effects[key], amounts, lrs[key]) for key, amounts in amounts_by_key.items()}


def _lrs(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(tensor): float(group.get("lr") or 1.0) for group in optimizer.param_groups for tensor in group["params"]}


def _effects_with_gradient(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> Effects:
    """Measure an optimizer that cannot step on a gradient of zero: the difference that the coefficient makes.

    Raises:
        OptimizerError: it cannot step on a random gradient either, or has no coefficient to tell decay by.
    """
    with_coefficient = [group for group in optimizer.param_groups if any(group.get(key) for key in COEFFICIENT_KEYS)]
    decaying = {id(tensor) for group in with_coefficient for tensor in group["params"]} & {*keys}
    amounts_by_key = differences_by_condition(optimizer, decaying) if decaying else {}
    effects = {}
    for key, amounts in amounts_by_key.items():
        effect = effect_of_step(amounts.weight, amounts.weight - amounts.usual, amounts.lr, NOISE_OF_DIFFERENCE)
        effects[key] = effect_by_law(effect, amounts, amounts.lr)
    return effects


def _without_gradient(optimizer: torch.optim.Optimizer, keys: Collection[int], steps: int) -> Effects:
    """Measure steps with a gradient of zero, in double precision and in the dtype of each tensor."""
    real = _first_movements(probe(optimizer, steps=steps, only=keys))
    exact = _first_movements(exact_steps(optimizer, steps, keys))
    effects = {key: after_rounding(exact[key], real[key]) for key in keys}
    vanishing = {key: exact[key] for key, effect in effects.items() if effect.movement == "vanishing"}
    return effects | {key: exact[key] for key in find_accumulating(optimizer, vanishing)}


def _first_movements(result: ProbeResult) -> Effects:
    """Find, for each tensor, the effect of the first step that moved it."""
    return {
        key: next(
            (
                effect
                for before, after in pairwise(values)
                if (effect := effect_of_step(before, after, result.lrs[key])).movement != "none"
            ),
            StepEffect(movement="none"),
        )
        for key, values in result.values.items()
    }


def _corrected_by_gradient(optimizer: torch.optim.Optimizer, effects: Effects) -> Effects:
    """Find the tensors that decay in another way when there is a gradient.

    A step with the coefficient is compared with a step with a coefficient of 0. Cautious decay needs a gradient of the
    weight's sign. Some optimizers do nothing while all gradients are 0. LARC decays the gradient before it rescales it
    by a norm, but not if that norm is 0.
    """
    doubtful = [key for key, effect in effects.items() if effect.movement in ("none", "proportional")]
    if not doubtful or not any(group.get("weight_decay") for group in optimizer.param_groups):
        return {}
    try:
        shrinking = _difference_by_decay(optimizer, "shrinking", effects)
        growing = _difference_by_decay(optimizer, "growing", effects)
    except OptimizerError:
        return {}
    corrected = {key: correct_by_gradient(effects[key], shrinking[key], growing[key]) for key in doubtful}
    return {key: effect for key, effect in corrected.items() if effect is not None}


def _difference_by_decay(optimizer: torch.optim.Optimizer, gradient: Gradient, keys: Collection[int]) -> Effects:
    decayed = probe(optimizer, dtype=torch.float64, gradient=gradient, only=keys)
    undecayed = probe(optimizer, dtype=torch.float64, gradient=gradient, factors=WITHOUT_COEFFICIENT, only=keys).values
    return {
        key: effect_of_step(before, before + after - undecayed[key][1], decayed.lrs[key], NOISE_OF_DIFFERENCE)
        for key, (before, after) in decayed.values.items()
    }
