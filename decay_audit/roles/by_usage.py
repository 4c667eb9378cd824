"""Evidence from use: a Parameter whose forward pass was traced in, what the operators that it met say out.

Use outranks class and name, because it is what the parameter does and not what it is called. It is not the last word
in these cases, which the confidence of the evidence and `classify.FINER` express:

- A slot that only one kind of tensor fits (a convolution's kernel, a norm's gain, a lookup table) is certain, also
  where the kernel is applied to a constant grid. A pointwise step is likely at most: many things are added.
- A matrix product does not make a matrix of a table: with ones and zeros it picks rows, with coordinates it makes
  positions, with all rows of a torch.nn.Embedding it is a soft lookup. Name and class decide there; a product that
  has a bias of its own is a layer's.
- A lookup cannot tell words from positions or learned queries, a product cannot tell an adapter from a linear layer:
  the name picks the finer kind.
- A gain or shift that meets data which was not just normalized may be a residual scale, a skip weight, a gate: that
  is a guess, and class and name decide.
- A learned tensor that goes through a layer like an input does (a query, a prompt) is a token only if nothing calls
  it a table.
"""

from collections.abc import Callable
from math import prod

from decay_audit.model.parameters import Parameter, Use
from decay_audit.roles.words import Confidence, Evidence, Layer, Role

Meaning = tuple[Role, Layer, Confidence]

_RANK: dict[Confidence, int] = {"certain": 0, "likely": 1, "guess": 2}
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
_MATRIX = frozenset({"mm", "bmm", "addmm", "addbmm", "baddbmm", "mv", "addmv", "dot", "vdot", "_trilinear",
                     "_grouped_mm", "_scaled_mm", "_int_mm"})  # fmt: skip
