"""The learning rates of all steps of a torch scheduler at once, where its class has a formula for the rate of a step.

Stepping 600,000 times takes seconds, the formula does not. Only the classes of torch themselves are here, not classes
that derive from them, and only schedulers that were not stepped yet.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.optim import lr_scheduler

Rates = list[list[float]]
"""For each group, the learning rate of each step."""


def rates_of_all_steps(scheduler: Any, count: int) -> Rates | None:  # noqa: ANN401 - of any class
    """Compute the rates of `count` steps; None if the scheduler has no formula here, or has been stepped."""
    if not _is_covered(scheduler):
        return None
    return [list(rates) for rates in _rates(scheduler, count)]


def _is_covered(scheduler: Any) -> bool:  # noqa: ANN401
    if type(scheduler) is lr_scheduler.SequentialLR:
        return scheduler.last_epoch == 0 and all(type(inner) in _FORMULAS for inner in scheduler._schedulers)
    return type(scheduler) in _FORMULAS and scheduler.last_epoch == 0


def _rates(scheduler: Any, count: int) -> list[Sequence[float]]:  # noqa: ANN401
    if type(scheduler) is not lr_scheduler.SequentialLR:
        steps = torch.arange(count, dtype=torch.float64)
        return [
            _FORMULAS[type(scheduler)](scheduler, steps, base, index) for index, base in enumerate(scheduler.base_lrs)
        ]
    starts = [0, *(min(milestone, count) for milestone in scheduler._milestones), count]
    pieces = [
        _rates(inner, end - start)
        for inner, (start, end) in zip(scheduler._schedulers, pairwise(starts), strict=True)
        if end > start
    ]
    return [[rate for piece in pieces for rate in piece[index]] for index in range(len(pieces[0]))]


def _lambda(scheduler: Any, steps: torch.Tensor, base: float, index: int) -> list[float]:  # noqa: ANN401
    function = scheduler.lr_lambdas[index]
    return [base * float(function(step)) for step in range(len(steps))]


def _multi_step(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    milestones = torch.tensor(sorted(scheduler.milestones.elements()), dtype=torch.float64)
    return _list(base * scheduler.gamma ** torch.bucketize(steps, milestones, right=True).double())


def _cosine(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    least = scheduler.eta_min
    return _list(least + (base - least) * (1 + torch.cos(torch.pi * steps / scheduler.T_max)) / 2)


def _linear(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    part = steps.clamp(max=scheduler.total_iters) / scheduler.total_iters
    return _list(base * (scheduler.start_factor + (scheduler.end_factor - scheduler.start_factor) * part))


def _polynomial(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    part = steps.clamp(max=scheduler.total_iters) / scheduler.total_iters
    return _list(base * (1 - part) ** scheduler.power)


def _constant(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    ended = (steps >= scheduler.total_iters).double()
    return _list(base * (scheduler.factor + ended * (1 - scheduler.factor)))


def _step(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    return _list(base * scheduler.gamma ** (steps / scheduler.step_size).floor())


def _exponential(scheduler: Any, steps: torch.Tensor, base: float, _: int) -> list[float]:  # noqa: ANN401
    return _list(base * scheduler.gamma**steps)


def _list(rates: torch.Tensor) -> list[float]:
    values: list[float] = rates.tolist()
    return values


_FORMULAS: Mapping[type, Callable[[Any, torch.Tensor, float, int], list[float]]] = {
    lr_scheduler.LambdaLR: _lambda,
    lr_scheduler.StepLR: _step,
    lr_scheduler.MultiStepLR: _multi_step,
    lr_scheduler.ConstantLR: _constant,
    lr_scheduler.LinearLR: _linear,
    lr_scheduler.ExponentialLR: _exponential,
    lr_scheduler.CosineAnnealingLR: _cosine,
    lr_scheduler.PolynomialLR: _polynomial,
}
