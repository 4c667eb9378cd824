"""Find the tags of an operator's result: square, statistic, normalized, scores, ... torch is not used here."""

from collections.abc import Sequence
from math import prod

from decay_audit.sources.trace.dataflow.operators import (
    COMPARISONS,
    KEEPS_IDS,
    KEEPS_MASK,
    KEEPS_NORMALIZED,
    KEEPS_PRODUCT,
    KEEPS_SCORES,
    KEEPS_SQUARE,
    KEEPS_STATISTIC,
    KEEPS_VALUE_ID,
    SOFTMAX,
    STATISTICS,
    SUMS,
)
from decay_audit.sources.trace.dataflow.provenance import Operand, OperatorCall, Tag, all_tags, has_tag


def normalizes(statistic: Operand, operand: Operand) -> bool:
    """Whether a statistic was computed from the operand's own values, so that their quotient is normalized."""
    if not has_tag(statistic, "statistic") or has_tag(operand, "statistic"):
        return False
    if statistic.provenance is None or operand.provenance is None:
        return False
    statistic_of, value_id = statistic.provenance.statistic_of, operand.provenance.value_id
    return statistic_of == value_id or 0 in (statistic_of, value_id)  # 0 is an unknown id, which may be the same


def normalizes_unscaled(statistic: Operand, operand: Operand) -> bool:
    """Whether a statistic was computed from the operand before a gain scaled it: a norm may apply its gain first."""
    if not has_tag(statistic, "statistic") or statistic.provenance is None or operand.provenance is None:
        return False
    unscaled_id = operand.provenance.unscaled_id
    return unscaled_id != 0 and unscaled_id == statistic.provenance.statistic_of


def statistic_shape(data: Sequence[Operand], tags: frozenset[Tag]) -> tuple[int, ...]:
    """Return the shape that the statistic of a result had before it was expanded.

    If the result is a statistic, this is its own shape. If the result is normalized, it is the shape of the statistic
    that divided it. For any other result, it is ().
    """
    if not tags & {"normalized", "statistic"}:
        return ()
    statistics = [
        operand.provenance.statistic_shape or operand.shape
        for operand in data
        if operand.provenance is not None and has_tag(operand, "statistic")
    ]
    recorded = [
        operand.provenance.statistic_shape
        for operand in data
        if operand.provenance is not None and operand.provenance.statistic_shape
    ]
    return next(iter(statistics or recorded), ())


def is_separate_gain(operand: Operand, normalized: Operand) -> bool:
    """Whether a gain on normalized data does not belong to the norm: one number per head on normalized tokens, say.

    A norm's gain varies along the dimensions that were averaged over, or along every dimension of the statistic.
    """
    statistic = normalized.provenance.statistic_shape if normalized.provenance is not None else ()
    if not statistic or len(statistic) != len(normalized.shape) or len(operand.shape) > len(statistic):
        return False
    gain = (1,) * (len(statistic) - len(operand.shape)) + operand.shape
    varies_along_average = any(size > 1 and width == 1 for size, width in zip(gain, statistic, strict=True))
    # without the first dimension, the batch: no gain varies along it
    constant_along_statistic = any(width > 1 and size == 1 for size, width in zip(gain[1:], statistic[1:], strict=True))
    return not varies_along_average and constant_along_statistic


def result_tags(call: OperatorCall, data: Sequence[Operand], *, with_parameters: bool) -> frozenset[Tag]:
    """Return the tags for the result of a pointwise operator or a reduction.

    Args:
        call: the call.
        data: the operands that are data; at least one.
        with_parameters: whether other operands are parameters, or computed from parameters.
    """
    operator, is_single = call.operator, len(data) == 1
    before = all_tags(data)
    multiplies = operator in {"mul", "div"}
    times_itself = operator == "mul" and len(data) == 2 and data[0].tensor_id == data[1].tensor_id
    conditions: dict[Tag, bool] = {
        "input_free": all(has_tag(operand, "input_free") for operand in data),
        "mask": operator in COMPARISONS
        or (operator == "scatter" and all(operand.slot == "index" for operand in data))  # a one-hot encoding
        or (operator in KEEPS_MASK and all(has_tag(operand, "mask") for operand in data)),
        "square": call.squares
        or times_itself
        or operator in {"square", "abs"}
        or (is_single and "square" in before and operator in KEEPS_SQUARE),
        "statistic": operator in STATISTICS or ("square" in before and operator in SUMS) or _is_statistic(call, data),
        "inverse": _is_inverse(call, data),
        "normalized": any(normalizes(left, right) and divides(call, left) for left in data for right in data)
        or (is_single and not with_parameters and "normalized" in before and operator in KEEPS_NORMALIZED),
        # A gain scales normalized data. The norm's shift may follow; a second gain is not part of the norm.
        "scaled": (is_single and with_parameters and "normalized" in before and multiplies)
        or any(normalizes_unscaled(left, right) and divides(call, left) for left in data for right in data),
        "scores": "scores" in before and operator in KEEPS_SCORES,
        "probabilities": operator in SOFTMAX or (is_single and "probabilities" in before and operator in KEEPS_SCORES),
        "softmax": "softmax" in operator or (is_single and "softmax" in before and operator in KEEPS_SCORES),
        "ids": is_single and "ids" in before and operator in KEEPS_IDS,
        "product": is_single and not with_parameters and "product" in before and operator in KEEPS_PRODUCT,
    }
    return frozenset(tag for tag, holds in conditions.items() if holds)


def divides(call: OperatorCall, statistic: Operand) -> bool:
    """Whether the call is a division, or a product with the reciprocal of this statistic."""
    return call.operator == "div" or (call.operator == "mul" and has_tag(statistic, "inverse"))


def _is_inverse(call: OperatorCall, data: Sequence[Operand]) -> bool:
    """Whether the result is a reciprocal of a statistic, or a quotient with it; `exp` gives one from a negative log."""
    statistics = [operand for operand in data if has_tag(operand, "statistic")]
    if call.operator in {"rsqrt", "reciprocal", "exp"} or call.inverts:
        return bool(statistics)
    if call.operator == "div" and any(operand.slot == "other" for operand in statistics):
        return True
    return call.operator in KEEPS_STATISTIC and any(has_tag(operand, "inverse") for operand in statistics)


def _is_statistic(call: OperatorCall, data: Sequence[Operand]) -> bool:
    """Whether an operator makes another statistic from statistics."""
    statistics = [operand for operand in data if has_tag(operand, "statistic")]
    if not statistics or call.operator not in KEEPS_STATISTIC:
        return False
    if len(statistics) == len(data) or call.operator in {"maximum", "where"}:
        return True
    # An operand that is not larger than the statistic is taken for a mean: the product is a statistic, too. An expanded
    # statistic counts with its size before the expansion.
    largest = max(
        prod((operand.provenance and operand.provenance.statistic_shape) or operand.shape) for operand in statistics
    )
    return call.operator in {"mul", "div"} and all(prod(operand.shape) <= largest for operand in data)


def value_ids(
    call: OperatorCall, data: Sequence[Operand], tags: frozenset[Tag], *, with_parameters: bool
) -> tuple[int, int]:
    """Return `value_id` and `statistic_of` of the result; see `Provenance`."""
    first = data[0].provenance
    if first is None:
        return call.index, 0
    value_id = first.value_id if call.operator in KEEPS_VALUE_ID and not with_parameters else call.index
    if not tags & {"square", "statistic"}:
        return value_id, 0
    statistics = (operand.provenance.statistic_of for operand in data if operand.provenance is not None)
    return value_id, next(filter(None, statistics), first.value_id)