_RECURRENT = frozenset(
    {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
)
_PLACED = frozenset({"cat", "stack", "where", "index_put", "masked_fill", "masked_scatter", "copy", "index_copy",
                     "slice_scatter", "select_scatter", "scatter"})  # fmt: skip


def evidence(parameter: Parameter) -> tuple[Evidence, ...]:
    """Say what a traced forward pass shows of a parameter, strongest first; nothing if it was not traced or used."""
    uses = parameter.uses or ()
    # A product that becomes a kernel, or joins attention scores, may be of a stack of kernels or of a table.
    scored = any(use.slot == "scores" for use in uses)
    beyond = scored or any(use.slot == "mixed" for use in uses)
    learned = any(use.tags[:1] == ("input",) for use in uses)
    # Rows that data picks are entries; a product with all of them measures how near each entry is.
    looked_up = any("by data" in use.tags and not use.via for use in uses)
    found: dict[Role, Evidence] = {}
    for use in uses:
        meaning = _meaning(use, parameter)
        if meaning is None:
            continue
        role, layer, confidence = meaning
        # A learned input is also added to what layers make of it: a residual, and not positions.
        layered = use.operator == "addmm"  # with a bias of its own it is a layer, whatever is made of its product
        doubtful = {
            "linear_weight": (beyond or looked_up) and not layered,
            "position_embedding": learned,
            "token": scored,
        }
        if doubtful.get(role):
            confidence = "guess"
        if role not in found or _RANK[confidence] < _RANK[found[role].confidence]:
            found[role] = Evidence(kind="usage", detail=detail(use), role=role, layer=layer, confidence=confidence)
    return tuple(sorted(found.values(), key=lambda one: (_RANK[one.confidence], _ORDER.get(one.role, 9))))


_ORDER: dict[Role, int] = {"embedding": 0, "conv_weight": 0, "position_embedding": 1, "relative_position_bias": 1}
"""Of equal evidence, a table also used as a matrix (a tied head) is a table first."""


def detail(use: Use) -> str:
    """Write a use as `operator.slot`, with what tells it apart."""
    way = f" via {', '.join(use.via)}" if use.via else ""
    marks = f" ({', '.join(use.tags)})" if use.tags else ""
    return f"{use.operator}.{use.slot}{marks}{way}"


def _wide(shape: tuple[int, ...]) -> int:
    return sum(size > 1 for size in shape)


def _factor(use: Use, parameter: Parameter) -> bool:
    """Whether the parameter only scales the tensor in the slot, as a split-off magnitude does."""
    gathered = {"cat", "stack", "repeat", "repeat_interleave", "kron"} & set(use.via)
    scaled = {"mul", "div", "_weight_norm_interface"} & set(use.via) or any("norm" in step for step in use.via)
    return not gathered and bool(scaled) and _wide(parameter.shape) < _wide(use.shape)


def _meaning(use: Use, parameter: Parameter) -> Meaning | None:
    if use.tags[:1] == ("input",) or use.slot in {"query", "key", "value"}:
        return _learned(use, parameter, "guess" if _wide(parameter.shape) > 2 else "likely")
    reader = next((read for names, read in _READERS if use.operator in names), _pointwise)
    return reader(use, parameter)


def _learned(use: Use, parameter: Parameter, confidence: Confidence) -> Meaning:
    """A learned input, or only what scales one: the gain of a norm that learned inputs go through."""
    return ("scale", "other", "guess") if _factor(use, parameter) else ("token", "other", confidence)


def _convolution(use: Use, parameter: Parameter) -> Meaning | None:
    if use.slot == "mixed":
        return "conv_weight", "conv", "guess"
    layer: Layer = "depthwise_conv" if "depthwise" in use.tags else "conv"
    if use.slot == "bias":
        return "bias", layer, "certain"
    if _factor(use, parameter):
        return "scale", layer, "likely"
    return "conv_weight", layer, "certain"


def _norm(use: Use, parameter: Parameter) -> Meaning | None:  # noqa: ARG001
    layer = _NORM_LAYERS[use.operator]
    return ("norm_weight" if use.slot == "weight" else "norm_bias"), layer, "certain"


def _matrix(use: Use, parameter: Parameter) -> Meaning | None:
    if use.operator in {"addmm", "addmv", "baddbmm", "addbmm"} and use.slot == "self":
        return _summand(use, parameter) if _wide(parameter.shape) > 1 else ("bias", "linear", "certain")
    if "mask" in use.tags:
        return "embedding", "embedding", "likely"  # a product with ones and zeros picks rows
    if _factor(use, parameter):
        return "scale", "linear", "likely"
    table = "torch.nn.Embedding" in parameter.owner.types or {"embedding", "index"} & set(use.via)
    constant = "constant" in use.tags and use.operator != "addmm"
    if table or constant or "probabilities" in use.tags:
        return "linear_weight", "linear", "guess"  # a table that meets data in a product, or a soft lookup in one
    return "linear_weight", "linear", "certain"


def _recurrent(use: Use, parameter: Parameter) -> Meaning | None:  # noqa: ARG001
    return ("recurrent_weight" if use.slot == "weight" else "bias"), "recurrent", "certain"


def _lookup(use: Use, parameter: Parameter) -> Meaning | None:  # noqa: ARG001
    if "positions" in use.tags:
        return "position_embedding", "embedding", "likely"
    # Indexing by data picks words from a table, and an expert's bias from a stack of them.
    return "embedding", "embedding", "certain" if "embedding" in use.operator else "guess"


def _attention(use: Use, parameter: Parameter) -> Meaning | None:  # noqa: ARG001
    return ("relative_position_bias", "attention", "likely") if use.slot.startswith("attn_") else None


def _activation(use: Use, parameter: Parameter) -> Meaning | None:  # noqa: ARG001
    return "activation", "activation", "certain"


def _placed(use: Use, parameter: Parameter) -> Meaning | None:
    return _learned(use, parameter, "likely" if parameter.shape else "guess")


def _gain(use: Use, parameter: Parameter) -> Meaning | None:
    squashed = bool({"sigmoid", "tanh", "softplus", "softmax", "_softmax"} & set(use.via))  # a gate, not a norm's gain
    normal = not squashed and (use.slot == "normalized" or bool({"normal", "spread"} & set(use.tags)))
    wide = _wide(parameter.shape)
    if {"exp", "neg"} <= set(use.via) and use.via.index("exp") < use.via.index("neg") and wide:
        return "state_space", "other", "likely"
    if normal and wide == 1 and prod(use.shape) > 1:
        return "norm_weight", "other_norm", "likely"
    if wide == 0 or prod(use.shape) == 1 or ("scores" in use.tags and not _of_features(use)):
        return "scale", "other", "likely"
    if _outer(use):
        return "token", "other", "likely" if "mask" in use.tags else "guess"
    return ("scale", "other", "guess") if wide == 1 else None


def _of_features(use: Use) -> bool:
    """Whether it is a vector along the last dimension: of features, and not of heads or places, whatever was mixed."""
    return _wide(use.shape) == 1 and use.shape[-1] > 1


def _outer(use: Use) -> bool:
    """Whether the data is one wide where the parameter is not: it picks or weighs places for all of the parameter."""
    return any(own > 1 and met == 1 for own, met in zip(reversed(use.shape), reversed(use.data_shape), strict=False))


def _summand(use: Use, parameter: Parameter) -> Meaning | None:
    wide = _wide(parameter.shape)
    if use.slot == "residual":
        return "layer_scale", "other", "likely" if wide == 1 else "guess"
    if use.slot == "scores":  # its product was added: entries for offsets, or a layer that makes a bias of pairs
        return "relative_position_bias", "attention", "guess"
    if "scores" in use.tags and wide:
        return "relative_position_bias", "attention", "guess" if _of_features(use) else "likely"
    if {"normal", "scaled", "spread"} & set(use.tags) and wide == 1:
        return "norm_bias", "other_norm", "likely"
    if _factor(use, parameter):
        return "scale", "other", "guess"  # it says how much of something else is added
    return _plain_summand(use, wide)


def _plain_summand(use: Use, wide: int) -> Meaning:
    """What is added to features that nothing marks: a bias where it is one wide, else a table of positions."""
    if wide <= 1:
        return "bias", "other", "likely" if "product" in use.tags and use.operator == "add" else "guess"
    shift = "scaled" in use.tags  # behind a norm's gain it may be its shift, for each head
    return "position_embedding", "other", "likely" if _along(use) and not shift else "guess"


def _along(use: Use) -> bool:
    """Whether the parameter differs in every dimension but the batch, as a table of positions does."""
    missing = len(use.data_shape) - len(use.shape)
    own = (1,) * missing + use.shape
    repeated = [place for place, (size, met) in enumerate(zip(own, use.data_shape, strict=False)) if size < met]
    return len(own) < 3 or (missing <= 1 and set(repeated) <= {0})


def _pointwise(use: Use, parameter: Parameter) -> Meaning | None:
    if use.operator in _PLACED:
        return _placed(use, parameter)
    if use.operator in {"mul", "div"} or (use.operator.startswith("addc") and use.slot.startswith("tensor")):
        return _gain(use, parameter)
    if use.operator in {"add", "sub", "rsub", "addcmul", "addcdiv"}:
        return _summand(use, parameter)
    return None


_READERS: tuple[tuple[frozenset[str], Callable[[Use, Parameter], Meaning | None]], ...] = (
    (frozenset({"convolution", "_convolution", "deform_conv2d"}), _convolution),
    (frozenset(_NORM_LAYERS), _norm),
    (_MATRIX, _matrix),
    (_RECURRENT, _recurrent),
    (frozenset({"embedding", "_embedding_bag", "index", "index_select", "gather"}), _lookup),
    (frozenset({"_prelu_kernel"}), _activation),
    (
        frozenset(
            {
                "_scaled_dot_product_flash_attention_for_cpu",
                "_scaled_dot_product_efficient_attention",
                "_scaled_dot_product_fused_attention_overrideable",
                "_scaled_dot_product_attention_math",
            }
        ),
        _attention,
    ),
)
