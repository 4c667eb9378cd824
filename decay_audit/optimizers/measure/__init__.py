"""Truth by experiment: steps on gradients of zero, on stand-ins, and what they did to each parameter.

What moves with a gradient of zero is decay. Knows no table and no rule.
"""

from collections.abc import Collection, Mapping
from itertools import pairwise

import torch
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import OptimizerError
from decay_audit.model.observations import Movement, Observation
from decay_audit.optimizers.find import Found
from decay_audit.optimizers.live import observe, speaking
from decay_audit.optimizers.measure.probe import Gradient, Trail, probe
from decay_audit.optimizers.watch_construction import Record

STEPS = 3
PATIENCE = 12
"""Steps where none of the first moved anything: some optimizers begin with a few of another kind."""
SPREAD = 0.01
"""Relative difference between elements up to which they moved alike."""


SMALL = 1e-11
"""Fraction that the difference of two steps must exceed: each has rounding errors of its own."""
_DIRECTIONS: tuple[Gradient, ...] = ("with", "against")


class Moved(Struct, frozen=True, kw_only=True):
    """How a tensor moved: the way, and the fraction of the weight that the first moving step removed, over lr."""

    movement: Movement
    rate: float = 0.0


def measure(optimizers: Found, names: Mapping[int, str], record: Record | None = None) -> tuple[Observation, ...]:
    """Observe optimizers, and fill in what a step with a gradient of zero does to each parameter of the model.

    Neither the model nor the optimizers are touched. Frozen parameters are not measured, which have no gradient, nor
    empty shards.

    Args:
        optimizers, names, record: as for `live.observe`.

    Raises:
        OptimizerError: an optimizer cannot step, with its own message.
    """
    observed = observe(optimizers, names, record)
    results = {name: _results(optimizer, names) for name, optimizer in optimizers}
    return tuple(_filled(one, results[one.optimizer].get(one.parameter)) for one in observed.observations)


def _filled(observation: Observation, moved: Moved | None) -> Observation:
    return observation if moved is None else replace(observation, movement=moved.movement, measured_rate=moved.rate)


def _results(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Moved]:
    try:
        found = moves(optimizer, _measurable(optimizer, names))
    except OptimizerError:
        inside = speaking(optimizer)
        if inside is optimizer:
            raise
        found = moves(inside, _measurable(inside, names))  # Lightning's wrapper steps in a running Trainer only
    return {names[key]: moved for key, moved in found.items()}


