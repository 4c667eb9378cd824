"""What one operator call does to the trails of its operands: which parameters met data in it, and what comes out.

Operators go by their plain names (`add` for `aten::add_.Tensor`), slots by the argument names of their schemas.
Knows no torch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import prod

from msgspec.structs import replace

from decay_audit.model.parameters import Use
from decay_audit.sources.trace.call import Call, Operand, is_data
from decay_audit.sources.trace.operators import (
    BATCH_NORMS,
    GAINS,
    KEEPS_PRODUCT,
    KERNEL_INPUTS,
    LOOKUPS,
    MASKS,
    MATRIX_SLOTS,
    NORM_KERNELS,
    PLAIN,
    SHAPE_ONLY,
    SUMMANDS,
    VECTOR_PRODUCTS,
)
from decay_audit.sources.trace.provenance import DATA, Mark, Origin, Trail, onward
from decay_audit.sources.trace.tags import aside, divides_scaled, identity, is_made, normalizer, tags as marked

Meeting = tuple[str, Use]

INPUT = ("input",)  # a learned tensor where a layer takes its input
NOTHING: frozenset[Mark] = frozenset()
PRODUCT: frozenset[Mark] = frozenset({"product"})
NORMAL: frozenset[Mark] = frozenset({"normal"})
MADE: frozenset[Mark] = frozenset({"made"})


def follow(call: Call) -> tuple[list[Meeting], Trail | None]:
    """Say which parameters met data in a call, and the trail of its result."""
    if call.operator in SHAPE_ONLY or not any(operand.trail for operand in call.operands):
        return [], None
    meetings, trail = _reader(call)(call)
    if trail is not None and trail.data and not trail.value:
        trail = replace(trail, value=call.serial)
    return meetings, trail


def _reader(call: Call) -> Callable[[Call], tuple[list[Meeting], Trail | None]]:
    if call.operator in MATRIX_SLOTS:
        return _matrix
    if call.operator in KERNEL_INPUTS:
        return _kernel
    return _lookup if call.operator in LOOKUPS else _elementwise


def _derived(operands: Sequence[Operand]) -> Iterator[tuple[Operand, Origin]]:
    return (
        (operand, origin)
        for operand in operands
        if operand.trail is not None and operand.trail.derived
        for origin in operand.trail.origins
    )


def _meet(
    call: Call, operand: Operand, origin: Origin, *, data_shape: Operand | None, tags: Iterable[str] = ()
) -> Meeting:
    return origin.parameter, Use(
        operator=call.operator,
        slot=operand.slot,
        shape=operand.shape,
        data_shape=data_shape.shape if data_shape is not None else (),
        tags=tuple(tags),
        via=origin.via,
    )


def _matrix(call: Call) -> tuple[list[Meeting], Trail | None]:
    slots = MATRIX_SLOTS[call.operator]
    left, right = sorted((o for o in call.operands if o.slot in slots), key=lambda o: slots.index(o.slot))
    rest = [operand for operand in call.operands if operand.slot not in slots]
    meetings = [_meet(call, operand, origin, data_shape=left) for operand, origin in _derived(rest)]
    if left.trail is not None and right.trail is not None and left.trail.data and right.trail.data:
        averaged = "probabilities" in left.trail.tags | right.trail.tags
        return meetings, DATA if averaged else Trail(data=True, tags=frozenset({"scores"}))
    learned = left.trail is not None and left.trail.derived and right.trail is not None and right.trail.derived
    if learned:  # a learned input before a matrix, or two factors of one: what becomes of it tells
        meetings += [_meet(call, left, origin, data_shape=right, tags=INPUT) for _, origin in _derived([left])]
        meetings += [_meet(call, right, origin, data_shape=left) for _, origin in _derived([right])]
        return meetings, onward((origin for _, origin in _derived([left])), call.operator, PRODUCT | MADE)
    data = any(is_data(operand) for operand in call.operands)
    # With constants alone, a vector takes a statistic of a weight (spectral norm), and a matrix on the right picks or
    # resamples the rows of a table; a layer has its weight on the right, and acts on a constant grid as on data.
    if not data and (call.operator in VECTOR_PRODUCTS or right.trail is None):
        return meetings, onward((origin for _, origin in _derived([left, right])), call.operator)
    held = frozenset().union(*(one.trail.tags for one in (left, right) if one.trail is not None))
    picked = tuple(sorted(held & {"mask", "probabilities"})) or (() if data else ("constant",))
    found = [
        _meet(call, one, origin, data_shape=right if one is left else left, tags=INPUT if _query(call, one) else picked)
        for one, origin in _derived([left, right])
    ]
    made = _made(call)
    names = frozenset(() if made else (name for name, _ in found))
    return meetings + found, Trail(data=True, tags=PRODUCT | made, products=names)


def _query(call: Call, operand: Operand) -> bool:
    """Whether layers made it of learned tensors, batch by batch; two factors of a weight are multiplied once."""
    return is_made(operand) and call.operator in {"bmm", "baddbmm"}


def _kernel(call: Call) -> tuple[list[Meeting], Trail | None]:
    inputs = [operand for operand in call.operands if operand.slot in KERNEL_INPUTS[call.operator]]
    acting = [operand for operand in call.operands if operand.slot not in KERNEL_INPUTS[call.operator]]
    tags = _grouping(call, inputs)
    learned = [origin for _, origin in _derived(inputs)]
    if learned and call.operator in BATCH_NORMS:  # a kernel is standardized, with its gain
        return [], onward((origin for _, origin in _derived(call.operands)), call.operator)
    meetings = [_meet(call, o, origin, data_shape=inputs[0], tags=tags) for o, origin in _derived(acting)]
    for operand in acting:  # a kernel that data mixes from several, or makes
        meetings += _fate(call, "mixed", operand.trail.products if operand.trail else (), operand, inputs[0])
    if learned and any(operand.trail is not None for operand in acting):
        data_shape = next(operand for operand in acting if operand.trail is not None)
        meetings += [_meet(call, o, origin, data_shape=data_shape, tags=INPUT) for o, origin in _derived(inputs)]
    if learned and not any(is_data(operand) for operand in call.operands):
        return meetings, onward(learned, call.operator, MADE if call.operator in NORM_KERNELS else MADE | PRODUCT)
    if call.operator in NORM_KERNELS:
        plain = not any(operand.slot == "weight" for operand in acting)
        return meetings, Trail(data=True, tags=(NORMAL if plain else NOTHING) | _made(call))
    return meetings, Trail(data=True, tags=PRODUCT | _made(call))


def _made(call: Call) -> frozenset[Mark]:
    """Mark what a layer makes of a constant: nothing of the model's input is in it."""
    return NOTHING if any(is_data(one) and not is_made(one) for one in call.operands) else MADE


