"""Read the role that one use of a parameter supports, by its operator, slot, tags and shapes."""

from collections.abc import Callable
from math import prod

from decay_audit.model.parameters import Parameter, Use
from decay_audit.roles.by_usage.use_shapes import (
    MATRIX_PRODUCTS,
    POSITIVE,
    WITH_PARAMETER,
    compares_rows,
    count_wide_dimensions,
    is_bias_of_stack,
    is_feature_vector,
    is_on_inverse,
    is_one_for_all_rows,
    is_outer_product,
    is_own_length,
    is_repeated_for_batch,
    only_scales,
    varies_by_position,
    varies_over_scores,
)
from decay_audit.roles.words import Confidence, Layer, Role

UseMeaning = tuple[Role, Layer, Confidence]
"""The role and the layer that one use supports, and the confidence in them."""

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
_RECURRENT = frozenset({
    "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
})
_PLACEMENTS = frozenset({
    "cat", "stack", "where", "index_put", "masked_fill", "masked_scatter", "copy", "index_copy", "slice_scatter",
    "select_scatter", "scatter",
})
"""Operators that put a parameter next to data, or in the place of some data."""
_FUSED_ATTENTION = frozenset({
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math",
})
# fmt: on


def meaning_of(use: Use, parameter: Parameter) -> UseMeaning | None:
    """Return the role, the layer and the confidence that one use supports; None if it supports none."""
    if use.slot == "measured":
        return _distance(use, parameter)
    if use.slot == "summed":
        return _sum_of_products(use, parameter)
    if "learned input" in use.tags or use.slot in {"query", "key", "value"}:
        scales = use.operator in {"mul", "div"}  # what layers made of it may be a filter or a gain
        return _learned_input(
            use, parameter, "guess" if scales or count_wide_dimensions(parameter.shape) > 2 else "likely"
        )
    read = next((read for operators, read in _READERS if use.operator in operators), _pointwise)
    return read(use, parameter)


def _learned_input(use: Use, parameter: Parameter, confidence: Confidence) -> UseMeaning:
    """Return a token; or a scale, if the parameter only scales the learned input, like the gain of a norm on it.

    A product of parameters that meets another parameter is only a guess: it may be a factor of a kernel.
    """
    if "without data" in use.tags and WITH_PARAMETER & set(use.via):
        confidence = "guess"
    return ("scale", "other", "guess") if only_scales(use, parameter) else ("token", "other", confidence)


