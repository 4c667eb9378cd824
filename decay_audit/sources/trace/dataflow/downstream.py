"""Find downstream uses of parameters, and which parameters a result is a product or a difference of.

A downstream use is a use of what a parameter made of data: scaled data is normalized or added to a residual, a product
is added to attention scores or summed, a difference becomes a distance.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from msgspec.structs import replace

from decay_audit.model.parameters import DownstreamSlot, Use
from decay_audit.sources.trace.dataflow.operators import (
    KEEPS_PRODUCT,
    MAGNITUDES,
    SCORE_BIAS_SLOTS,
    STATISTICS,
    SUMMANDS,
)
from decay_audit.sources.trace.dataflow.parameter_uses import ParameterUse, origins_of
from decay_audit.sources.trace.dataflow.provenance import Factor, Operand, OperatorCall, has_tag
from decay_audit.sources.trace.dataflow.tags import divides, normalizes_unscaled


def find_downstream_uses(call: OperatorCall, data: Sequence[Operand]) -> Iterator[ParameterUse]:
    """Find downstream uses: scaled data is normalized or added to a residual; a product is added to scores."""
    for operand in data:
        provenance = operand.provenance
        if provenance is None:
            continue
        siblings = [other for other in data if other is not operand]
        largest = max(siblings, key=lambda other: prod(other.shape), default=operand)
        if any(normalizes_unscaled(other, operand) and divides(call, other) for other in siblings):
            yield from downstream_uses(call, "before_norm", provenance.scaled_by, operand, largest)
        if call.operator in SUMMANDS and siblings and "scores" not in provenance.tags:
            scaled_alike = frozenset().union(*(other.provenance.scaled_by for other in siblings if other.provenance))
            yield from downstream_uses(call, "residual", provenance.scaled_by - scaled_alike, operand, largest)
        # A matrix of scores for each item of a batch: the result of a bilinear layer has fewer dimensions.
        joins_scores = call.operator in SUMMANDS and any(
            has_tag(other, "scores") and len(other.shape) > 2 for other in siblings
        )
        if operand.slot in SCORE_BIAS_SLOTS or joins_scores:
            yield from downstream_uses(call, "scores", provenance.product_of, operand, largest)


def factors_of(call: OperatorCall, data: Sequence[Operand]) -> tuple[Factor, ...]:
    """Return the parameters that this call multiplies elementwise with data."""
    if call.operator != "mul":
        return ()
    return tuple(
        Factor(
            parameter=origin.parameter,
            shape=operand.shape,
            via=origin.via,
            expands=is_outer_product(operand, data),
        )
        for operand, origin in origins_of(*call.operands)
    )


def summed_factors(call: OperatorCall, data: Sequence[Operand]) -> Iterator[ParameterUse]:
    """Yield a use for each factor that varies along a dimension which this call sums over."""
    for operand in data if call.operator == "sum" else ():
        for factor in operand.provenance.factors if operand.provenance is not None else ():
            if _is_summed_over(factor, call):
                use = Use(
                    operator=call.operator,
                    slot="summed",
                    shape=factor.shape,
                    data_shape=operand.shape,
                    via=factor.via,
                )
                yield factor.parameter, use


def differences_of(call: OperatorCall, data: Sequence[Operand]) -> tuple[Factor, ...]:
    """Return the parameters whose rows this call subtracts from data, or that were subtracted before.

    A factor, a sign, a square and a magnitude keep the difference.
    """
    if call.operator in {"sub", "rsub"}:
        return tuple(
            Factor(parameter=origin.parameter, shape=operand.shape, via=origin.via, expands=True)
            for operand, origin in origins_of(*call.operands)
            if is_outer_product(operand, data)
        )
    before = data[0].provenance.differences if data[0].provenance is not None else ()
    times_itself = call.operator == "mul" and len(data) == 2 and data[0].tensor_id == data[1].tensor_id
    if call.operator in MAGNITUDES or times_itself:
        return tuple(replace(difference, squared=True) for difference in before)
    return before if call.operator in {"mul", "div", "neg"} and len(data) == 1 else ()


def measured_differences(call: OperatorCall, data: Sequence[Operand]) -> Iterator[ParameterUse]:
    """Yield a use for each parameter if this call makes distances of its rows to data: a norm, or a sum of squares.

    Squares that are not summed over the features are no distances: each number is a centre of its own.
    """
    for operand in data[:1]:
        for difference in operand.provenance.differences if operand.provenance is not None else ():
            if call.operator in STATISTICS or (difference.squared and _sums_over(call, difference)):
                use = Use(
                    operator=call.operator,
                    slot="measured",
                    shape=difference.shape,
                    data_shape=operand.shape,
                    via=difference.via,
                )
                yield difference.parameter, use


def _sums_over(call: OperatorCall, difference: Factor) -> bool:
    """Whether the call sums over all dimensions, or over one in which the parameter varies."""
    return call.operator in {"sum", "mean"} and (not call.dimensions or _is_summed_over(difference, call))


def _is_summed_over(factor: Factor, call: OperatorCall) -> bool:
    """Whether the call sums over a dimension in which the parameter varies."""
    return any(-size <= len(factor.shape) and factor.shape[size] > 1 for size in call.dimensions)


def downstream_uses(
    call: OperatorCall, slot: DownstreamSlot, names: Iterable[str], operand: Operand, data: Operand
) -> Iterator[ParameterUse]:
    """Yield a use in this slot for each of these parameters."""
    for name in sorted(names):
        yield name, Use(operator=call.operator, slot=slot, shape=operand.shape, data_shape=data.shape)


def product_parameters(call: OperatorCall, data: Sequence[Operand]) -> frozenset[str]:
    """Return the parameters whose products with data the result consists of."""
    product_of = [
        operand.provenance.product_of
        for operand in data
        if operand.provenance is not None and operand.slot != "condition"
    ]
    joined = call.operator in {"add", "sub", "cat", "where"} and all(product_of)
    if not joined and not (len(data) == 1 and call.operator in KEEPS_PRODUCT | {"add"}):
        return frozenset()
    return frozenset().union(*product_of)


def is_outer_product(operand: Operand, data: Sequence[Operand]) -> bool:
    """Whether the data has size 1 in a dimension where the parameter has more: broadcasting expands the data."""
    largest = max(data, key=lambda other: prod(other.shape))
    return any(
        parameter_size > 1 and data_size == 1
        for parameter_size, data_size in zip(reversed(operand.shape), reversed(largest.shape), strict=False)
    )
