"""Find what the data that a gain scaled flows into: a linear layer or convolution, or a residual addition. No torch.

A gain is what data is multiplied with elementwise, or the weight of a norm. The values that it scaled keep its name
through activations, changes of shape and products of data, up to a layer, a norm or a sum of two branches.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from decay_audit.sources.trace.dataflow.operators import (
    KEEPS_VALUES,
    LAYER_INPUTS,
    MATRIX_SLOTS,
    NORM_LAYERS,
    SUMMANDS,
)
from decay_audit.sources.trace.dataflow.parameter_uses import derives_from_parameters, origins_of
from decay_audit.sources.trace.dataflow.provenance import Operand, OperatorCall, Provenance, has_tag, is_data

RESIDUAL = ""
"""What a gain feeds if its data is added to other data; for a layer, the name of its weight stands here."""
Feed = tuple[str, str]
"""The name of a gain, and the weight that its data meets next, or RESIDUAL."""

_NOTHING: frozenset[str] = frozenset()


def feeds_of(call: OperatorCall) -> Iterator[Feed]:
    """Yield each gain that scaled data of this call, with the layer's weight that the data meets, or RESIDUAL."""
    data = [operand for operand in call.operands if is_data(operand)]
    if _is_layer(call):
        weights = sorted({origin.parameter for _, origin in origins_of(*_weights(call))})
        for operand in data:
            yield from ((gain, weight) for gain in sorted(_gains(operand)) for weight in weights)
    elif _joins_branches(call, data):
        for operand in data:
            yield from ((gain, RESIDUAL) for gain in sorted(_gains(operand)))


def with_gains(call: OperatorCall, result: Provenance) -> Provenance:
    """Add to the provenance of a result which gains scaled it, and which layer computed it."""
    data = [operand for operand in call.operands if is_data(operand)]
    if not result.is_data or (call.operator in KEEPS_VALUES and len(data) == 1):
        return result
    if call.operator in NORM_LAYERS:
        gains = frozenset(
            origin.parameter for operand, origin in origins_of(*call.operands) if operand.slot == "weight"
        )
        return replace(result, gains=gains, computed_by=_NOTHING)
    if _is_layer(call):
        return replace(
            result, gains=_NOTHING, computed_by=frozenset(origin.parameter for _, origin in origins_of(*_weights(call)))
        )
    if _mixes(call) or _joins_branches(call, data):
        return replace(result, gains=_NOTHING, computed_by=_NOTHING)
    gains = _NOTHING.union(*map(_gains, data))
    computed_by = _NOTHING.union(*(operand.provenance.computed_by for operand in data if operand.provenance))
    if "normalized" in result.tags and not all(has_tag(operand, "normalized") for operand in data):
        gains, computed_by = _NOTHING, _NOTHING
    if call.operator == "mul":
        gains |= {origin.parameter for _, origin in origins_of(*call.operands)}
    return replace(result, gains=gains, computed_by=computed_by)


def _is_layer(call: OperatorCall) -> bool:
    """Whether the call multiplies data with the weight of a layer."""
    if call.operator in LAYER_INPUTS:
        return call.operator not in NORM_LAYERS and "prelu" not in call.operator
    slots = MATRIX_SLOTS.get(call.operator, ())
    factors = [operand for operand in call.operands if operand.slot in slots]
    return any(map(is_data, factors)) and any(map(derives_from_parameters, factors))


def _weights(call: OperatorCall) -> list[Operand]:
    slots = MATRIX_SLOTS.get(call.operator)
    if slots is not None:
        return [operand for operand in call.operands if operand.slot in slots]
    return [operand for operand in call.operands if operand.slot == "weight"]


def _mixes(call: OperatorCall) -> bool:
    """Whether the call multiplies data with data, as attention does."""
    return call.operator in MATRIX_SLOTS or "attention" in call.operator


def _joins_branches(call: OperatorCall, data: list[Operand]) -> bool:
    """Whether the call adds two branches: data that other gains scaled, or none."""
    if call.operator not in SUMMANDS or len(data) < 2 or any(has_tag(operand, "scores") for operand in data):
        return False
    return len({operand.tensor_id for operand in data}) > 1 and len({*map(_gains, data)}) > 1


def _gains(operand: Operand) -> frozenset[str]:
    return operand.provenance.gains if operand.provenance is not None else _NOTHING