def _grouping(call: Call, inputs: Sequence[Operand]) -> tuple[str, ...]:
    if call.groups == 1 or not inputs or len(inputs[0].shape) < 2:
        return ()
    return ("depthwise",) if call.groups == inputs[0].shape[1] else (f"groups={call.groups}",)


def _lookup(call: Call) -> tuple[list[Meeting], Trail | None]:
    table_slot, index_slot = LOOKUPS[call.operator]
    table = [operand for operand in call.operands if operand.slot == table_slot]
    index = [operand for operand in call.operands if operand.slot == index_slot]
    by_data = any(is_data(operand) for operand in index)
    if table and is_data(table[0]):
        return [], _data_trail(call)
    tags = ("by data",) if by_data else (("positions",) if call.positions else ("constant",))
    named = by_data or "embedding" in call.operator
    data_shape = index[0] if index else None
    meetings = (
        [_meet(call, o, origin, data_shape=data_shape, tags=tags) for o, origin in _derived(table)] if named else []
    )
    if by_data:
        return meetings, DATA
    return meetings, onward((origin for _, origin in _derived(table)), call.operator)


def _elementwise(call: Call) -> tuple[list[Meeting], Trail | None]:
    data = [operand for operand in call.operands if is_data(operand)]
    origins = list(_derived(call.operands))
    if not data:
        return _of_parameters(call, origins)
    data_shape = max(data, key=lambda operand: (prod(operand.shape), len(operand.shape)))
    tags = tuple(sorted(data_shape.trail.tags)) if data_shape.trail is not None else ()
    meetings = [
        _meet(call, operand, origin, data_shape=data_shape, tags=_seen(operand, data_shape, tags))
        for operand, origin in origins
    ]
    meetings += _fates(call, data)
    return meetings, _data_trail(call)


def _seen(operand: Operand, data_shape: Operand, tags: tuple[Mark, ...]) -> tuple[str, ...]:
    """Say what a parameter met: the marks of the data, as far as they concern it."""
    concerning = tuple(mark for mark in tags if mark != "normal" or not aside(operand, data_shape))
    return (*INPUT, *concerning) if is_made(operand) else concerning


