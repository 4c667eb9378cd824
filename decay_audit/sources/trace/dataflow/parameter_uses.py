"""The uses of the parameters in some operands, and the provenance of a result that is computed from them alone."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from decay_audit.model.parameters import Use
from decay_audit.sources.trace.dataflow.at_zero import value_at_zero
from decay_audit.sources.trace.dataflow.provenance import Operand, OperatorCall, Origin, Provenance, Tag, derive

ParameterUse = tuple[str, Use]
"""The name of a parameter, and one use of it."""


def derives_from_parameters(operand: Operand) -> bool:
    """Whether the operand is computed from parameters and constants alone."""
    return operand.provenance is not None and not operand.provenance.is_data


def origins_of(*operands: Operand) -> Iterator[tuple[Operand, Origin]]:
    """Pair each operand that is computed from parameters alone with each of these parameters."""
    return (
        (operand, origin)
        for operand in operands
        if operand.provenance is not None and not operand.provenance.is_data
        for origin in operand.provenance.origins
    )


def has_parameters(operands: Iterable[Operand]) -> bool:
    """Whether some parameter is among these operands."""
    return any(True for _ in origins_of(*operands))


def uses_of(
    call: OperatorCall, operands: Iterable[Operand], data: Operand | None, tags: Iterable[str] = ()
) -> list[ParameterUse]:
    """Return the uses of all parameters in these operands.

    Args:
        call: the operator call that uses the parameters.
        operands: the operands whose parameters are used.
        data: the data that the parameters meet.
        tags: the tags of the uses.
    """
    tags = tuple(tags)
    return [
        (
            origin.parameter,
            Use(
                operator=call.operator,
                slot=operand.slot,
                shape=operand.shape,
                data_shape=data.shape if data is not None else (),
                tags=tags,
                via=origin.via,
                at_zero=origin.at_zero,
            ),
        )
        for operand, origin in origins_of(*operands)
    ]


def derived_provenance(
    call: OperatorCall, operands: Iterable[Operand], tags: frozenset[Tag] = frozenset(), step: str | None = ""
) -> Provenance:
    """Return the provenance of the call's result, if it depends only on the parameters in these operands.

    Args:
        step: the name of the step; "" for that of the operator, None if the values are only moved, cast or multiplied
            by a number.
    """
    operands = list(operands)
    origins = [origin for _, origin in origins_of(*operands)]
    at_zero = value_at_zero(call, [origin.at_zero for origin in origins])
    origins = [replace(origin, at_zero=at_zero) for origin in origins]
    return derive(origins, call.operator if step == "" else step, tags)
