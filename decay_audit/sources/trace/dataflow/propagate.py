"""Find the uses of parameters in an operator call, and the provenance of its result. It imports no torch.

A parameter is used where it meets data: as the weight of a layer, a factor, a summand. A downstream use is a later use
of a product of parameter and data: a residual addition, or an addition to attention scores.
"""

from collections.abc import Callable, Sequence
from math import prod

from msgspec.structs import replace

from decay_audit.sources.trace.dataflow.downstream import (
    differences_of,
    downstream_uses,
    factors_of,
    find_downstream_uses,
    is_outer_product,
    measured_differences,
    product_parameters,
    summed_factors,
)
from decay_audit.sources.trace.dataflow.feeds import with_gains
from decay_audit.sources.trace.dataflow.operators import (
    BATCH_NORMS,
    GAINS,
    GATES,
    KEEPS_VALUES,
    LAYER_INPUTS,
    LOOKUPS,
    MATRIX_SLOTS,
    NORM_LAYERS,
    SHAPE_ONLY,
    SUMMANDS,
    VECTOR_PRODUCTS,
)
from decay_audit.sources.trace.dataflow.parameter_uses import (
    ParameterUse,
    derived_provenance,
    derives_from_parameters,
    has_parameters,
    origins_of,
    uses_of,
)
from decay_audit.sources.trace.dataflow.provenance import (
    DATA,
    Operand,
    OperatorCall,
    Provenance,
    Tag,
    all_tags,
    derive,
    has_tag,
    is_data,
)
from decay_audit.sources.trace.dataflow.tags import (
    is_separate_gain,
    result_tags,
    statistic_shape,
    value_ids,
)

Propagation = tuple[list[ParameterUse], Provenance | None]
"""The result for one call: uses of parameters, and the provenance of the call's result."""

LEARNED_INPUT = ("learned input",)
"""Tags of a use: the parameter is the input of a layer, not its weight."""

WITHOUT_DATA = "without data"
"""A tag of a use: the other factor is computed from parameters alone."""

NO_TAGS: frozenset[Tag] = frozenset()
PRODUCT: frozenset[Tag] = frozenset({"product"})
NORMALIZED: frozenset[Tag] = frozenset({"normalized"})
INPUT_FREE: frozenset[Tag] = frozenset({"input_free"})


def propagate(call: OperatorCall) -> Propagation:
    """Return the uses of parameters in a call, and the provenance of its result."""
    if call.operator in SHAPE_ONLY or not any(operand.provenance for operand in call.operands):
        return [], None
    uses, provenance = _propagation_for(call)(call)
    if provenance is not None and provenance.is_data and not provenance.value_id:
        provenance = replace(provenance, value_id=call.index)
    return uses, None if provenance is None else with_gains(call, provenance)


def _propagation_for(call: OperatorCall) -> Callable[[OperatorCall], Propagation]:
    if call.operator in MATRIX_SLOTS:
        return _matrix_product
    if call.operator in LAYER_INPUTS:
        return _layer
    return _lookup if call.operator in LOOKUPS else _elementwise


def _matrix_product(call: OperatorCall) -> Propagation:
    slots = MATRIX_SLOTS[call.operator]
    left, right = sorted(
        (operand for operand in call.operands if operand.slot in slots), key=lambda operand: slots.index(operand.slot)
    )
    summands = [operand for operand in call.operands if operand.slot not in slots]
    uses = uses_of(call, summands, left)
    if is_data(left) and is_data(right):
        averages = has_tag(left, "probabilities") or has_tag(right, "probabilities")
        return uses, DATA if averages else Provenance(is_data=True, tags=frozenset({"scores"}))
    if derives_from_parameters(left) and derives_from_parameters(right):
        # A learned input times a weight, or two factors of one weight: later uses of the product show which.
        uses += uses_of(call, [left], right, (*LEARNED_INPUT, WITHOUT_DATA))
        uses += uses_of(call, [right], left, (WITHOUT_DATA,))
        return uses, derived_provenance(call, [left], PRODUCT | INPUT_FREE)
    with_data = any(is_data(operand) for operand in call.operands)
    # Without data, two products are not layers: a product with a vector computes a statistic of a weight (spectral
    # norm), and a product with a constant on the right selects or resamples the rows of a table. A constant on the
    # left, such as a grid of positions, is the input of a layer; the weight is on the right.
    if not with_data and (call.operator in VECTOR_PRODUCTS or right.provenance is None):
        return uses, derived_provenance(call, [left, right])
    tags: list[str] = [tag for tag in ("mask", "probabilities", "softmax") if has_tag(left, tag) or has_tag(right, tag)]
    if not tags and not with_data:
        tags = ["constant"]
    factor_uses = [
        use
        for factor, other in ((left, right), (right, left))
        for use in uses_of(call, [factor], other, LEARNED_INPUT if _is_learned_query(call, factor) else tags)
    ]
    input_free = _input_free(call)
    names = frozenset(() if input_free else (name for name, _ in factor_uses))
    return uses + factor_uses, Provenance(is_data=True, tags=PRODUCT | input_free, product_of=names)


