"""Tables of operators by plain name (`add` for `aten::add_.Tensor`): argument slots, and the tags that a result keeps.

Names are those of torch's own schemas (torch 2.6 to 2.13); `deform_conv2d` is torchvision's.
"""

# fmt: off
# The slots of the two factors of a matrix product; the other tensor arguments are added to the product.
MATRIX_SLOTS = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "addbmm": ("batch1", "batch2"),
    "baddbmm": ("batch1", "batch2"),
    "mv": ("self", "vec"),
    "addmv": ("mat", "vec"),
    "dot": ("self", "tensor"),
    "vdot": ("self", "other"),
    "_grouped_mm": ("self", "mat2"),
    "_scaled_mm": ("self", "mat2"),
    "_int_mm": ("self", "mat2"),
}
VECTOR_PRODUCTS = frozenset({"mv", "addmv", "dot", "vdot"})
# Operators that are a whole layer, with the slots of their input; the other tensor arguments are its parameters.
LAYER_INPUTS = {
    "convolution": ("input",),
    "_convolution": ("input",),
    "deform_conv2d": ("input", "offset", "mask"),
    "native_layer_norm": ("input",),
    "native_group_norm": ("input",),
    "native_batch_norm": ("input",),
    "_native_batch_norm_legit": ("input",),
    "_native_batch_norm_legit_no_training": ("input",),
    "_batch_norm_with_update": ("input",),
    "cudnn_batch_norm": ("input",),
    "miopen_batch_norm": ("input",),
    "_fused_rms_norm": ("input",),
    "rms_norm": ("input",),
    "_prelu_kernel": ("self",),
    "_trilinear": ("i1", "i3"),
    "lstm": ("input", "hx"),
    "gru": ("input", "hx"),
    "rnn_tanh": ("input", "hx"),
    "rnn_relu": ("input", "hx"),
    "lstm_cell": ("input", "hx"),
    "gru_cell": ("input", "hx"),
    "rnn_tanh_cell": ("input", "hx"),
    "rnn_relu_cell": ("input", "hx"),
}
BATCH_NORMS = frozenset(name for name in LAYER_INPUTS if "batch_norm" in name)
NORM_LAYERS = frozenset(name for name in LAYER_INPUTS if "norm" in name)
# Operators that look up rows of a table: the slots of the table and of the indices.
LOOKUPS = {
    "embedding": ("weight", "indices"),
    "_embedding_bag": ("weight", "indices"),
    "index": ("self", "indices"),
    "index_select": ("self", "index"),
    "gather": ("self", "index"),
}
# Only the shape of the argument counts; its values do not reach the result.
SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "new_empty_strided", "sym_size", "sym_numel",
})
# The result has the values of the argument: views, casts, copies, dropout.
KEEPS_VALUES = frozenset({
    "view", "_unsafe_view", "reshape", "_reshape_alias", "_reshape_copy", "t", "transpose", "permute", "expand",
    "unsqueeze", "squeeze", "flatten", "unflatten", "slice", "select", "narrow", "split", "split_with_sizes",
    "unsafe_split", "unsafe_split_with_sizes", "chunk", "unbind", "clone", "contiguous", "_to_copy", "to", "detach",
    "alias", "lift", "lift_fresh", "lift_fresh_copy", "as_strided", "diagonal", "unfold", "movedim", "swapaxes",
    "native_dropout", "dropout", "positive", "view_as_real", "view_as_complex", "_conj", "roll", "flip", "copy",
    "constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "resolve_conj", "resolve_neg", "view_copy",
    "expand_copy",
})
# KEEPS_X: the result has X (a tag, or the value id) if the arguments have it; `tags.py` adds conditions.
KEEPS_STATISTIC = frozenset({
    "add", "sub", "sqrt", "rsqrt", "reciprocal", "pow", "mean", "sum", "clamp", "clamp_min", "clamp_max", "maximum",
    "minimum", "mul", "div", "amax", "where", "exp", "log", "neg", "abs", "rsub", "_to_copy",
})
KEEPS_SCORES = frozenset({
    "add", "sub", "mul", "div", "masked_fill", "where", "clamp", "clamp_min", "clamp_max", "maximum", "tanh", "neg",
    "index_put",
})
KEEPS_IDS = frozenset({"add", "sub", "clamp", "where", "remainder", "index", "gather"})
KEEPS_PRODUCT = frozenset(["mul", "div", "index", "gather", "masked_fill"])
SOFTMAX = frozenset({"_softmax", "_safe_softmax", "softmax", "sigmoid", "_sparse_softmax"})
KEEPS_VALUE_ID = frozenset({"mul", "div", "sub", "clamp", "nan_to_num"})
KEEPS_SQUARE = frozenset({"add", "div", "mul"})
KEEPS_NORMALIZED = frozenset({"mul", "div", "add", "sub", "rsub", "addcmul"})
COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "isnan", "logical_not", "logical_and", "logical_or"})
KEEPS_MASK = frozenset({"sub", "rsub", "mul", "bitwise_not", "bitwise_and", "bitwise_or", "cat", "index"})
SUMS = frozenset({"mean", "sum", "nansum", "cumsum"})
STATISTICS = frozenset({"var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm", "linalg_norm"})
# Operators that make a square or a magnitude of each number.
MAGNITUDES = frozenset({"pow", "square", "abs"})
# Functions that make a gate of a parameter, which is then no plain gain.
GATES = frozenset({"sigmoid", "tanh", "softmax", "_softmax"})
# Operators that can apply a gain.
GAINS = frozenset({"mul", "div", "addcmul", "addcdiv"})
SCORE_BIAS_SLOTS = frozenset({"attn_mask", "attn_bias"})  # added to the scores in a fused attention
# Operators that can add a bias or a residual.
SUMMANDS = frozenset({"add", "sub", "rsub", "addcmul", "addcdiv"})
# fmt: on