def _convolution(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.slot == "mixed":
        return "conv_weight", "conv", "guess"
    layer: Layer = "depthwise_conv" if "depthwise" in use.tags else "conv"
    of_square = "square" in use.tags  # a divisive norm pools squares by a convolution
    if use.slot == "bias":
        return "bias", layer, "guess" if of_square else "certain"
    if only_scales(use, parameter):
        return "scale", layer, "likely"
    return "conv_weight", layer, "guess" if of_square else "certain"


def _norm(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    layer = _NORM_LAYERS[use.operator]
    return ("norm_weight" if use.slot == "weight" else "norm_bias"), layer, "certain"


def _matrix_product(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.operator in {"addmm", "addmv", "baddbmm", "addbmm"} and use.slot == "self":
        return _summand(use, parameter) if count_wide_dimensions(parameter.shape) > 1 else ("bias", "linear", "certain")
    if "mask" in use.tags or ("softmax" in use.tags and compares_rows(use, parameter)):
        return "embedding", "embedding", "likely"  # a product with zeros and ones picks rows; a memory is averaged
    if only_scales(use, parameter):
        return "scale", "linear", "likely"
    picks_rows = {"embedding", "index"} & set(use.via) and count_wide_dimensions(parameter.shape) < 3
    table = "torch.nn.Embedding" in parameter.owner.types or picks_rows
    constant = "constant" in use.tags and use.operator != "addmm"
    if table or constant or "probabilities" in use.tags or is_repeated_for_batch(use, parameter):
        return "linear_weight", "linear", "guess"  # possibly a table: a soft lookup, or queries of an attention
    vector = len(use.shape) == 1  # a layer with one output, or a learned query
    if vector or ("without data" in use.tags and use.operator != "addmm"):  # the other factor is a parameter, too
        return "linear_weight", "linear", "likely"
    return "linear_weight", "linear", "certain"


def _recurrent(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return ("recurrent_weight" if use.slot == "weight" else "bias"), "recurrent", "certain"


def _lookup(use: Use, parameter: Parameter) -> UseMeaning | None:
    if "positions" in use.tags:
        return "position_embedding", "embedding", "likely"
    # Indexing by data picks words from a table, but also one expert's bias or matrix from a stack.
    if "embedding" not in use.operator and max(map(count_wide_dimensions, (parameter.shape, use.shape))) > 2:
        return "linear_weight", "linear", "guess"
    if "embedding" in use.operator:
        return "embedding", "embedding", "certain"
    return "embedding", "embedding", "likely" if "ids" in use.tags and not use.via else "guess"


def _attention(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return ("relative_position_bias", "attention", "likely") if use.slot.startswith("attn_") else None


def _distance(use: Use, parameter: Parameter) -> UseMeaning | None:
    """Read the centres to which distances are measured, or what scales them or the data."""
    if count_wide_dimensions(parameter.shape) < 2:
        return ("scale", "other", "guess") if only_scales(use, parameter) else None
    return "embedding", "embedding", "likely"


def _activation(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return "activation", "activation", "certain"


def _threshold(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    return "activation", "activation", "guess"  # where data is cut off


def _placement(use: Use, parameter: Parameter) -> UseMeaning | None:
    """Read a parameter that is put next to data, or in the place of some of it."""
    return _learned_input(use, parameter, "likely" if count_wide_dimensions(parameter.shape) else "guess")


def _gain(use: Use, parameter: Parameter) -> UseMeaning | None:
    is_gate = bool({"sigmoid", "tanh", "softplus", "softmax", "_softmax"} & set(use.via))
    on_normalized = use.slot == "before_norm" or "normalized" in use.tags or is_on_inverse(use)
    wide_count = count_wide_dimensions(parameter.shape)
    if {"exp", "neg"} <= set(use.via) and use.via.index("exp") < use.via.index("neg") and wide_count:
        return "state_space", "other", "likely"
    if (
        on_normalized
        and not is_gate
        and prod(use.shape) > 1
        and (wide_count == 1 or (wide_count and not is_outer_product(use)))
    ):
        return "norm_weight", "other_norm", "likely" if wide_count == 1 else "guess"
    if wide_count == 0 or prod(use.shape) == 1 or ("scores" in use.tags and not is_feature_vector(use)):
        return "scale", "other", "likely"
    divides = (use.operator, use.slot) == ("div", "other")
    if is_outer_product(use) and not divides:
        return _scaled_rows(use, wide_count)
    return ("scale", "other", "guess") if wide_count == 1 or divides or POSITIVE & set(use.via) else None


def _scaled_rows(use: Use, wide_count: int) -> UseMeaning:
    """Read a parameter whose rows, or whole kernels, are scaled by numbers that the data gives."""
    if "mask" in use.tags:
        return "token", "other", "likely"
    if wide_count > 2:
        return "conv_weight", "conv", "guess"  # a kernel that data modulates
    # A vector for each feature, or the frequencies of waves.
    return ("token" if wide_count > 1 else "scale"), "other", "guess"


def _sum_of_products(use: Use, parameter: Parameter) -> UseMeaning | None:  # noqa: ARG001
    """Read a factor whose products with data were summed along a dimension where it varies: a product of matrices."""
    if {"softmax", "_softmax", "sigmoid"} & set(use.via):
        return None  # weights of an average
    return "linear_weight", "linear", "likely"


def _summand(use: Use, parameter: Parameter) -> UseMeaning | None:
    wide_count = min(count_wide_dimensions(parameter.shape), count_wide_dimensions(use.shape))  # data may meet a slice
    if use.slot == "residual":
        return "layer_scale", "other", "likely" if wide_count == 1 else "guess"
    if use.slot == "scores":  # its product was added: a table of offsets, or a layer that computes a bias for pairs
        return "relative_position_bias", "attention", "guess"
    if "scores" in use.tags and wide_count and (is_feature_vector(use) or varies_over_scores(use)):
        return "relative_position_bias", "attention", "guess" if is_feature_vector(use) else "likely"
    if wide_count == 1 and ({"normalized", "scaled"} & set(use.tags) or is_on_inverse(use)):
        return "norm_bias", "other_norm", "likely"
    if only_scales(use, parameter):
        return "scale", "other", "guess"  # it scales something else that is added
    return _plain_summand(use, parameter, wide_count)


def _plain_summand(use: Use, parameter: Parameter, wide_count: int) -> UseMeaning:
    """Read what is added to features without tags: a bias if it is a vector for each row, else a table of positions."""
    if is_one_for_all_rows(use) or "after its factor" in use.tags or is_bias_of_stack(use, parameter):
        return "bias", "other", "likely"
    if wide_count <= 1:
        return "bias", "other", "likely" if "product" in use.tags and use.operator == "add" else "guess"
    # After a norm's gain it may be the norm's shift, per head. Rows that all meet one row of data are no positions, and
    # neither is what is added to a distance.
    other = {"scaled", "square", "statistic"} & set(use.tags) or is_outer_product(use)
    if other or not varies_by_position(use):
        return "bias", "other", "guess"
    return "position_embedding", "other", "likely"


def _pointwise(use: Use, parameter: Parameter) -> UseMeaning | None:
    if use.operator in _PLACEMENTS:
        return _placement(use, parameter)
    if use.operator in {"mul", "div"} or (use.operator.startswith("addc") and use.slot.startswith("tensor")):
        return _gain(use, parameter)
    if use.operator in {"sub", "rsub"} and min(map(count_wide_dimensions, (parameter.shape, use.shape))) > 1:
        return ("bias", "other", "guess") if is_outer_product(use) else None  # else a table of offsets
    if use.operator in {"add", "sub", "rsub", "addcmul", "addcdiv"}:
        return _distance(use, parameter) if is_own_length(use) else _summand(use, parameter)
    return None


_READERS: tuple[tuple[frozenset[str], Callable[[Use, Parameter], UseMeaning | None]], ...] = (
    (frozenset({"convolution", "_convolution", "deform_conv2d"}), _convolution),
    (frozenset(_NORM_LAYERS), _norm),
    (MATRIX_PRODUCTS, _matrix_product),
    (_RECURRENT, _recurrent),
    (frozenset({"embedding", "_embedding_bag", "index", "index_select", "gather"}), _lookup),
    (frozenset({"_cdist_forward", "_euclidean_dist", "cdist"}), _distance),
    (frozenset({"_prelu_kernel"}), _activation),
    (frozenset({"maximum", "minimum", "fmax", "fmin"}), _threshold),
    (_FUSED_ATTENTION, _attention),
)
"""The function that interprets a use, by its operator. All other operators are pointwise."""