def _is_learned_query(call: OperatorCall, operand: Operand) -> bool:
    """Whether layers computed the operand from learned tensors alone, and the call is a batched matrix product."""
    mixes = any("softmax" in step for _, origin in origins_of(operand) for step in origin.via)  # a learned graph
    return has_tag(operand, "input_free") and call.operator in {"bmm", "baddbmm"} and not mixes


def _layer(call: OperatorCall) -> Propagation:
    """Propagate through an operator that is a whole layer: a convolution, a norm, a recurrent layer."""
    input_slots = LAYER_INPUTS[call.operator]
    inputs = [operand for operand in call.operands if operand.slot in input_slots]
    weights = [operand for operand in call.operands if operand.slot not in input_slots]
    learned = has_parameters(inputs)
    if learned and call.operator in BATCH_NORMS:  # weight standardization of a convolution kernel
        return [], derived_provenance(call, call.operands)
    uses = uses_of(call, weights, inputs[0], (*_grouping(call, inputs), *_square(inputs)))
    for operand in weights:  # the kernel may be computed: a mixture of kernels, or the output of a layer
        product_of = operand.provenance.product_of if operand.provenance else ()
        uses += downstream_uses(call, "mixed", product_of, operand, inputs[0])
    first_weight = next((operand for operand in weights if operand.provenance is not None), None)
    if learned and first_weight is not None:
        uses += uses_of(call, inputs, first_weight, LEARNED_INPUT)
    if learned and not any(is_data(operand) for operand in call.operands):
        return uses, derived_provenance(
            call, inputs, INPUT_FREE if call.operator in NORM_LAYERS else INPUT_FREE | PRODUCT
        )
    if call.operator in NORM_LAYERS:
        has_gain = any(operand.slot == "weight" for operand in weights)
        return uses, Provenance(is_data=True, tags=(NO_TAGS if has_gain else NORMALIZED) | _input_free(call))
    return uses, Provenance(is_data=True, tags=PRODUCT | _input_free(call))


def _input_free(call: OperatorCall) -> frozenset[Tag]:
    """Return the tag `input_free` if the result of a layer does not depend on the model's input, else no tag."""
    depends_on_input = any(is_data(operand) and not has_tag(operand, "input_free") for operand in call.operands)
    return NO_TAGS if depends_on_input else INPUT_FREE


def _square(inputs: Sequence[Operand]) -> tuple[str, ...]:
    return ("square",) if any(has_tag(operand, "square") for operand in inputs) else ()


def _grouping(call: OperatorCall, inputs: Sequence[Operand]) -> tuple[str, ...]:
    if call.groups == 1 or not inputs or len(inputs[0].shape) < 2:
        return ()
    return ("depthwise",) if call.groups == inputs[0].shape[1] else (f"groups={call.groups}",)


def _lookup(call: OperatorCall) -> Propagation:
    table_slot, index_slot = LOOKUPS[call.operator]
    table = [operand for operand in call.operands if operand.slot == table_slot]
    index = [operand for operand in call.operands if operand.slot == index_slot]
    by_data = any(is_data(operand) for operand in index)
    if table and is_data(table[0]):
        return [], _data_provenance(call)
    tag = "indexed by data" if by_data else ("positions" if call.consecutive_indices else "constant")
    counts_as_use = by_data or "embedding" in call.operator
    tags = (tag, "ids") if any(has_tag(operand, "ids") for operand in index) else (tag,)
    uses = uses_of(call, table, index[0] if index else None, tags) if counts_as_use else []
    return uses, DATA if by_data else derived_provenance(call, table)


def _elementwise(call: OperatorCall) -> Propagation:
    data = [operand for operand in call.operands if is_data(operand)]
    if not data:
        return _parameter_arithmetic(call)
    largest = _largest(data)
    uses = [
        use
        for operand in call.operands
        if derives_from_parameters(operand)
        for use in uses_of(call, [operand], largest, _relevant_tags(operand, largest))
    ]
    uses += [*find_downstream_uses(call, data), *summed_factors(call, data), *measured_differences(call, data)]
    return uses, _data_provenance(call)


def _largest(operands: Sequence[Operand]) -> Operand:
    return max(operands, key=lambda operand: (prod(operand.shape), len(operand.shape)))


def _relevant_tags(operand: Operand, data: Operand) -> tuple[str, ...]:
    """Return the tags of the data that matter for a parameter in the same operator call."""
    tags: tuple[str, ...] = tuple(
        tag
        for tag in sorted(all_tags([data]) - {"ids", "softmax"})
        if tag != "normalized" or not is_separate_gain(operand, data)
    )
    factors = data.provenance.factors if data.provenance is not None else ()
    if any(factor.expands and factor.shape == operand.shape for factor in factors):
        tags = (*tags, "after its factor")
    return (*LEARNED_INPUT, *tags) if has_tag(operand, "input_free") else tags


