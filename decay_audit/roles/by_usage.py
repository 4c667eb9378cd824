"""Evidence from the uses of a Parameter in a traced forward pass. This module does not import torch.

Use is stronger evidence than class and name, because it shows what the parameter does. In the following cases use does
not decide alone; the confidence of the evidence and `classification.FINER` express that:

- A slot that takes only one kind of tensor (a convolution's kernel, a norm's gain, a lookup table) is certain evidence.
  A pointwise operator is likely evidence at most, because parameters of many roles are added or multiplied.
- A factor of a matrix product may still be a table: a product with zeros and ones selects its rows, one with
  coordinates computes positions, and one over all rows of a torch.nn.Embedding is a soft lookup. There, name and class
  decide. A product that also adds a bias (addmm) is a linear layer.
- A lookup cannot tell words from positions or learned queries, and a product cannot tell an adapter from a linear
  layer: the name picks the finer kind.
- A gain or a shift on data that was not just normalized may be a residual scale, a skip weight or a gate: that is a
  guess, and class and name decide.
- A learned tensor that goes through a layer like an input (a query, a prompt) is a token only if nothing calls it a
  table.
"""

from collections.abc import Callable, Sequence
from math import prod

from msgspec.structs import replace

from decay_audit.model.parameters import Parameter, Use
from decay_audit.roles.words import CONFIDENCES, ROLES, Confidence, Evidence, Layer, Role

UseMeaning = tuple[Role, Layer, Confidence]
"""The role and the layer that one use supports, and with which confidence."""

_NORM_LAYERS: dict[str, Layer] = {
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "_batch_norm_with_update": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "miopen_batch_norm": "batch_norm",
    "_fused_rms_norm": "rms_norm",
    "rms_norm": "rms_norm",
}
# fmt: off
_MATRIX_PRODUCTS = frozenset({
    "mm", "bmm", "addmm", "addbmm", "baddbmm", "mv", "addmv", "dot", "vdot", "_trilinear", "_grouped_mm", "_scaled_mm",
    "_int_mm",
})
_RECURRENT = frozenset({
    "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
})
_PLACEMENTS = frozenset({
    "cat", "stack", "where", "index_put", "masked_fill", "masked_scatter", "copy", "index_copy", "slice_scatter",
    "select_scatter", "scatter",
})
"""Operators that put a parameter next to data, or in the place of some data."""
_JOINS = frozenset({"cat", "stack"})
"""Operators that make one tensor of several."""
_POSITIVE = frozenset({"exp", "softplus", "sigmoid", "softmax", "_softmax"})
"""Functions whose results are positive: of the logarithm of a spread, or of the logits of a mask."""
_WITH_PARAMETER = frozenset({"mul of parameters", "div of parameters", "add of parameters"})
"""Steps in which two parameters of one shape become one tensor."""
MATRICES: frozenset[Role] = frozenset({"conv_weight", "linear_weight", "recurrent_weight", "embedding"})
"""Roles of tensors that are used as matrices."""
_FUSED_ATTENTION = frozenset({
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math",
})
# fmt: on


def evidence(parameter: Parameter) -> tuple[Evidence, ...]:
    """Return the evidence from the uses in a traced forward pass, strongest first; () if there are none."""
    uses = parameter.uses or ()
    strongest: dict[Role, Evidence] = {}
    doubtful = _doubtful_roles(uses)
    for use in uses:
        meaning = None if _is_of_generated_weight(use, uses) else _meaning(use, parameter)
        if meaning is None:
            continue
        role, layer, confidence = meaning
        confidence = _lower_if_derived(confidence, use, parameter)
        # A matrix product that also adds a bias is a linear layer, however the result is used.
        if role in doubtful and not (role == "linear_weight" and use.operator == "addmm"):
            confidence = "guess"
        previous = strongest.get(role)
        if previous is None or CONFIDENCES.index(confidence) < CONFIDENCES.index(previous.confidence):
            strongest[role] = Evidence(kind="usage", detail=_detail(use), role=role, layer=layer, confidence=confidence)
    strongest = _lower_if_contradicted(strongest)
    return tuple(sorted(strongest.values(), key=_strength))


