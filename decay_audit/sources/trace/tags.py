"""What an operator leaves marked on its result: that it is a spread, was normalized, holds scores. Knows no torch."""

from collections.abc import Sequence
from math import prod

from decay_audit.sources.trace.call import Call, Operand
from decay_audit.sources.trace.operators import (
    COMPARISONS,
    KEEPS_MASK,
    KEEPS_NORMAL,
    KEEPS_PRODUCT,
    KEEPS_SCORES,
    KEEPS_SPREAD,
    KEEPS_SQUARE,
    KEEPS_VALUE,
    SOFTMAX,
    SPREADS,
    SUMS,
)
from decay_audit.sources.trace.provenance import Mark


def is_spread(operand: Operand) -> bool:
    """Whether it is a statistic of squares: a variance, a norm, or one over its root."""
    return operand.trail is not None and "spread" in operand.trail.tags


def is_made(operand: Operand) -> bool:
    """Whether layers made it of constants."""
    return operand.trail is not None and "made" in operand.trail.tags


def is_mask(operand: Operand) -> bool:
    """Whether it came from a comparison."""
    return operand.trail is not None and "mask" in operand.trail.tags


def divides(spread: Operand, operand: Operand) -> bool:
    """Whether a spread is that of the operand's own values, so that their quotient is normalized."""
    if not is_spread(spread) or is_spread(operand) or spread.trail is None or operand.trail is None:
        return False
    return spread.trail.spread_of == operand.trail.value or 0 in (spread.trail.spread_of, operand.trail.value)


def divides_scaled(spread: Operand, operand: Operand) -> bool:
    """Whether a spread is that of the operand's values before a parameter scaled them: a norm's gain came first."""
    if not is_spread(spread) or spread.trail is None or operand.trail is None:
        return False
    return 0 != operand.trail.gained_of == spread.trail.spread_of


def normalizer(data: Sequence[Operand], marked: frozenset[Mark]) -> tuple[int, ...]:
    """Give the shape of the spread that the result is, or that made it normal: as it was before it was expanded."""
    if not marked & {"normal", "spread"}:
        return ()
    spreads = [
        operand.trail.normalizer or operand.shape
        for operand in data
        if operand.trail is not None and is_spread(operand)
    ]
    held = [operand.trail.normalizer for operand in data if operand.trail is not None and operand.trail.normalizer]
    return next(iter(spreads or held), ())


def aside(operand: Operand, normal: Operand) -> bool:
    """Whether a gain on normalized data is not the norm's: a number for each head, where each token was normalized.

    A norm's gain differs along what was averaged over, or in every dimension that has a spread of its own.
    """
    spread = normal.trail.normalizer if normal.trail is not None else ()
    if not spread or len(spread) != len(normal.shape) or len(operand.shape) > len(spread):
        return False
    own = (1,) * (len(spread) - len(operand.shape)) + operand.shape
    averaged = any(size > 1 and width == 1 for size, width in zip(own, spread, strict=True))
    return not averaged and any(width > 1 and size == 1 for size, width in zip(own[1:], spread[1:], strict=True))


def tags(call: Call, data: Sequence[Operand], *, acting: bool) -> frozenset[Mark]:
    """Mark the result of a pointwise operator or a reduction.

    Args:
        data: the operands with data in them; at least one.
        acting: a parameter is among the operands.
    """
    operator, alone = call.operator, len(data) == 1
    held = frozenset().union(*(operand.trail.tags for operand in data if operand.trail is not None))
    twice = operator == "mul" and len(data) == 2 and data[0].key == data[1].key
    found: dict[Mark, bool] = {
        "made": all(map(is_made, data)),
        "mask": operator in COMPARISONS or (operator in KEEPS_MASK and all(map(is_mask, data))),
        "square": call.squared
        or twice
        or operator in {"square", "abs"}
        or (alone and "square" in held and operator in KEEPS_SQUARE),
        "spread": operator in SPREADS or ("square" in held and operator in SUMS) or _still_spread(call, data),
        "normal": (operator in {"mul", "div"} and any(divides(one, other) for one in data for other in data))
        or (alone and not acting and "normal" in held and operator in KEEPS_NORMAL),
        # Its gain is on it now: a shift may follow, another gain is not the norm's.
        "scaled": (alone and acting and "normal" in held and operator in {"mul", "div"})
        or (operator in {"mul", "div"} and any(divides_scaled(one, other) for one in data for other in data)),
        "scores": "scores" in held and operator in KEEPS_SCORES,
        "probabilities": operator in SOFTMAX or (alone and "probabilities" in held and operator in KEEPS_SCORES),
        "product": alone and not acting and "product" in held and operator in KEEPS_PRODUCT,
    }
    return frozenset(mark for mark, true in found.items() if true)


def _still_spread(call: Call, data: Sequence[Operand]) -> bool:
    spreads = [operand for operand in data if is_spread(operand)]
    if not spreads or call.operator not in KEEPS_SPREAD:
        return False
    if len(spreads) == len(data) or call.operator in {"maximum", "where"}:
        return True
    # A mean times a spread is a statistic as well; a spread may have been expanded.
    largest = max(prod((operand.trail and operand.trail.normalizer) or operand.shape) for operand in spreads)
    return call.operator in {"mul", "div"} and all(prod(operand.shape) <= largest for operand in data)


def identity(call: Call, data: Sequence[Operand], marked: frozenset[Mark], *, acting: bool) -> tuple[int, int]:
    """Say which value the result holds, and whose spread it is; see `Trail`."""
    first = data[0].trail
    if first is None:
        return call.serial, 0
    kept = first.value if call.operator in KEEPS_VALUE and not acting else call.serial
    if not marked & {"square", "spread"}:
        return kept, 0
    spreads = [operand.trail.spread_of for operand in data if operand.trail is not None and operand.trail.spread_of]
    return kept, spreads[0] if spreads else first.value
