"""Find the law of a weight's decay: on what the amount depends that a step removes from each element of the weight.

A law is found from steps under several conditions: twice the learning rate, twice the coefficient or none, twice the
weight, and a random gradient. The amounts under one condition alone do not tell an L1 penalty from Adam, or decay
towards 0 from a pull to other values.
"""

from math import isclose

import torch
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.observations import Movement
from decay_audit.optimizers.measure.movement import NOISE_OF_DIFFERENCE, StepEffect, effect_of_step

TOLERANCE = 0.02
"""Relative difference up to which amounts are taken as proportional."""
LOOSE_TOLERANCE = 0.1
"""The tolerance if an epsilon in a denominator may change the amounts a little."""
LEAST_PART = 1e-3
"""A part of an amount is ignored if it is smaller than this fraction of the amount."""
LEAST_EXPONENT = 0.5
"""An amount is about |weight| ** exponent. It counts as growing with the weight if the exponent is this or more."""


class StepAmounts(Struct, frozen=True, kw_only=True, eq=False):
    """What one step removed from each element of a weight: the values before it, minus those after it.

    Attributes:
        weight: the values before the step.
        usual: the amounts with a gradient of zero and the group's own settings. The next four differ in one condition.
        at_twice_lr: the amounts with twice the learning rate.
        at_twice_coefficient: the amounts with twice the coefficient.
        without_coefficient: the amounts with a coefficient of 0.
        of_twice_weight: the amounts from a weight with twice the values.
        by_decay: the difference between steps with twice and once the coefficient, both with a random gradient; None if
            it was not measured.
        noise: the size of rounding errors.
        lr: the learning rate of the step.
    """

    weight: torch.Tensor
    usual: torch.Tensor
    at_twice_lr: torch.Tensor
    at_twice_coefficient: torch.Tensor
    without_coefficient: torch.Tensor
    of_twice_weight: torch.Tensor
    by_decay: torch.Tensor | None
    noise: float
    lr: float

    def moves_without_coefficient(self) -> bool:
        """Whether the step does more than decay, such as a last move by momentum."""
        rest, usual = self.without_coefficient.abs().max().item(), self.usual.abs().max().item()
        return rest > max(100 * self.noise, LEAST_PART * usual)


def law(amounts: StepAmounts, movement: Movement) -> Movement:
    """Find the law of a movement. The movement is `proportional`, `sign`, `other` or `none`."""
    if movement == "none":
        return _law_of_no_movement(amounts)
    if amounts.usual.abs().max().item() < 100 * amounts.noise:
        return movement
    return _law_of_fraction(amounts) if movement == "proportional" else _law_of_amount(amounts, movement)


def effect_by_law(effect: StepEffect, amounts: StepAmounts, lr: float) -> StepEffect:
    """Replace the movement of an effect by its law.

    If the movement has no simple law, what the step does without a coefficient is subtracted first.

    Args:
        lr: the learning rate of the group; with `without_lr`, the rate is the removed fraction divided by it.
    """
    movement = law(amounts, effect.movement)
    if movement in ("other", "other_point") and (decay := _without_other_movement(amounts)) is not None:
        of_decay = effect_of_step(decay.weight, decay.weight - decay.usual, amounts.lr, NOISE_OF_DIFFERENCE)
        return replace(of_decay, movement=law(decay, of_decay.movement))
    if movement == "without_lr":
        return StepEffect(movement=movement, rate=(amounts.usual / amounts.weight).mean().item() / lr)
    return replace(effect, movement=movement)


def _without_other_movement(amounts: StepAmounts) -> StepAmounts | None:
    """Subtract what the step does without a coefficient, such as a last move by momentum; None if it does nothing.

    Twice the learning rate or the weight also changes that other movement, so the decay under these conditions is not
    known. It is filled in as if the decay removed a fraction.
    """
    if not amounts.moves_without_coefficient():
        return None
    rest = amounts.without_coefficient
    decay = amounts.usual - rest
    if decay.abs().max().item() <= 100 * amounts.noise:
        return None
    return StepAmounts(
        weight=amounts.weight,
        usual=decay,
        at_twice_lr=2 * decay,
        at_twice_coefficient=amounts.at_twice_coefficient - rest,
        without_coefficient=torch.zeros_like(decay),
        of_twice_weight=2 * decay,
        by_decay=amounts.by_decay,
        noise=amounts.noise,
        lr=amounts.lr,
    )