def _parameter_arithmetic(call: OperatorCall) -> Propagation:
    """Propagate a call without data. Outputs of layers with a learned input count as data for other operands."""
    products = [operand for operand in call.operands if has_tag(operand, "product")]
    input_free = INPUT_FREE if any(has_tag(operand, "input_free") for operand in call.operands) else NO_TAGS
    if call.operator in KEEPS_VALUES:
        origins = (origin for _, origin in origins_of(*call.operands))
        return [], derive(origins, None, input_free | (PRODUCT if products else NO_TAGS))
    if not products or call.operator not in SUMMANDS:
        return [], derived_provenance(call, call.operands, input_free, _step(call))
    others = [operand for operand in call.operands if operand not in products]
    # A product of two factors is added to a weight: the sum keeps the weight and the factors as its origins.
    carried = [
        other for other in others if _count_wide_dimensions(other.shape) > 1 and other.shape == products[0].shape
    ]
    uses = uses_of(call, others, products[0], PRODUCT)
    step = "" if carried else "add of a bias"
    return uses, derived_provenance(call, [*products, *carried], input_free | PRODUCT, step)


def _step(call: OperatorCall) -> str | None:
    """Name the step from parameters to a result, for `Origin.via`.

    `outer` for an outer product of two parameters, `mul of parameters` and the like for two parameters of one shape,
    else the name of the operator. None if the call only multiplies by a number.
    """
    if _is_outer_product_of_parameters(call):
        return "outer"
    if call.operator in {"mul", "div"} and _multiplies_by_number(call):
        return None
    distinct = {origin.parameter for _, origin in origins_of(*call.operands)}
    same_shape = len({operand.shape for operand in call.operands}) == 1 and all(
        map(derives_from_parameters, call.operands)
    )
    joins = call.operator in {"mul", "div", "add"} and len(call.operands) == 2
    return f"{call.operator} of parameters" if joins and same_shape and len(distinct) > 1 else call.operator


def _multiplies_by_number(call: OperatorCall) -> bool:
    """Whether the call has one operand from parameters, and all others have a single element."""
    from_parameters = [operand for operand in call.operands if derives_from_parameters(operand)]
    others = [operand for operand in call.operands if not derives_from_parameters(operand)]
    return len(from_parameters) == 1 and not any(operand.shape for operand in others)


def _is_outer_product_of_parameters(call: OperatorCall) -> bool:
    """Whether the call is an outer product of two parameters: each is broadcast along a dimension of the other."""
    if call.operator != "mul" or len(call.operands) != 2 or not all(map(derives_from_parameters, call.operands)):
        return False
    left, right = (operand.shape for operand in call.operands)
    length = max(len(left), len(right))
    pairs = list(zip((1,) * (length - len(left)) + left, (1,) * (length - len(right)) + right, strict=True))
    return any(left_size > 1 == right_size for left_size, right_size in pairs) and any(
        right_size > 1 == left_size for left_size, right_size in pairs
    )


def _count_wide_dimensions(shape: tuple[int, ...]) -> int:
    return sum(size > 1 for size in shape)


def _data_provenance(call: OperatorCall) -> Provenance:
    """Return the provenance of a result that is data, with what the operator keeps of its operands' provenance."""
    operator = call.operator
    data = [operand for operand in call.operands if is_data(operand)]
    provenances = [operand.provenance for operand in data if operand.provenance is not None]
    if operator in KEEPS_VALUES and len(provenances) == 1:
        return provenances[0]
    with_parameters = has_parameters(call.operands)
    scaled_by = frozenset(
        origin.parameter
        for operand, origin in origins_of(*call.operands)
        if operator in GAINS
        and "normalized" not in all_tags(data)
        and prod(operand.shape) > 1
        and not is_outer_product(operand, data)
        and not GATES & {*origin.via}
    )
    is_single = len(provenances) == 1
    tags = result_tags(call, data, with_parameters=with_parameters)
    value_id, statistic_of = value_ids(call, data, tags, with_parameters=with_parameters)
    unscaled_id = provenances[0].unscaled_id if is_single else 0
    return Provenance(
        is_data=True,
        tags=tags,
        value_id=value_id,
        statistic_of=statistic_of,
        statistic_shape=statistic_shape(data, tags),
        unscaled_id=provenances[0].value_id if scaled_by else unscaled_id,
        product_of=product_parameters(call, data),
        factors=factors_of(call, data),
        differences=differences_of(call, data),
        scaled_by=scaled_by | (provenances[0].scaled_by if is_single and operator in GAINS else frozenset()),
    )
