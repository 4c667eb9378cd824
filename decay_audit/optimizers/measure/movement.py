"""Find how a step moved a tensor, and at which rate, from the values before and after the step."""

import torch
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.observations import Movement

SPREAD = 0.01
"""Elements count as moved alike if their movements differ by no more than this fraction."""
NOISE_OF_DIFFERENCE = 1e-11
"""Relative noise of the difference between two steps: the rounding errors of both add up."""


class StepEffect(Struct, frozen=True, kw_only=True):
    """How a step moved a tensor.

    Attributes:
        rate: the fraction of the weight that the first moving step removed, divided by lr.
        settled_rate: the rate of later steps, when momentum has settled; None if no later steps were taken.
    """

    movement: Movement
    rate: float = 0.0
    settled_rate: float | None = None


def effect_of_step(before: torch.Tensor, after: torch.Tensor, lr: float, noise: float = 0.0) -> StepEffect:
    """Compare a tensor before and after a step.

    Args:
        noise: relative size of differences that are rounding errors, if larger than that of the dtype.
    """
    if not before.numel():
        return StepEffect(movement="none")
    noise = max(noise, rounding_error(after))
    before, after = before.double(), after.double()
    if not after.isfinite().all():
        return StepEffect(movement="unstable", rate=float("nan"))
    fractions = (before - after) / before
    if fractions.abs().max().item() <= noise / 4:
        return StepEffect(movement="none")
    movement: Movement = "other"
    if _are_alike(fractions, noise):
        movement = "proportional"
    elif _are_alike((before - after) * before.sign(), noise):
        movement = "sign"
    return StepEffect(movement=movement, rate=fractions.mean().item() / lr)


def after_rounding(exact: StepEffect, real: StepEffect) -> StepEffect:
    """Correct an effect in double precision by the effect in the parameter's own dtype."""
    if real.movement == "unstable":
        return real
    vanishes = real.movement == "none" and exact.movement in ("proportional", "sign", "other")
    return replace(exact, movement="vanishing") if vanishes else exact


def correct_by_gradient(without_gradient: StepEffect, shrinking: StepEffect, growing: StepEffect) -> StepEffect | None:
    """Correct an effect by the effects of decay in steps with a gradient; None if it needs no correction.

    Args:
        without_gradient: the effect in a step with a gradient of zero.
        shrinking: the effect of decay in a step whose gradient shrinks the weight.
        growing: the effect of decay in a step whose gradient makes the weight larger.
    """
    if shrinking.movement == "proportional" and abs(growing.rate) <= SPREAD * abs(shrinking.rate):
        return replace(shrinking, movement="cautious")
    if without_gradient.movement != "none":
        return None
    if shrinking.movement == "proportional" and abs(growing.rate - shrinking.rate) <= SPREAD * abs(shrinking.rate):
        return shrinking
    moving = [effect for effect in (shrinking, growing) if effect.movement in ("proportional", "sign", "other")]
    return replace(moving[0], movement="normalized") if moving else None


def rounding_error(values: torch.Tensor) -> float:
    """Relative rounding error of the narrowest dtype that holds these values: some optimizers compute in float32."""
    dtypes = (torch.bfloat16, torch.float16, torch.float32)
    return torch.finfo(next((dtype for dtype in dtypes if _fits(values, dtype)), torch.float64)).eps


def _are_alike(amounts: torch.Tensor, noise: float) -> bool:
    median = amounts.median()
    return bool(((amounts - median).abs() <= SPREAD * median.abs() + noise).all())


def _fits(values: torch.Tensor, dtype: torch.dtype) -> bool:
    return bool((values.to(dtype).to(values.dtype) == values).all())
