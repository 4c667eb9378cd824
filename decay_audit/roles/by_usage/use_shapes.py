"""Tests on the shapes, tags and steps of a use: whether a parameter only scales, or varies by position."""

from math import prod

from decay_audit.model.parameters import Parameter, Use

# fmt: off
MATRIX_PRODUCTS = frozenset({
    "mm", "bmm", "addmm", "addbmm", "baddbmm", "mv", "addmv", "dot", "vdot", "_trilinear", "_grouped_mm", "_scaled_mm",
    "_int_mm",
})
# fmt: on
POSITIVE = frozenset({"exp", "softplus", "sigmoid", "softmax", "_softmax"})
"""Functions whose results are positive: they give a spread from its logarithm, or a mask from its logits."""
CURVES = frozenset({"sin", "cos", "sinc", "erf", "log", "log1p", "expm1"})
"""Functions with which code computes a curve, such as a filter, from a few numbers."""
WITH_PARAMETER = frozenset({"mul of parameters", "div of parameters", "add of parameters"})
"""Steps in which two parameters of one shape become one tensor."""


def count_wide_dimensions(shape: tuple[int, ...]) -> int:
    """Count the dimensions with more than one element."""
    return sum(size > 1 for size in shape)


def only_scales(use: Use, parameter: Parameter) -> bool:
    """Whether the parameter only scales the tensor in the slot: the magnitude of weight normalization, a soft mask."""
    if POSITIVE & set(use.via) and WITH_PARAMETER & set(use.via):
        return True
    gathered = {"cat", "stack", "repeat", "repeat_interleave", "kron"} & set(use.via)
    multiplied = {"mul", "div", "diag_embed", "diagonal_scatter", "_weight_norm_interface"} & set(use.via) or any(
        "norm" in name for name in use.via
    )
    smaller = count_wide_dimensions(parameter.shape) < count_wide_dimensions(use.shape)
    return not gathered and smaller and (bool(multiplied) or _is_diagonal(use, parameter))


def _is_diagonal(use: Use, parameter: Parameter) -> bool:
    """Whether the parameter has one number for each row of a square matrix into which it was written."""
    square = len(use.shape) > 1 and use.shape[-1] == use.shape[-2] == prod(parameter.shape)
    return square and "index_put" in use.via


def is_repeated_for_batch(use: Use, parameter: Parameter) -> bool:
    """Whether each item of a batch is multiplied from the left with the same rows, as with learned queries."""
    return use.operator == "bmm" and use.slot == "self" and prod(use.shape) > prod(parameter.shape) and not use.via


def compares_rows(use: Use, parameter: Parameter) -> bool:
    """Whether attention averages the rows of the parameter, and another product compared data with these rows."""
    products = [other for other in parameter.uses or () if other.operator in MATRIX_PRODUCTS]
    return any("softmax" not in other.tags and other.shape[-2:] == use.shape[-2:][::-1] for other in products)


def is_on_inverse(use: Use) -> bool:
    """Whether the data is the reciprocal of a statistic, or its product with a gain: some norms scale that first."""
    return "statistic" in use.tags and ("inverse" in use.tags or (use.operator == "div" and use.slot == "self"))


def is_feature_vector(use: Use) -> bool:
    """Whether the parameter varies along the last dimension only: over features, not over heads or positions."""
    return count_wide_dimensions(use.shape) == 1 and use.shape[-1] > 1


def varies_over_scores(use: Use) -> bool:
    """Whether the parameter varies over both dimensions of the scores, or over the heads in front of them."""
    heads, scores = use.shape[:-2], use.shape[-2:]
    return count_wide_dimensions(heads) > 0 or count_wide_dimensions(scores) > 1


def is_one_for_all_rows(use: Use) -> bool:
    """Whether the parameter has one vector for each matrix product of a batch, which is added to all rows of it."""
    product = "product" in use.tags or use.operator in {"addmm", "baddbmm", "addbmm"}
    if not product or len(use.shape) < 3 or len(use.data_shape) < 2:
        return False
    return use.shape[-2] == 1 < use.data_shape[-2] and use.shape[-1] > 1


def is_bias_of_stack(use: Use, parameter: Parameter) -> bool:
    """Whether the parameter has one number for each output of a sibling that is a stack of matrices."""
    if "product" not in use.tags or count_wide_dimensions(parameter.shape) < 2:
        return False
    stacks = (shape for shape in parameter.owner.tensors.values() if count_wide_dimensions(shape) > 2)
    sizes = tuple(size for size in parameter.shape if size > 1)
    return any(
        sizes == tuple(size for index, size in enumerate(shape) if size > 1 and index != left_out)
        for shape in stacks
        for left_out in range(len(shape))
    )


def is_outer_product(use: Use) -> bool:
    """Whether the data has size 1 in a dimension where the parameter is larger: each row of the parameter is scaled."""
    return any(
        parameter_size > 1 and data_size == 1
        for parameter_size, data_size in zip(reversed(use.shape), reversed(use.data_shape), strict=False)
    )


def varies_by_position(use: Use) -> bool:
    """Whether the parameter varies along every dimension but the batch, like a table of positions."""
    missing = len(use.data_shape) - len(use.shape)
    padded_shape = (1,) * missing + use.shape
    repeated = {
        dimension
        for dimension, (size, data) in enumerate(zip(padded_shape, use.data_shape, strict=False))
        if size < data
    }
    return len(padded_shape) < 3 or (missing <= 1 and repeated <= {0})


def is_own_length(use: Use) -> bool:
    """Whether the tensor in the slot has the squared lengths of the parameter's rows."""
    steps = set(use.via)
    return bool({"pow", "square"} & steps and "sum" in steps) or bool({"linalg_vector_norm", "norm"} & steps)