def _strength(evidence: Evidence) -> tuple[int, int]:
    return CONFIDENCES.index(evidence.confidence), _ROLE_ORDER.get(evidence.role, len(ROLES))


def _lower_if_derived(confidence: Confidence, use: Use, parameter: Parameter) -> Confidence:
    """Lower `certain` if the tensor in the slot is a slice of the parameter, or is computed from it."""
    size, used_size = prod(parameter.shape), prod(use.shape)
    repeated = used_size % max(size, 1) == 0 and {*use.via} <= {"repeat", "repeat_interleave"}
    if confidence == "certain" and {*use.via} & (_POSITIVE | _WITH_PARAMETER):
        confidence = "likely"
    if confidence != "certain" or size == used_size or repeated:
        return confidence
    picked = bool({"index", "index_select", "gather"} & set(use.via))  # some matrices of a stack, or one several times
    multiplied = bool(_MATRIX_PRODUCTS & set(use.via)) and _wide_dimensions(parameter.shape) > 1
    is_factor = picked or multiplied or "outer" in use.via
    return "likely" if used_size < size or is_factor or _JOINS & set(use.via) else "guess"


def _lower_if_contradicted(strongest: dict[Role, Evidence]) -> dict[Role, Evidence]:
    """Lower the confidence of certain roles that contradict each other. Matrices agree: a table may be tied."""
    certain = {role for role, item in strongest.items() if item.confidence == "certain"}
    if len(certain - MATRICES) + bool(certain & MATRICES) < 2:
        return strongest
    return {role: replace(item, confidence=_below_certain(item.confidence)) for role, item in strongest.items()}


def _below_certain(confidence: Confidence) -> Confidence:
    return "likely" if confidence == "certain" else confidence


def _is_of_generated_weight(use: Use, uses: Sequence[Use]) -> bool:
    """Whether the tensor in the slot is a weight or bias that layers computed from the parameter (a hypernetwork).

    The factors of one matrix are only multiplied: no bias is added to their product.
    """
    learned_input = any("learned input" in other.tags for other in uses)
    return learned_input and "learned input" not in use.tags and "addmm" in use.via


def _doubtful_roles(uses: Sequence[Use]) -> frozenset[Role]:
    """Return the roles that are only guesses because of the other uses of the parameter."""
    joins_scores = any(use.slot == "scores" for use in uses)
    makes_kernel = any(use.slot == "mixed" for use in uses)
    learned_input = any("learned input" in use.tags for use in uses)
    indexed = any("indexed by data" in use.tags and not use.via for use in uses)
    is_factor = any(_MATRIX_PRODUCTS & {*use.via} and "learned input" not in use.tags for use in uses)
    is_memory = any("softmax" in use.tags and not use.via for use in uses)
    doubts: dict[Role, bool] = {
        # The factor may be a table of score offsets, a stack of kernels, entries whose distance is measured, or a
        # memory: attention first compares data with its rows, then averages them.
        "linear_weight": joins_scores or makes_kernel or indexed or is_memory,
        # A learned input is also added to what layers compute from it: a residual.
        "position_embedding": learned_input,
        # Two factors of one matrix look like a learned input and its weight until their product meets data.
        "token": joins_scores or is_factor,
    }
    return frozenset(role for role, doubtful in doubts.items() if doubtful)


_ROLE_ORDER: dict[Role, int] = {
    "embedding": 0,
    "conv_weight": 0,
    "recurrent_weight": 0,
    "position_embedding": 1,
    "relative_position_bias": 1,
    "linear_weight": 8,
}
"""The order of equally strong roles: a table that is also used as a matrix (a tied head) is a table.

Roles without a number here come last.
"""


def _detail(use: Use) -> str:
    """Format a use as `operator.slot (tags) via operators`."""
    tags = f" ({', '.join(use.tags)})" if use.tags else ""
    via = f" via {', '.join(use.via)}" if use.via else ""
    return f"{use.operator}.{use.slot}{tags}{via}"


def _wide_dimensions(shape: tuple[int, ...]) -> int:
    """Count the dimensions with more than one element."""
    return sum(size > 1 for size in shape)