def _law_of_no_movement(amounts: StepAmounts) -> Movement:
    decays = amounts.by_decay is not None and amounts.by_decay.abs().max().item() > 100 * amounts.noise
    return "normalized" if decays else "none"


def _law_of_fraction(amounts: StepAmounts) -> Movement:
    """Find the law of a step that removes the same fraction of each element."""
    if _depends_on_coefficient(amounts) and _is_multiple(amounts.at_twice_coefficient, amounts.usual, 1):
        return "normalized"
    if not _is_multiple(amounts.of_twice_weight, amounts.usual, 2):
        return "normalized"
    if amounts.by_decay is not None and _depends_on_coefficient(amounts):
        rate = projection(amounts.usual - amounts.without_coefficient, amounts.weight)
        if not isclose(projection(amounts.by_decay, amounts.weight), rate, rel_tol=LOOSE_TOLERANCE):
            return "normalized"  # `projection` ignores the part that comes from the gradient
    if _is_multiple(amounts.usual, amounts.weight, 1):
        return "other"  # the step replaces the weight
    if _is_multiple(amounts.at_twice_lr, amounts.usual, 1):
        return "without_lr"
    return "proportional" if _is_multiple(amounts.at_twice_lr, amounts.usual, 2, LOOSE_TOLERANCE) else "other"


def _law_of_amount(amounts: StepAmounts, movement: Movement) -> Movement:
    """Find the law of a step that does not remove the same fraction of each element."""
    if _pulls_to_another_point(amounts):
        return "other_point"
    is_constant = movement == "sign" or multiple(amounts.usual, torch.ones_like(amounts.usual)) is not None
    if not _depends_on_coefficient(amounts):
        return "constant" if is_constant and movement != "sign" else movement
    if is_constant and _is_multiple(amounts.at_twice_coefficient, amounts.usual, 2, LOOSE_TOLERANCE):
        return "constant"
    if _is_multiple(amounts.at_twice_coefficient, amounts.usual, 1, LOOSE_TOLERANCE):
        return "sign" if _exponent(amounts) < LEAST_EXPONENT else "normalized"
    return "other"


def _pulls_to_another_point(amounts: StepAmounts) -> bool:
    """Whether the amounts are a multiple of the weight's distance to a point other than 0.

    Amounts of one size that have the signs of the weights pull towards 0, and do not count.
    """
    difference = amounts.of_twice_weight - amounts.usual
    pull = multiple(difference, amounts.weight)
    if pull is None or pull <= 0:
        return False
    size, offset = amounts.usual.abs().max().item(), amounts.usual - pull * amounts.weight
    is_resolved = difference.abs().max().item() > max(LEAST_PART * size, 100 * amounts.noise)
    is_elsewhere = (
        offset.abs().max().item() > LOOSE_TOLERANCE * size
        and multiple(offset, amounts.weight.sign(), LOOSE_TOLERANCE) is None
    )
    return is_resolved and is_elsewhere


def _depends_on_coefficient(amounts: StepAmounts) -> bool:
    """Whether the amounts differ from those with a coefficient of 0."""
    return not _is_multiple(amounts.without_coefficient, amounts.usual, 1, LOOSE_TOLERANCE)


def _is_multiple(amounts: torch.Tensor, unit: torch.Tensor, factor: float, tolerance: float = TOLERANCE) -> bool:
    actual = multiple(amounts, unit, tolerance)
    return actual is not None and isclose(actual, factor, rel_tol=tolerance)


def multiple(amounts: torch.Tensor, unit: torch.Tensor, tolerance: float = TOLERANCE) -> float | None:
    """Return the factor between two tensors, if it is the same for all elements; else None."""
    factor = projection(amounts, unit)
    error = (amounts - factor * unit).abs().max()
    return factor if error <= tolerance * (factor * unit).abs().max() else None


def projection(amounts: torch.Tensor, unit: torch.Tensor) -> float:
    """Return the factor with which `unit` is nearest to the amounts (least squares)."""
    return ((amounts * unit).sum() / (unit * unit).sum()).item()


def _exponent(amounts: StepAmounts) -> float:
    """Fit amount ~ |weight| ** exponent: 1 if a fraction is removed, 0 if the same amount is removed."""
    sizes, changes = amounts.weight.abs().log(), amounts.usual.abs().clamp_min(amounts.noise or 1e-300).log()
    sizes, changes = sizes - sizes.mean(), changes - changes.mean()
    return ((sizes * changes).sum() / (sizes * sizes).sum().clamp_min(1e-30)).item()
