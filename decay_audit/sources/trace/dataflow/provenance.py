"""The value types of a trace: the provenance of a tensor, and an operator call with its tensor arguments."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Tag = Literal[
    "square", "statistic", "inverse", "normalized", "scaled", "scores", "probabilities", "product", "mask",
    "input_free", "softmax", "ids",
]  # fmt: skip
"""What is known about the values of a tensor.

square: the square or magnitude of data; statistic: a statistic of squares (variance, standard deviation, norm), or its
reciprocal; inverse: a reciprocal of a statistic, or a quotient with it; normalized: divided by its own statistic;
scaled: normalized, then multiplied by a gain; scores: a product of data with data; probabilities: a softmax or
sigmoid; product: a product of data with a parameter; mask: the result of a comparison; input_free: computed by layers,
but not from the input of the model; softmax: probabilities that a softmax gave; ids: integers that the model is given.
"""

MAX_VIA = 8
"""The most operators that are recorded for one origin: the first operators after the parameter matter most."""


class Origin(Struct, frozen=True, kw_only=True):
    """A parameter that a tensor is computed from, and the operators in between.

    Attributes:
        at_zero: the value of the tensor if the parameter is 0; None if that is not known.
    """

    parameter: str
    via: tuple[str, ...] = ()
    at_zero: float | None = 0.0


class Factor(Struct, frozen=True, kw_only=True):
    """A parameter that was multiplied elementwise with data.

    Attributes:
        shape: the shape of the tensor that met the data.
        via: the operators between the parameter and that tensor.
        expands: the data has size 1 in a dimension where the parameter is larger: a matrix product with one feature.
        squared: of a difference: its square or magnitude.
    """

    parameter: str
    shape: tuple[int, ...]
    via: tuple[str, ...] = ()
    expands: bool = False
    squared: bool = False


class Provenance(Struct, frozen=True, kw_only=True):
    """What a tensor is computed from. A constant (a mask, a grid, a buffer) has no provenance.

    A value id is the index of the call that computed the values first. An operator that only moves, casts, centers or
    scales them keeps the id. 0: unknown.

    Attributes:
        is_data: the tensor depends on the input of the model, or a layer computed it from a constant.
        origins: the parameters from which it is computed; () once data is involved.
        tags: what is known about its values; an operator drops the tags that no longer hold.
        product_of: parameters; the tensor is a product of them with data.
        scaled_by: the parameters that scale this data.
        factors: parameters; the tensor is an elementwise product of one of them with data.
        differences: parameters; the tensor is the difference of data and all rows of one of them.
        value_id: the id of these values.
        statistic_of: the value id of the tensor from which this square or statistic was computed.
        statistic_shape: the shape of this statistic, or of the statistic by which this was divided; () if unknown.
        unscaled_id: the value id before a parameter scaled the values.
        gains: the parameters that scaled these values after the last layer or norm.
        computed_by: the weights of the layer that computed these values.
    """

    is_data: bool
    origins: tuple[Origin, ...] = ()
    tags: frozenset[Tag] = frozenset()
    product_of: frozenset[str] = frozenset()
    scaled_by: frozenset[str] = frozenset()
    factors: "tuple[Factor, ...]" = ()
    differences: "tuple[Factor, ...]" = ()
    value_id: int = 0
    statistic_of: int = 0
    statistic_shape: tuple[int, ...] = ()
    unscaled_id: int = 0
    gains: frozenset[str] = frozenset()
    computed_by: frozenset[str] = frozenset()


DATA = Provenance(is_data=True)


def parameter_provenance(name: str) -> Provenance:
    """Return the provenance of a parameter itself."""
    return Provenance(is_data=False, origins=(Origin(parameter=name),))


def derive(origins: Iterable[Origin], operator: str | None, tags: frozenset[Tag] = frozenset()) -> Provenance:
    """Return the provenance of a result that an operator computes from parameters and constants alone.

    Args:
        operator: None for an operator that only moves or casts values.
    """
    merged: dict[str, Origin] = {}
    for origin in origins:
        via = origin.via
        if operator is not None and operator not in via and len(via) < MAX_VIA:
            via = (*via, operator)
        other = merged.get(origin.parameter, origin)
        merged[origin.parameter] = Origin(
            parameter=origin.parameter,
            via=max(other.via if other is not origin else (), via, key=len),
            at_zero=origin.at_zero if other.at_zero == origin.at_zero else None,
        )
    derived = tuple(merged.values())
    return Provenance(is_data=False, origins=derived, tags=tags)


def merge(first: Provenance | None, second: Provenance | None) -> Provenance | None:
    """Return the provenance of a buffer into which two tensors with these provenances were written."""
    if first is None or second is None or first == second:
        return first or second
    if not first.is_data and not second.is_data:
        return derive(first.origins + second.origins, None, first.tags & second.tags)
    if first.is_data and second.is_data:
        return replace(
            first,
            tags=first.tags & second.tags,
            product_of=first.product_of & second.product_of,
            scaled_by=first.scaled_by & second.scaled_by,
            factors=(),
            differences=(),
            value_id=0,
            statistic_of=0,
            statistic_shape=(),
            unscaled_id=0,
        )
    return first if first.is_data else second


class Operand(Struct, frozen=True, kw_only=True):
    """One tensor argument of an operator call.

    Attributes:
        slot: the argument's name in the operator's schema.
        tensor_id: equal for two arguments that are the same tensor.
    """

    slot: str
    shape: tuple[int, ...]
    provenance: Provenance | None
    tensor_id: int = 0


class OperatorCall(Struct, frozen=True, kw_only=True):
    """One operator call of a traced forward pass.

    Attributes:
        operator: its plain name: `add` for `aten::add_.Tensor`.
        index: its number in the pass; no two calls share it.
        groups: the groups of a convolution; 1 for other operators.
        squares: the operator is a power with exponent 2.
        inverts: the operator is a power with a negative exponent.
        dimensions: the dimensions that a sum or mean is taken over, counted from the last: -1 and below; () for all.
        consecutive_indices: the operator is a lookup with known indices that go up by one.
        number: the number that a tensor is added to, subtracted from, multiplied with or divided by; None if there is
            none, or if it is not known.
    """

    operator: str
    operands: tuple[Operand, ...]
    index: int = 0
    groups: int = 1
    squares: bool = False
    inverts: bool = False
    dimensions: tuple[int, ...] = ()
    consecutive_indices: bool = False
    number: float | None = None


def is_data(operand: Operand) -> bool:
    """Whether the operand is data: see `Provenance.is_data`."""
    return operand.provenance is not None and operand.provenance.is_data


def has_tag(operand: Operand, tag: Tag) -> bool:
    """Whether the operand's values are known to be of this kind."""
    return operand.provenance is not None and tag in operand.provenance.tags


def all_tags(operands: Iterable[Operand]) -> frozenset[Tag]:
    """Return the tags of all operands together."""
    return frozenset[Tag]().union(*(operand.provenance.tags for operand in operands if operand.provenance is not None))
