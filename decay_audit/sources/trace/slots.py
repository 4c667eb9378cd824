"""What one operator call does to the trails of its operands: which parameters met data in it, and what comes out.

Operators go by their plain names (`add` for `aten::add_.Tensor`), slots by the argument names of their schemas.
Knows no torch.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from msgspec import Struct

from decay_audit.parameters import Use
from decay_audit.sources.trace.operators import (
    GAINS,
    KEEPS_PRODUCT,
    KEEPS_SCORES,
    KEEPS_SPREAD,
    KERNEL_INPUTS,
    LOOKUPS,
    MASKS,
    MATRIX_SLOTS,
    NORM_KERNELS,
    PLAIN,
    SHAPE_ONLY,
    SOFTMAX,
    SPREADS,
    SUMMANDS,
    SUMS,
)
from decay_audit.sources.trace.trails import DATA, Mark, Origin, Trail, onward


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
    """

    operator: str
    operands: tuple[Operand, ...]
    groups: int = 1
    squared: bool = False
    positions: bool = False


Meeting = tuple[str, Use]


def follow(call: Call) -> tuple[list[Meeting], Trail | None]:
    """Say which parameters met data in a call, and the trail of its result."""
    if call.operator in SHAPE_ONLY or not any(operand.trail for operand in call.operands):
        return [], None
    if call.operator in MATRIX_SLOTS:
        return _matrix(call)
    if call.operator in KERNEL_INPUTS:
        return _kernel(call)
    if call.operator in LOOKUPS:
        return _lookup(call)
    return _elementwise(call)


def _derived(operands: Sequence[Operand]) -> Iterator[tuple[Operand, Origin]]:
    return (
        (operand, origin)
        for operand in operands
        if operand.trail is not None and operand.trail.derived
        for origin in operand.trail.origins
    )


def _is_data(operand: Operand) -> bool:
    return operand.trail is not None and operand.trail.data


def _meet(call: Call, operand: Operand, origin: Origin, *, met: Operand | None, marks: Iterable[str] = ()) -> Meeting:
    return origin.parameter, Use(
        operator=call.operator,
        slot=operand.slot,
        shape=operand.shape,
        met=met.shape if met is not None else (),
        marks=tuple(marks),
        via=origin.via,
    )


def _matrix(call: Call) -> tuple[list[Meeting], Trail | None]:
    slots = MATRIX_SLOTS[call.operator]
    left, right = sorted((o for o in call.operands if o.slot in slots), key=lambda o: slots.index(o.slot))
    rest = [operand for operand in call.operands if operand.slot not in slots]
    meetings = [_meet(call, operand, origin, met=left) for operand, origin in _derived(rest)]
    if left.trail is not None and right.trail is not None and left.trail.data and right.trail.data:
        averaged = "probabilities" in left.trail.marks | right.trail.marks
        return meetings, DATA if averaged else Trail(data=True, marks=frozenset({"scores"}))
    learned = left.trail is not None and left.trail.derived and right.trail is not None and right.trail.derived
    if learned:  # a learned input before a matrix, or two factors of one: what becomes of it tells
        meetings += [_meet(call, left, origin, met=right, marks=("input",)) for _, origin in _derived([left])]
        meetings += [_meet(call, right, origin, met=left) for _, origin in _derived([right])]
        return meetings, onward((origin for _, origin in _derived([left])), call.operator)
    found = [_meet(call, o, origin, met=right if o is left else left) for o, origin in _derived([left, right])]
    names = frozenset(name for name, _ in found)
    marks: set[Mark] = {"product"} if found else set()
    return meetings + found, Trail(data=True, marks=frozenset(marks), products=names)


def _kernel(call: Call) -> tuple[list[Meeting], Trail | None]:
    inputs = [operand for operand in call.operands if operand.slot in KERNEL_INPUTS[call.operator]]
    acting = [operand for operand in call.operands if operand.slot not in KERNEL_INPUTS[call.operator]]
    marks = _grouping(call, inputs)
    learned = [origin for _, origin in _derived(inputs)]
    meetings = [_meet(call, o, origin, met=inputs[0], marks=marks) for o, origin in _derived(acting)]
    if learned and any(operand.trail is not None for operand in acting):
        met = next(operand for operand in acting if operand.trail is not None)
        meetings += [_meet(call, o, origin, met=met, marks=("input",)) for o, origin in _derived(inputs)]
    if learned and not any(_is_data(operand) for operand in call.operands):
        return meetings, onward(learned, call.operator)
    if call.operator in NORM_KERNELS:
        plain = not any(operand.slot == "weight" for operand in acting)
        return meetings, Trail(data=True, marks=frozenset({"normal"} if plain else ()))
    return meetings, Trail(data=True, marks=frozenset({"product"}))


def _grouping(call: Call, inputs: Sequence[Operand]) -> tuple[str, ...]:
    if call.groups == 1 or not inputs or len(inputs[0].shape) < 2:
        return ()
    return ("depthwise",) if call.groups == inputs[0].shape[1] else (f"groups={call.groups}",)