def _measurable(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> list[int]:
    tensors = {id(tensor): tensor for group in optimizer.param_groups for tensor in group["params"]}
    return [key for key, one in tensors.items() if key in names and one.requires_grad and one.numel()]


def moves(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> dict[int, Moved]:
    """Measure the tensors with these ids.

    Every tensor takes one step. Those of a group, shape and dtype that moved alike are then one case, of which one
    takes the further steps: double precision shows the rate, the parameter's own dtype whether rounding undoes it.
    """
    if not keys:
        return {}
    chosen = _representatives(optimizer, _first(_exact(optimizer, 1, keys)))
    found = _closely(optimizer, set(chosen.values()))
    return {key: found[chosen[key]] for key in keys}


def _representatives(optimizer: torch.optim.Optimizer, seen: Mapping[int, Moved]) -> dict[int, int]:
    """For each tensor, one that is like it and has moved like it."""
    cases: dict[tuple[object, ...], int] = {}
    chosen = {}
    for index, group in enumerate(optimizer.param_groups):
        for tensor in group["params"]:
            if (moved := seen.get(id(tensor))) is not None:
                marks = tuple(sorted(name for name in vars(tensor)))
                case = (index, tensor.shape, tensor.dtype, marks, moved.movement, f"{moved.rate:.9g}")
                chosen[id(tensor)] = cases.setdefault(case, id(tensor))
    return chosen


def _closely(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> dict[int, Moved]:
    found = _without_gradient(optimizer, keys, STEPS)
    if all(one.movement == "none" for one in found.values()):
        found = _without_gradient(optimizer, keys, PATIENCE)
    return found | _with_gradient(optimizer, found)


def _without_gradient(optimizer: torch.optim.Optimizer, keys: Collection[int], steps: int) -> dict[int, Moved]:
    real = _first(probe(optimizer, steps=steps, only=keys))
    exact = _first(_exact(optimizer, steps, keys))
    return {key: _rounded(exact[key], real[key]) for key in keys}


def _exact(optimizer: torch.optim.Optimizer, steps: int, keys: Collection[int]) -> Trail:
    """Steps in double precision; louder ones for an optimizer that works in single precision whatever it is given."""
    try:
        trail = probe(optimizer, steps=steps, dtype=torch.float64, only=keys)
    except OptimizerError:
        return probe(optimizer, steps=steps, amplify=True, only=keys)
    moved = [values for values in trail.values.values() if values[0].numel() and not values[0].equal(values[-1])]
    single = moved and all(_noise(values[-1]) > SMALL for values in moved)
    return probe(optimizer, steps=steps, dtype=torch.float64, amplify=True, only=keys) if single else trail


def _rounded(exact: Moved, real: Moved) -> Moved:
    """What rounding to the parameter's dtype makes of a movement."""
    if real.movement == "unstable":
        return real
    gone = real.movement == "none" and exact.movement in ("proportional", "sign", "other")
    return replace(exact, movement="vanishing") if gone else exact


def _first(trail: Trail) -> dict[int, Moved]:
    """For each tensor, the first step that moved it."""
    return {
        key: next(
            (one for pair in pairwise(values) if (one := _moved(*pair, trail.rates[key])).movement != "none"),
            Moved(movement="none"),
        )
        for key, values in trail.values.items()
    }


def _moved(before: torch.Tensor, after: torch.Tensor, lr: float, noise: float = 0.0) -> Moved:
    if not before.numel():
        return Moved(movement="none")
    noise = max(noise, _noise(after))
    before, after = before.double(), after.double()
    if not after.isfinite().all():
        return Moved(movement="unstable", rate=float("nan"))
    fractions = (before - after) / before
    if fractions.abs().max().item() <= noise / 4:
        return Moved(movement="none")
    return Moved(movement=_way(before - after, fractions, before, noise), rate=fractions.mean().item() / lr)


def _way(change: torch.Tensor, fractions: torch.Tensor, before: torch.Tensor, noise: float) -> Movement:
    if _alike(fractions, noise):
        return "proportional"
    return "sign" if _alike(change * before.sign(), noise) else "other"


def _alike(amounts: torch.Tensor, noise: float) -> bool:
    middle = amounts.median()
    return bool(((amounts - middle).abs() <= SPREAD * middle.abs() + noise).all())


def _noise(after: torch.Tensor) -> float:
    """Relative size of a rounding error: that of the dtype which the values fit, as some optimizers work in float32."""
    fits = next((kind for kind in (torch.bfloat16, torch.float16, torch.float32) if _fits(after, kind)), torch.float64)
    return torch.finfo(fits).eps


def _fits(values: torch.Tensor, dtype: torch.dtype) -> bool:
    return bool((values.to(dtype).to(values.dtype) == values).all())


def _with_gradient(optimizer: torch.optim.Optimizer, found: Mapping[int, Moved]) -> dict[int, Moved]:
    """Those that decay otherwise when there is a gradient: the difference that the coefficient makes to a step.

    Cautious decay needs a gradient of the weight's sign; some optimizers do nothing at all while all gradients are 0,
    and LARC lets the coefficient into what a norm then rescales, but not where that norm is 0.
    """
    doubtful = [key for key, one in found.items() if one.movement in ("none", "proportional")]
    if not doubtful or not any(group.get("weight_decay") for group in optimizer.param_groups):
        return {}
    try:
        helped, opposed = (_difference(optimizer, gradient, found) for gradient in _DIRECTIONS)
    except OptimizerError:
        return {}
    judged = {key: _judged(found[key], helped[key], opposed[key]) for key in doubtful}
    return {key: one for key, one in judged.items() if one is not None}


def _judged(still: Moved, helped: Moved, opposed: Moved) -> Moved | None:
    if helped.movement == "proportional" and abs(opposed.rate) <= SPREAD * abs(helped.rate):
        return replace(helped, movement="cautious")
    if still.movement != "none":
        return None
    if helped.movement == "proportional" and abs(opposed.rate - helped.rate) <= SPREAD * abs(helped.rate):
        return helped
    moved = next((one for one in (helped, opposed) if one.movement in ("proportional", "sign", "other")), None)
    return moved and replace(moved, movement="other")


def _difference(optimizer: torch.optim.Optimizer, gradient: Gradient, keys: Collection[int]) -> dict[int, Moved]:
    decayed = probe(optimizer, dtype=torch.float64, gradient=gradient, only=keys)
    plain = probe(optimizer, dtype=torch.float64, gradient=gradient, decay=False, only=keys).values
    return {
        key: _moved(before, before + after - plain[key][1], decayed.rates[key], SMALL)
        for key, (before, after) in decayed.values.items()
    }