def _of_parameters(call: Call, origins: Sequence[tuple[Operand, Origin]]) -> tuple[list[Meeting], Trail]:
    """Carry parameters on; where one of them is a layer's product of a learned input, the others act on it as data."""
    product = [operand for operand in call.operands if operand.trail is not None and "product" in operand.trail.tags]
    made = MADE if any(is_made(operand) for operand in call.operands) else NOTHING
    if call.operator in PLAIN:
        return [], onward((origin for _, origin in origins), None, made | (PRODUCT if product else NOTHING))
    if not product or call.operator not in SUMMANDS:
        return [], onward((origin for _, origin in origins), call.operator, made)
    meetings = [
        _meet(call, operand, origin, data_shape=product[0], tags=("product",))
        for operand, origin in origins
        if operand not in product
    ]
    return meetings, onward(
        (origin for operand, origin in origins if operand in product), call.operator, made | PRODUCT
    )


def _fates(call: Call, data: Sequence[Operand]) -> Iterator[Meeting]:
    """Say what became of parameters after they met data: a gain joined a residual, a product the attention scores."""
    for operand in data:
        trail = operand.trail
        if trail is None:
            continue
        others = [other for other in data if other is not operand]
        data_shape = max(others, key=lambda other: prod(other.shape), default=operand)
        kept = frozenset().union(*(other.trail.gained for other in others if other.trail is not None))
        if call.operator in {"mul", "div"} and any(divides_scaled(other, operand) for other in others):
            yield from _fate(call, "normalized", trail.gained, operand, data_shape)
        if call.operator in SUMMANDS and others and "scores" not in trail.tags:
            yield from _fate(call, "residual", trail.gained - kept, operand, data_shape)
        on_scores = any("scores" in other.trail.tags for other in others if other.trail is not None)
        if operand.slot in MASKS or (call.operator in SUMMANDS and on_scores):
            yield from _fate(call, "scores", trail.products, operand, data_shape)


def _fate(call: Call, slot: str, names: Iterable[str], operand: Operand, data_shape: Operand) -> Iterator[Meeting]:
    for name in sorted(names):
        yield name, Use(operator=call.operator, slot=slot, shape=operand.shape, data_shape=data_shape.shape)


def _data_trail(call: Call) -> Trail:
    """Carry the marks that an operator keeps on to its result."""
    operator = call.operator
    data = [operand for operand in call.operands if is_data(operand)]
    trails = [operand.trail for operand in data if operand.trail is not None]
    acting = [(operand, origin) for operand, origin in _derived(call.operands)]
    if operator in PLAIN and len(trails) == 1:
        return trails[0]
    held = frozenset().union(*(trail.tags for trail in trails))
    scaling = operator in GAINS and "normal" not in held
    gained = frozenset(
        origin.parameter
        for operand, origin in acting
        if scaling and prod(operand.shape) > 1 and not _outer(operand, data)
    )
    alone = len(trails) == 1
    tags = marked(call, data, acting=bool(acting))
    value, spread_of = identity(call, data, tags, acting=bool(acting))
    return Trail(
        data=True,
        tags=tags,
        value=value,
        spread_of=spread_of,
        normalizer=normalizer(data, tags),
        gained_of=trails[0].value if gained else (trails[0].gained_of if alone else 0),
        products=_products(call, data),
        gained=gained | (trails[0].gained if alone and operator in GAINS else frozenset()),
    )


def _products(call: Call, data: Sequence[Operand]) -> frozenset[str]:
    """Say which parameters' products the result still is: of one that is moved, or of several put together."""
    chosen = [one.trail.products for one in data if one.trail is not None and one.slot != "condition"]
    together = call.operator in {"add", "sub", "cat", "where"} and all(chosen)
    if not together and not (len(data) == 1 and call.operator in KEEPS_PRODUCT | {"add"}):
        return frozenset()
    return frozenset().union(*chosen)


def _outer(operand: Operand, data: Sequence[Operand]) -> bool:
    """Whether a product spreads a parameter over data that is one wide where the parameter is not."""
    data_shape = max(data, key=lambda one: prod(one.shape))
    return any(
        own > 1 and size == 1 for own, size in zip(reversed(operand.shape), reversed(data_shape.shape), strict=False)
    )
