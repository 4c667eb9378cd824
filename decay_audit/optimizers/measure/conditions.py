"""Measure the amounts that the steps of an optimizer remove from its tensors, under several conditions.

The conditions are those of `laws.StepAmounts`.
"""

from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Any

import torch

from decay_audit.errors import OptimizerError
from decay_audit.optimizers.measure.laws import StepAmounts
from decay_audit.optimizers.measure.movement import NOISE_OF_DIFFERENCE, rounding_error
from decay_audit.optimizers.measure.probe import Factors, History, ProbeResult, probe

SMALL_LR = 1 / 64
"""Factor of lr for steps with a gradient: with a small lr, the gradient hardly changes the weight that decays."""
HISTORY = 8
"""How many steps with random gradients come before the measured step, so that it resembles a step of training."""
WITHOUT_COEFFICIENT = Factors(coefficient=0)
"""The condition of a step in which nothing should decay."""
_CONDITIONS = {
    "at_twice_lr": Factors(lr=2),
    "at_twice_coefficient": Factors(coefficient=2),
    "of_twice_weight": Factors(weight=2),
}
"""The factors for each condition, by the field of StepAmounts."""

Probe = Callable[..., ProbeResult]
"""The function `probe` for one optimizer, with fixed tensors and a fixed number of steps."""


def exact_steps(optimizer: torch.optim.Optimizer, steps: int, keys: Collection[int]) -> ProbeResult:
    """Take steps in double precision. If the optimizer computes in float32 anyway, its lr is raised.

    Raises:
        OptimizerError: it cannot step without a gradient.
    """
    try:
        result = probe(optimizer, steps=steps, dtype=torch.float64, only=keys)
    except OptimizerError:
        return probe(optimizer, steps=steps, amplify=True, only=keys)
    moved = [values for values in result.values.values() if values[0].numel() and not values[0].equal(values[-1])]
    if moved and all(rounding_error(values[-1]) > NOISE_OF_DIFFERENCE for values in moved):
        return probe(optimizer, steps=steps, dtype=torch.float64, amplify=True, only=keys)
    return result


def amounts_by_condition(
    optimizer: torch.optim.Optimizer, steps: int, keys: Collection[int], *, of_last_step: bool = False
) -> dict[int, StepAmounts]:
    """Measure what a step with a gradient of zero removes, under each condition.

    Args:
        keys: the ids of the tensors to measure.
        of_last_step: measure the last of the steps, and not the first one that moves a tensor.

    Raises:
        OptimizerError: the optimizer cannot step.
    """
    usual = exact_steps(optimizer, steps, keys)
    run = _probe_like(optimizer, usual, steps, keys)
    results = {name: run(factors=factors) for name, factors in _CONDITIONS.items()}
    without_coefficient, (twice, once) = run(factors=WITHOUT_COEFFICIENT), _with_random_gradient(run)
    amounts = {}
    for key, values in usual.values.items():
        moving = [index for index, (before, after) in enumerate(pairwise(values)) if not before.equal(after)]
        index = steps - 1 if of_last_step else (moving or [0])[0]
        by_decay = None
        if twice and once:  # steps with twice and once the coefficient: the difference is the usual decay
            by_decay = _amount(twice, key, index) - _amount(once, key, index)
            if not moving:
                by_decay = (once.values[key][-1] - twice.values[key][-1]).double()
        amounts[key] = StepAmounts(
            weight=values[index].double(),
            usual=_amount(usual, key, index),
            without_coefficient=_amount(without_coefficient, key, index),
            by_decay=by_decay,
            noise=rounding_error(values[-1]) * values[0].abs().max().item(),
            lr=usual.lrs[key],
            **{name: _amount(result, key, index) for name, result in results.items()},
        )
    return amounts


def differences_by_condition(optimizer: torch.optim.Optimizer, keys: Collection[int]) -> dict[int, StepAmounts]:
    """Measure what decay removes in a step with a random gradient, after other such steps.

    The amount is the difference between steps with the coefficient and steps with a coefficient of 0.

    Raises:
        OptimizerError: the optimizer cannot step.
    """
    dtype, is_exact = _precision_with_gradient(optimizer, keys)

    def run(lr: float = 1, coefficient: float = 1, weight: float = 1) -> ProbeResult:
        factors = Factors(lr=lr * (SMALL_LR if is_exact else 1), coefficient=coefficient, weight=weight)
        settings: dict[str, Any] = {
            "dtype": dtype,
            "amplify": not is_exact,
            "history": History(steps=HISTORY),
            "only": keys,
        }
        return probe(optimizer, gradient="random", factors=factors, **settings)

    usual, without_decay = run(), run(coefficient=0)
    pairs = {
        "at_twice_lr": (run(lr=2), run(lr=2, coefficient=0)),
        "at_twice_coefficient": (run(coefficient=2), without_decay),
        "of_twice_weight": (run(weight=2), run(weight=2, coefficient=0)),
    }
    amounts = {}
    for key, values in usual.values.items():
        by_condition = {
            name: _amount(decayed, key, 0) - _amount(undecayed, key, 0) for name, (decayed, undecayed) in pairs.items()
        }
        difference = _amount(usual, key, 0) - _amount(without_decay, key, 0)
        amounts[key] = StepAmounts(
            weight=values[0].double(),
            usual=difference,
            without_coefficient=torch.zeros_like(difference),
            by_decay=None,
            noise=max(rounding_error(values[-1]), NOISE_OF_DIFFERENCE) * values[0].abs().max().item(),
            lr=usual.lrs[key] * (SMALL_LR if is_exact else 1),
            **by_condition,
        )
    return amounts


def _precision_with_gradient(
    optimizer: torch.optim.Optimizer, keys: Collection[int]
) -> tuple[torch.dtype | None, bool]:
    """Find the dtype in which an optimizer steps on a random gradient, and whether it computes in double precision.

    Raises:
        OptimizerError: it steps in no dtype.
    """
    try:
        result = probe(optimizer, only=keys, gradient="random", dtype=torch.float64)
    except OptimizerError:
        probe(optimizer, only=keys, gradient="random")
        return None, False
    return torch.float64, any(rounding_error(values[-1]) < NOISE_OF_DIFFERENCE for values in result.values.values())


def _probe_like(optimizer: torch.optim.Optimizer, usual: ProbeResult, steps: int, keys: Collection[int]) -> Probe:
    """Make a function that takes the same steps again under another condition."""

    def run(**condition: Any) -> ProbeResult:  # noqa: ANN401 - arguments of probe()
        settings: dict[str, Any] = {"dtype": usual.dtype, "amplify": usual.amplify, "only": keys, "steps": steps}
        return probe(optimizer, **settings, **condition)

    return run


def _amount(result: ProbeResult, key: int, index: int) -> torch.Tensor:
    """Subtract the values after a step from the values before it."""
    values = result.values[key]
    return (values[index] - values[index + 1]).double()


def _with_random_gradient(run: Probe) -> tuple[ProbeResult | None, ProbeResult | None]:
    """Take steps with twice the coefficient and with the usual one; None if a random gradient raises an error.

    A coefficient of 0 is not used here: some optimizers then leave out more than the decay.
    """
    try:
        return run(gradient="random", factors=Factors(coefficient=2)), run(gradient="random")
    except OptimizerError:
        return None, None