def _only_scales(use: Use, parameter: Parameter) -> bool:
    """Whether the parameter only scales the tensor in the slot: the magnitude of weight normalization, a soft mask."""
    if _POSITIVE & set(use.via) and _WITH_PARAMETER & set(use.via):
        return True
    gathered = {"cat", "stack", "repeat", "repeat_interleave", "kron"} & set(use.via)
    multiplied = {"mul", "div", "diag_embed", "diagonal_scatter", "_weight_norm_interface"} & set(use.via) or any(
        "norm" in name for name in use.via
    )
    smaller = _wide_dimensions(parameter.shape) < _wide_dimensions(use.shape)
    return not gathered and bool(multiplied) and smaller


def _meaning(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.slot == "measured":
        return _distance(use, parameter) if _wide_dimensions(parameter.shape) > 1 else None
    if use.slot == "summed":
        return _sum_of_products(use, parameter)
    if "learned input" in use.tags or use.slot in {"query", "key", "value"}:
        return _learned_input(use, parameter, "guess" if _wide_dimensions(parameter.shape) > 2 else "likely")
    read = next((read for operators, read in _READERS if use.operator in operators), _pointwise)
    return read(use, parameter)


def _learned_input(use: Use, parameter: Parameter, confidence: Confidence) -> UseMeaning:
    """Return a token; or a scale, if the parameter only scales the learned input, like the gain of a norm on it.

    A product of parameters that meets another parameter is only a guess: it may be a factor of a kernel.
    """
    if "without data" in use.tags and _WITH_PARAMETER & set(use.via):
        confidence = "guess"
    return ("scale", "other", "guess") if _only_scales(use, parameter) else ("token", "other", confidence)


def _convolution(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.slot == "mixed":
        return "conv_weight", "conv", "guess"
    layer: Layer = "depthwise_conv" if "depthwise" in use.tags else "conv"
    of_square = "square" in use.tags  # a divisive norm pools squares by a convolution
    if use.slot == "bias":
        return "bias", layer, "guess" if of_square else "certain"
    if _only_scales(use, parameter):
        return "scale", layer, "likely"
    return "conv_weight", layer, "guess" if of_square else "certain"


def _norm(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    layer = _NORM_LAYERS[use.operator]
    return ("norm_weight" if use.slot == "weight" else "norm_bias"), layer, "certain"


def _matrix_product(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.operator in {"addmm", "addmv", "baddbmm", "addbmm"} and use.slot == "self":
        return _summand(use, parameter) if _wide_dimensions(parameter.shape) > 1 else ("bias", "linear", "certain")
    if "mask" in use.tags or ("softmax" in use.tags and _compares_rows(use, parameter)):
        return "embedding", "embedding", "likely"  # a product with zeros and ones picks rows; a memory is averaged
    if _only_scales(use, parameter):
        return "scale", "linear", "likely"
    picks_rows = {"embedding", "index"} & set(use.via) and _wide_dimensions(parameter.shape) < 3
    table = "torch.nn.Embedding" in parameter.owner.types or picks_rows
    constant = "constant" in use.tags and use.operator != "addmm"
    if table or constant or "probabilities" in use.tags or _is_repeated_for_batch(use, parameter):
        return "linear_weight", "linear", "guess"  # possibly a table: a soft lookup, or queries of an attention
    vector = len(use.shape) == 1  # a layer with one output, or a learned query
    if vector or ("without data" in use.tags and use.operator != "addmm"):  # the other factor is a parameter, too
        return "linear_weight", "linear", "likely"
    return "linear_weight", "linear", "certain"


def _is_repeated_for_batch(use: Use, parameter: Parameter) -> bool:
    """Whether each item of a batch is multiplied from the left with the same rows, as with learned queries."""
    return use.operator == "bmm" and use.slot == "self" and prod(use.shape) > prod(parameter.shape) and not use.via


def _compares_rows(use: Use, parameter: Parameter) -> bool:
    """Whether attention averages the rows of the parameter, and another product compared data with these rows."""
    products = [other for other in parameter.uses or () if other.operator in _MATRIX_PRODUCTS]
    return any("softmax" not in other.tags and other.shape[-2:] == use.shape[-2:][::-1] for other in products)


def _recurrent(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return ("recurrent_weight" if use.slot == "weight" else "bias"), "recurrent", "certain"


def _lookup(use: Use, parameter: Parameter) -> UseMeaning | None:
    if "positions" in use.tags:
        return "position_embedding", "embedding", "likely"
    # Indexing by data picks words from a table, but also one expert's bias or matrix from a stack.
    if "embedding" not in use.operator and _wide_dimensions(parameter.shape) > 2:
        return "linear_weight", "linear", "guess"
    if "embedding" in use.operator:
        return "embedding", "embedding", "certain"
    return "embedding", "embedding", "likely" if "ids" in use.tags and not use.via else "guess"


def _attention(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return ("relative_position_bias", "attention", "likely") if use.slot.startswith("attn_") else None


def _distance(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return "embedding", "embedding", "likely"  # centres, to which distances are measured


def _activation(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return "activation", "activation", "certain"


def _placement(use: Use, parameter: Parameter) -> UseMeaning | None:
    """Read a parameter that is put next to data, or in the place of some of it."""
    return _learned_input(use, parameter, "likely" if parameter.shape else "guess")


def _gain(use: Use, parameter: Parameter) -> UseMeaning | None:
    gate = bool({"sigmoid", "tanh", "softplus", "softmax", "_softmax"} & set(use.via))
    on_normalized = use.slot == "normalized" or "normalized" in use.tags or _is_on_inverse(use)
    wide = _wide_dimensions(parameter.shape)
    if {"exp", "neg"} <= set(use.via) and use.via.index("exp") < use.via.index("neg") and wide:
        return "state_space", "other", "likely"
    if on_normalized and not gate and prod(use.shape) > 1 and (wide == 1 or (wide and not _is_outer_product(use))):
        return "norm_weight", "other_norm", "likely" if wide == 1 else "guess"
    if wide == 0 or prod(use.shape) == 1 or ("scores" in use.tags and not _is_feature_vector(use)):
        return "scale", "other", "likely"
    if _is_outer_product(use):
        if "mask" in use.tags or wide > 1:
            return "token", "other", "likely" if "mask" in use.tags else "guess"
        return "linear_weight", "linear", "guess"  # a layer with one input
    return ("scale", "other", "guess") if wide == 1 or _POSITIVE & set(use.via) else None


def _sum_of_products(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    """Read a factor whose products with data were summed along a dimension where it varies: a product of matrices."""
    if {"softmax", "_softmax", "sigmoid"} & set(use.via):
        return None  # weights of an average
    return "linear_weight", "linear", "likely"


def _is_on_inverse(use: Use) -> bool:
    """Whether a norm applies its gain to the reciprocal of a statistic first, or its shift to what that gain gave."""
    return "statistic" in use.tags and ("inverse" in use.tags or (use.operator == "div" and use.slot == "self"))


def _is_feature_vector(use: Use) -> bool:
    """Whether the parameter varies along the last dimension only: over features, not over heads or positions."""
    return _wide_dimensions(use.shape) == 1 and use.shape[-1] > 1


def _varies_over_scores(use: Use) -> bool:
    """Whether the parameter varies over both dimensions of the scores, or over the heads in front of them."""
    heads, scores = use.shape[:-2], use.shape[-2:]
    return _wide_dimensions(heads) > 0 or _wide_dimensions(scores) > 1


def _is_one_for_all_rows(use: Use) -> bool:
    """Whether each of a batch of matrix products got one vector, which is added to all of its rows."""
    product = "product" in use.tags or use.operator in {"addmm", "baddbmm", "addbmm"}
    if not product or len(use.shape) < 3 or len(use.data_shape) < 2:
        return False
    return use.shape[-2] == 1 < use.data_shape[-2] and use.shape[-1] > 1


def _is_bias_of_stack(use: Use, parameter: Parameter) -> bool:
    """Whether a product with a sibling, a stack of matrices, has one number of this parameter for each output."""
    if "product" not in use.tags or _wide_dimensions(parameter.shape) < 2:
        return False
    stacks = (shape for shape in parameter.owner.tensors.values() if _wide_dimensions(shape) > 2)
    own = tuple(size for size in parameter.shape if size > 1)
    return any(
        own == tuple(size for place, size in enumerate(shape) if size > 1 and place != left_out)
        for shape in stacks
        for left_out in range(len(shape))
    )


def _is_outer_product(use: Use) -> bool:
    """Whether the data has size 1 in a dimension where the parameter is larger: each row of the parameter is scaled."""
    return any(own > 1 and size == 1 for own, size in zip(reversed(use.shape), reversed(use.data_shape), strict=False))


def _summand(use: Use, parameter: Parameter) -> UseMeaning | None:
    wide = min(_wide_dimensions(parameter.shape), _wide_dimensions(use.shape))  # what met data may be a slice
    if use.slot == "residual":
        return "layer_scale", "other", "likely" if wide == 1 else "guess"
    if use.slot == "scores":  # its product was added: a table of offsets, or a layer that computes a bias for pairs
        return "relative_position_bias", "attention", "guess"
    if "scores" in use.tags and wide and (_is_feature_vector(use) or _varies_over_scores(use)):
        return "relative_position_bias", "attention", "guess" if _is_feature_vector(use) else "likely"
    if wide == 1 and ({"normalized", "scaled"} & set(use.tags) or _is_on_inverse(use)):
        return "norm_bias", "other_norm", "likely"
    if _only_scales(use, parameter):
        return "scale", "other", "guess"  # it scales something else that is added
    return _plain_summand(use, parameter, wide)


def _plain_summand(use: Use, parameter: Parameter, wide: int) -> UseMeaning:
    """Read what is added to features without tags: a bias if it is a vector for each row, else a table of positions."""
    if _is_one_for_all_rows(use) or "after its factor" in use.tags or _is_bias_of_stack(use, parameter):
        return "bias", "other", "likely"
    if wide <= 1:
        return "bias", "other", "likely" if "product" in use.tags and use.operator == "add" else "guess"
    # After a norm's gain it may be the norm's shift, per head. Rows that all meet one row of data are no positions, and
    # neither is what is added to a distance.
    other = {"scaled", "square", "statistic"} & set(use.tags) or _is_outer_product(use)
    if other or not _varies_by_position(use):
        return "bias", "other", "guess"
    return "position_embedding", "other", "likely"


def _varies_by_position(use: Use) -> bool:
    """Whether the parameter varies along every dimension but the batch, like a table of positions."""
    missing = len(use.data_shape) - len(use.shape)
    own = (1,) * missing + use.shape
    repeated = {
        dimension for dimension, (size, data) in enumerate(zip(own, use.data_shape, strict=False)) if size < data
    }
    return len(own) < 3 or (missing <= 1 and repeated <= {0})


def _pointwise(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.operator in _PLACEMENTS:
        return _placement(use, parameter)
    if use.operator in {"mul", "div"} or (use.operator.startswith("addc") and use.slot.startswith("tensor")):
        return _gain(use, parameter)
    if use.operator in {"sub", "rsub"} and min(map(_wide_dimensions, (parameter.shape, use.shape))) > 1:
        return ("bias", "other", "guess") if _is_outer_product(use) else None  # else a table of offsets
    if use.operator in {"add", "sub", "rsub", "addcmul", "addcdiv"}:
        return _summand(use, parameter)
    return None


_READERS: tuple[tuple[frozenset[str], Callable[[Use, Parameter], UseMeaning | None]], ...] = (
    (frozenset({"convolution", "_convolution", "deform_conv2d"}), _convolution),
    (frozenset(_NORM_LAYERS), _norm),
    (_MATRIX_PRODUCTS, _matrix_product),
    (_RECURRENT, _recurrent),
    (frozenset({"embedding", "_embedding_bag", "index", "index_select", "gather"}), _lookup),
    (frozenset({"_cdist_forward", "_euclidean_dist", "cdist"}), _distance),
    (frozenset({"_prelu_kernel"}), _activation),
    (_FUSED_ATTENTION, _attention),
)
"""The function that interprets a use, by its operator. All other operators are pointwise."""
