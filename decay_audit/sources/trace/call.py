"""One operator call of a traced pass: its name, and its tensor arguments with what they are made of. Knows no torch."""

from msgspec import Struct

from decay_audit.sources.trace.provenance import Trail


class Operand(Struct, frozen=True, kw_only=True):
    """One tensor argument of a call."""

    slot: str
    shape: tuple[int, ...]
    trail: Trail | None
    key: int = 0  # the same tensor twice has the same key


class Call(Struct, frozen=True, kw_only=True):
    """One operator call.

    Attributes:
        groups: of a convolution; 1 elsewhere.
        squared: a power with exponent 2.
        positions: the indices of a lookup count up from their first.
        serial: its place in the pass; no two calls share it.
    """

    operator: str
    operands: tuple[Operand, ...]
    serial: int = 0
    groups: int = 1
    squared: bool = False
    positions: bool = False


def is_data(operand: Operand) -> bool:
    """Whether the input of the model is in it."""
    return operand.trail is not None and operand.trail.data
