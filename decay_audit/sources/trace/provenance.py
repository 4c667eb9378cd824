"""Where the value of a tensor comes from: parameters alone, or data, and which way it came. Knows no torch."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Mark = Literal["square", "spread", "normal", "scores", "probabilities", "product", "mask", "made", "scaled"]
"""What data has been through.

square: its square or magnitude; spread: a statistic of squares (variance, norm); normal: divided by its own spread;
scaled: and multiplied by its gain; scores: a product of data with data; probabilities: their softmax; product: a
product with a parameter; mask: what a comparison gave; made: by layers from constants, without the model's input.
"""

MAX_VIA = 8
"""Steps kept of the way that a parameter came; long chains say no more than their first steps."""


class Origin(Struct, frozen=True, kw_only=True):
    """A parameter that a tensor is computed from, and the operators on the way."""

    parameter: str
    via: tuple[str, ...] = ()


class Trail(Struct, frozen=True, kw_only=True):
    """What a tensor is made of. A constant (a mask, a grid, a buffer) has no trail.

    Attributes:
        data: it depends on the input of the model, or on what a layer made of a constant.
        origins: the parameters that it is computed from, while no data is in it.
        marks: what the data has been through, until an operator that does not keep it.
        products: the parameters whose product with data this is.
        gained: the parameters that scale this data.
        value: which values these are: what moves, casts, centers or scales them keeps it; 0 if nobody knows.
        spread_of: the value whose square or spread this is; 0 for others.
        normalizer: shape of the spread that this is, or was divided by; () if that is not known.
        gained_of: the value that these were before a parameter scaled them; 0 for others.
    """

    data: bool
    origins: tuple[Origin, ...] = ()
    tags: frozenset[Mark] = frozenset()
    products: frozenset[str] = frozenset()
    gained: frozenset[str] = frozenset()
    value: int = 0
    spread_of: int = 0
    normalizer: tuple[int, ...] = ()
    gained_of: int = 0

    @property
    def derived(self) -> bool:
        """Computed from parameters and constants alone."""
        return not self.data


DATA = Trail(data=True)


def of_parameter(name: str) -> Trail:
    """Start the trail of a parameter."""
    return Trail(data=False, origins=(Origin(parameter=name),))


def onward(origins: Iterable[Origin], operator: str | None, tags: frozenset[Mark] = frozenset()) -> Trail:
    """Carry parameters on through an operator; None for one that only moves or casts values."""
    merged: dict[str, tuple[str, ...]] = {}
    for origin in origins:
        via = origin.via
        if operator is not None and operator not in via and len(via) < MAX_VIA:
            via = (*via, operator)
        merged[origin.parameter] = max(merged.get(origin.parameter, ()), via, key=len)
    return Trail(data=False, origins=tuple(Origin(parameter=name, via=via) for name, via in merged.items()), tags=tags)


def join(one: Trail | None, other: Trail | None) -> Trail | None:
    """Say what a buffer holds after both were written into it."""
    if one is None or other is None or one == other:
        return one or other
    if one.derived and other.derived:
        return onward(one.origins + other.origins, None, one.tags & other.tags)
    if one.data and other.data:
        return replace(
            one,
            tags=one.tags & other.tags,
            products=one.products & other.products,
            gained=one.gained & other.gained,
            value=0,
            spread_of=0,
            normalizer=(),
            gained_of=0,
        )
    return one if one.data else other