def _lookup(call: Call) -> tuple[list[Meeting], Trail | None]:
    table_slot, index_slot = LOOKUPS[call.operator]
    table = [operand for operand in call.operands if operand.slot == table_slot]
    index = [operand for operand in call.operands if operand.slot == index_slot]
    by_data = any(_is_data(operand) for operand in index)
    if table and _is_data(table[0]):
        return [], _data_trail(call)
    marks = ("by data",) if by_data else (("positions",) if call.positions else ("constant",))
    named = by_data or "embedding" in call.operator
    met = index[0] if index else None
    meetings = [_meet(call, o, origin, met=met, marks=marks) for o, origin in _derived(table)] if named else []
    if by_data:
        return meetings, DATA
    return meetings, onward((origin for _, origin in _derived(table)), call.operator)


def _elementwise(call: Call) -> tuple[list[Meeting], Trail | None]:
    data = [operand for operand in call.operands if _is_data(operand)]
    origins = list(_derived(call.operands))
    if not data:
        return [], onward((origin for _, origin in origins), None if call.operator in PLAIN else call.operator)
    met = max(data, key=lambda operand: (prod(operand.shape), len(operand.shape)))
    marks = sorted(met.trail.marks) if met.trail is not None else ()
    meetings = [_meet(call, operand, origin, met=met, marks=marks) for operand, origin in origins]
    meetings += _fates(call, data)
    return meetings, _data_trail(call)


def _fates(call: Call, data: Sequence[Operand]) -> Iterator[Meeting]:
    """Say what became of parameters after they met data: a gain joined a residual, a product the attention scores."""
    for operand in data:
        trail = operand.trail
        if trail is None:
            continue
        others = [other for other in data if other is not operand]
        met = max(others, key=lambda other: prod(other.shape), default=operand)
        kept = frozenset().union(*(other.trail.gained for other in others if other.trail is not None))
        if call.operator in SUMMANDS and others and "scores" not in trail.marks:
            yield from _fate(call, "residual", trail.gained - kept, operand, met)
        on_scores = any("scores" in other.trail.marks for other in others if other.trail is not None)
        if operand.slot in MASKS or (call.operator in SUMMANDS and on_scores):
            yield from _fate(call, "scores", trail.products, operand, met)


def _fate(call: Call, slot: str, names: Iterable[str], operand: Operand, met: Operand) -> Iterator[Meeting]:
    for name in sorted(names):
        yield name, Use(operator=call.operator, slot=slot, shape=operand.shape, met=met.shape)


def _data_trail(call: Call) -> Trail:
    """Carry the marks that an operator keeps on to its result."""
    operator = call.operator
    data = [operand for operand in call.operands if _is_data(operand)]
    trails = [operand.trail for operand in data if operand.trail is not None]
    acting = [(operand, origin) for operand, origin in _derived(call.operands)]
    if operator in PLAIN and len(trails) == 1:
        return trails[0]
    held = frozenset().union(*(trail.marks for trail in trails))
    gained = (
        frozenset(origin.parameter for _, origin in acting)
        if operator in GAINS and "normal" not in held
        else frozenset()
    )
    alone = len(trails) == 1
    products = frozenset().union(*(trail.products for trail in trails))
    if not (operator in {"add", "sub", "cat"} and all(trail.products for trail in trails)):
        products = products if alone and operator in KEEPS_PRODUCT | {"add"} else frozenset()
    return Trail(
        data=True,
        marks=_marks(call, data, held, alone=alone, acting=bool(acting)),
        products=products,
        gained=gained | (trails[0].gained if alone and operator in GAINS else frozenset()),
    )


def _marks(call: Call, data: Sequence[Operand], held: frozenset[Mark], *, alone: bool, acting: bool) -> frozenset[Mark]:
    operator = call.operator
    marks: set[Mark] = set()
    twice = operator == "mul" and len(data) == 2 and data[0].key == data[1].key
    if operator in SOFTMAX or ("probabilities" in held and operator in KEEPS_SCORES and alone):
        marks.add("probabilities")
    if call.squared or twice or operator in {"square", "abs"}:
        marks.add("square")
    if operator in SPREADS or ("square" in held and operator in SUMS):
        marks.add("spread")
    if "square" in held and operator in {"add", "div", "mul"} and alone:
        marks.add("square")
    spreads = ["spread" in operand.trail.marks for operand in data if operand.trail is not None]
    if "spread" in held and operator in KEEPS_SPREAD and (all(spreads) or operator in {"maximum", "where"}):
        marks.add("spread")
    if operator in {"mul", "div"} and any(spreads) and not all(spreads):
        marks.add("normal")
    if "normal" in held and alone and operator in {"mul", "div", "add", "sub", "rsub", "addcmul"}:
        marks.add("normal")
    if "scores" in held and operator in KEEPS_SCORES:
        marks.add("scores")
    if "product" in held and alone and not acting and operator in KEEPS_PRODUCT:
        marks.add("product")
    return frozenset(marks)
