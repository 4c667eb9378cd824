"""Find the law that the amounts follow which steps remove from a weight under several conditions.

The conditions are twice the learning rate, twice the coefficient or none, twice the weight, and a random gradient. The
amounts of one condition alone do not tell an L1 penalty from Adam, or decay towards 0 from a pull to other values.
"""

from math import isclose

import torch
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.model.observations import Movement
from decay_audit.optimizers.measure.movement import NOISE_OF_DIFFERENCE, StepEffect, effect_of_step

TOLERANCE = 0.02
"""Relative difference up to which amounts are in proportion."""
LOOSE = 0.1
"""The same where an epsilon in a denominator may change them a little."""
RESOLVED = 1e-3
"""Least part of an amount that grows with the weight, where the rest of it does not."""
SLOPE = 0.5
"""Least exponent of the weight's size in an amount that counts as growing with the weight."""


class StepAmounts(Struct, frozen=True, kw_only=True, eq=False):
    """What one step removed from each element of a weight: the values before it, minus those after it.

    Attributes:
        weight: the values before the step.
        usual: with a gradient of zero, and the group's own settings.
        without_coefficient: with a coefficient of 0.
        by_decay: with a random gradient: the difference that twice the coefficient makes; None if it was not measured.
        noise: size of rounding errors.
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


def law(amounts: StepAmounts, movement: Movement) -> Movement:
    """Tell the law of a movement that one condition showed: `proportional`, `sign`, `other` or `none`."""
    if movement == "none":
        return _law_of_no_movement(amounts)
    if amounts.usual.abs().max().item() < 100 * amounts.noise:
        return movement
    return _law_of_fraction(amounts) if movement == "proportional" else _law_of_amount(amounts, movement)


def effect_by_law(effect: StepEffect, amounts: StepAmounts, lr: float) -> StepEffect:
    """Give an effect the law of its amounts. What the step does without a coefficient is left out, if that is needed.

    Args:
        lr: the learning rate of the group, for the rate of decay that does not depend on it.
    """
    movement = law(amounts, effect.movement)
    if movement in ("other", "other_point") and (decay := _without_other_movement(amounts)) is not None:
        of_decay = effect_of_step(decay.weight, decay.weight - decay.usual, amounts.lr, NOISE_OF_DIFFERENCE)
        return replace(of_decay, movement=law(decay, of_decay.movement))
    if movement == "without_lr":
        return StepEffect(movement=movement, rate=(amounts.usual / amounts.weight).mean().item() / lr)
    return replace(effect, movement=movement)


def _without_other_movement(amounts: StepAmounts) -> StepAmounts | None:
    """Subtract what the step does without a coefficient, such as the rest of a momentum; None where it does nothing.

    The conditions on the learning rate and on the weight then tell nothing: they change the other movement as well.
    """
    rest = amounts.without_coefficient
    if rest.abs().max().item() <= max(100 * amounts.noise, RESOLVED * amounts.usual.abs().max().item()):
        return None
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
    """The law of the same fraction of each element."""
    if _coefficient_counts(amounts) and _is_multiple(amounts.at_twice_coefficient, amounts.usual, 1):
        return "normalized"
    if not _is_multiple(amounts.of_twice_weight, amounts.usual, 2):
        return "normalized"
    if amounts.by_decay is not None and _coefficient_counts(amounts):
        rate = projection(amounts.usual - amounts.without_coefficient, amounts.weight)
        if not isclose(projection(amounts.by_decay, amounts.weight), rate, rel_tol=LOOSE):
            return "normalized"  # projected, as the step on a gradient may depend a little on the decayed weight
    if _is_multiple(amounts.usual, amounts.weight, 1):
        return "other"  # the step replaces the weight
    if _is_multiple(amounts.at_twice_lr, amounts.usual, 1):
        return "without_lr"
    return "proportional" if _is_multiple(amounts.at_twice_lr, amounts.usual, 2, LOOSE) else "other"


def _law_of_amount(amounts: StepAmounts, movement: Movement) -> Movement:
    """The law of anything but a fraction."""
    if _pulls_to_another_point(amounts):
        return "other_point"
    is_constant = movement == "sign" or multiple(amounts.usual, torch.ones_like(amounts.usual)) is not None
    if not _coefficient_counts(amounts):
        return "constant" if is_constant and movement != "sign" else movement
    if is_constant and _is_multiple(amounts.at_twice_coefficient, amounts.usual, 2, LOOSE):
        return "constant"
    if _is_multiple(amounts.at_twice_coefficient, amounts.usual, 1, LOOSE):
        return "sign" if _exponent(amounts) < SLOPE else "normalized"
    return "other"


def _pulls_to_another_point(amounts: StepAmounts) -> bool:
    """Whether the amounts are a multiple of the weight's distance to a point other than 0.

    An amount that has the weight's sign has no such point: it points to 0, and only its size differs.
    """
    difference = amounts.of_twice_weight - amounts.usual
    pull = multiple(difference, amounts.weight)
    if pull is None or pull <= 0:
        return False
    size, offset = amounts.usual.abs().max().item(), amounts.usual - pull * amounts.weight
    is_resolved = difference.abs().max().item() > max(RESOLVED * size, 100 * amounts.noise)
    is_elsewhere = offset.abs().max().item() > LOOSE * size and multiple(offset, amounts.weight.sign(), LOOSE) is None
    return is_resolved and is_elsewhere


def _coefficient_counts(amounts: StepAmounts) -> bool:
    """Whether the amounts are others without the coefficient."""
    return not _is_multiple(amounts.without_coefficient, amounts.usual, 1, LOOSE)


def _is_multiple(amounts: torch.Tensor, unit: torch.Tensor, factor: float, tolerance: float = TOLERANCE) -> bool:
    actual = multiple(amounts, unit, tolerance)
    return actual is not None and isclose(actual, factor, rel_tol=tolerance)


def multiple(amounts: torch.Tensor, unit: torch.Tensor, tolerance: float = TOLERANCE) -> float | None:
    """The factor between two tensors, if it is the same for all elements."""
    factor = projection(amounts, unit)
    error = (amounts - factor * unit).abs().max()
    return factor if error <= tolerance * (factor * unit).abs().max() else None


def projection(amounts: torch.Tensor, unit: torch.Tensor) -> float:
    """The factor of the multiple that is nearest to the amounts."""
    return ((amounts * unit).sum() / (unit * unit).sum()).item()


def _exponent(amounts: StepAmounts) -> float:
    """The exponent of the weight's size in the amounts, fitted: 1 for a fraction, 0 for the same amount."""
    sizes, changes = amounts.weight.abs().log(), amounts.usual.abs().clamp_min(amounts.noise or 1e-300).log()
    sizes, changes = sizes - sizes.mean(), changes - changes.mean()
    return ((sizes * changes).sum() / (sizes * sizes).sum().clamp_min(1e-30)).item()
