"""Evidence from the names of the tensor, its module and its class. It is never certain.

A name counts only if the shape fits it: a norm's gain must be a vector, or have the shape of its bias.
"""

from msgspec.structs import replace

from decay_audit.roles.conventions.adapters import ADAPTER
from decay_audit.roles.conventions.affines import GAIN_AND_SHIFT, NORM_GAIN, NORM_SHIFT
from decay_audit.roles.conventions.classes import (
    ACTIVATION_CLASS,
    AFFINE_CLASS,
    BLOCK_CLASS,
    FOURIER_CLASS,
    LAYER_SCALE_CLASS,
    LINEAR_CLASS,
    NORM_CLASS,
)
from decay_audit.roles.conventions.convention import first_meaning, stem
from decay_audit.roles.conventions.general import GENERAL_LEAVES
from decay_audit.roles.conventions.modules import (
    ACTIVATION_MODULE,
    LAYER_SCALE_MODULE,
    MODULES,
    NORM_MODULE,
    PROMPT,
    TABLE_LEAF,
)
from decay_audit.roles.conventions.state_spaces import (
    DISCRETIZATION,
    STATE_SPACE_CLASS,
    SYSTEM,
    TIME_MIX,
    TIME_MIX_FACTOR,
    TOKEN_SHIFT,
)
from decay_audit.roles.conventions.tensors import LEAVES, QUANTIZED_LEAVES
from decay_audit.roles.layers import linear_layer, norm_layer
from decay_audit.roles.pairs import affine_half, bias_of, weight_of
from decay_audit.roles.tensor_context import TensorContext
from decay_audit.roles.words import Confidence, Evidence, Layer, Role

PLAIN = frozenset({"weight", "bias"})
"""Names without a meaning of their own: the module's name and class tell the role."""


_PAIR = "a gain and a shift of one shape"
_PAIRS_IN_ACTIVATION = frozenset({PLAIN, frozenset({"gamma", "beta"})})
"""Names of a gain and a shift that belong to a norm inside an activation, and not to the activation itself."""


def evidence(tensor: TensorContext) -> tuple[Evidence, ...]:
    """Return the evidence of the first naming convention that fits; () if none fits."""
    readers = (
        _adapter,
        _quantized,
        _state_space,
        _activation,
        _norm,
        _layer_scale,
        _bias_of_weight,
        _table,
        _named_leaf,
        _weight_of_bias,
        _prompt,
        _part_of_weight,
    )
    first = next(filter(None, (reader(tensor) for reader in readers)), None)
    return () if first is None else (first,)


def is_uncertain_gamma(tensor: TensorContext) -> bool:
    """Whether a tensor is a `gamma` that may belong to a norm or to a residual branch.

    It may if no class is known and the module is an item of a list in a list (`stages.0.1`): it may then be a block
    whose gamma scales its residual branch, as in ConvNeXt.
    """
    return tensor.nested and not tensor.types and stem(tensor.leaf) == "gamma"


def _likely(detail: str, role: Role, layer: Layer) -> Evidence:
    return Evidence(kind="pattern", detail=detail, role=role, layer=layer, confidence="likely")


def _adapter(tensor: TensorContext) -> Evidence | None:
    if "bias" in tensor.leaf:
        return None
    if tensor.in_adapter:
        return _likely("beside the base layer that it adapts", "adapter_weight", linear_layer(tensor))
    name = next((word for word in (tensor.leaf, *tensor.path) if ADAPTER.has(word)), None)
    return _likely(f"{name}: of an adapter", "adapter_weight", linear_layer(tensor)) if name else None


def _quantized(tensor: TensorContext) -> Evidence | None:
    """Read the packed integers of a quantized weight, or the scales beside them."""
    row = first_meaning(QUANTIZED_LEAVES, tensor.leaf, tensor.squeezed_ndim) if tensor.quantized else None
    return None if row is None else _likely(f"{tensor.leaf}: {row.meaning}", row.role, row.layer)


def _activation(tensor: TensorContext) -> Evidence | None:
    """Read a slope of an activation. A gain and a shift of one shape are a norm's, whatever the class is called."""
    if tensor.leaf == "bias" or tensor.squeezed_ndim > 1 or _in_affine_pair(tensor, _PAIRS_IN_ACTIVATION):
        return None
    in_norm = NORM_CLASS.has(tensor.class_name) or (not tensor.types and NORM_MODULE.has(tensor.module_name))
    if in_norm and tensor.numel > 1:
        return None
    if ACTIVATION_CLASS.has(tensor.class_name):
        return _likely(f"class {tensor.class_name}, a vector", "activation", "activation")
    if not tensor.types and ACTIVATION_MODULE.has(tensor.module_name):
        return _likely(f"module {tensor.module_name}, a vector", "activation", "activation")
    return None


def _in_affine_pair(tensor: TensorContext, pairs: frozenset[frozenset[str]]) -> bool:
    """Whether the tensor and a sibling of the same shape, with more than one element, have the names of a pair."""
    own_stem = stem(tensor.leaf)
    possible_pairs = [pair for pair in pairs if own_stem in pair]
    if not possible_pairs or tensor.numel < 2:
        return False
    same_shape = {stem(name) for name, shape in tensor.tensors.items() if shape == tensor.shape}
    return any(pair <= same_shape for pair in possible_pairs)


def _norm(tensor: TensorContext) -> Evidence | None:
    """Read a gain or a shift of a norm: by its class, by its module's name without a class, or as half of a pair."""
    if _mixes_channels(tensor):
        return _likely("a gain that mixes channels, beside its shift", "norm_weight", norm_layer(tensor))
    detail = _norm_reason(tensor) if _has_affine_shape(tensor) else None
    if detail is None:
        return None
    if stem(tensor.leaf) == "tau":  # the threshold of a thresholded linear unit that is built into the norm
        return _likely(f"{detail}; threshold tau", "activation", norm_layer(tensor))
    half = affine_half(tensor) if NORM_CLASS.has(tensor.class_name) else None
    # In a checkpoint, `a` and `b` may also be the slope and the shift of an activation.
    is_one_letter = detail == _PAIR and tensor.leaf in {"a", "b", "g"} and "gamma" not in tensor.tensors
    confidence: Confidence = "guess" if is_one_letter and not tensor.types else "likely"
    if NORM_SHIFT.has(tensor.leaf) or half == "shift":
        return _of_norm(tensor, f"{detail}, named as a shift", "norm_bias", confidence)
    if NORM_GAIN.has(tensor.leaf) or half == "gain":
        return _of_norm(tensor, f"{detail}, named as a gain", "norm_weight", confidence)
    return None


def _of_norm(tensor: TensorContext, detail: str, role: Role, confidence: Confidence) -> Evidence:
    return Evidence(kind="pattern", detail=detail, role=role, layer=norm_layer(tensor), confidence=confidence)


def _norm_reason(tensor: TensorContext) -> str | None:
    """Say why the module is a norm; None if it is not."""
    if NORM_CLASS.has(tensor.class_name) or (AFFINE_CLASS.has(tensor.class_name) and tensor.numel > 1):
        return f"class {tensor.class_name}"
    may_be_norm = tensor.numel > 1 or tensor.tensors.keys() >= PLAIN
    if not tensor.types and may_be_norm and NORM_MODULE.has(tensor.module_name):
        return f"module {tensor.module_name}"
    is_split = len(tensor.tensors.get("v", ())) > len(tensor.shape)  # length, direction and bias: weight normalization
    if _in_affine_pair(tensor, GAIN_AND_SHIFT) and not BLOCK_CLASS.has(tensor.class_name) and not is_split:
        return _PAIR
    if stem(tensor.leaf) == "beta" and tensor.tensors.get("gamma") == (tensor.numel, tensor.numel):
        return "a shift beside a gain that mixes channels"
    return None


def _mixes_channels(tensor: TensorContext) -> bool:
    """Whether the tensor is the matrix of a divisive normalization, which scales each channel by all others."""
    channels = tensor.shape[0] if tensor.shape else 0
    square = channels > 1 and tensor.shape == (channels, channels)
    return square and stem(tensor.leaf) == "gamma" and tensor.tensors.get("beta") == (channels,)


def _has_affine_shape(tensor: TensorContext) -> bool:
    """Whether the tensor is a vector, or has the shape of a sibling. Weight and bias must have the same shape.

    The gain of a norm of complex numbers is a stack: a matrix of two by two for each channel.
    """
    weight, bias = tensor.tensors.get("weight"), tensor.tensors.get("bias")
    if weight is not None and bias is not None and weight != bias:
        return len(bias) > 1 and weight[1:] == bias and NORM_CLASS.has(tensor.class_name)
    return tensor.squeezed_ndim <= 1 or any(
        shape == tensor.shape for name, shape in tensor.tensors.items() if name != tensor.leaf
    )


def _layer_scale(tensor: TensorContext) -> Evidence | None:
    if tensor.squeezed_ndim > 1 or "bias" in tensor.leaf or len(tensor.tensors) > 1:
        return None
    if LAYER_SCALE_CLASS.has(tensor.class_name):
        return _likely(f"class {tensor.class_name}, a vector", "layer_scale", "other")
    if LAYER_SCALE_MODULE.has(tensor.module_name):
        return _likely(f"module {tensor.module_name}, a vector", "layer_scale", "other")
    return None


def _state_space(tensor: TensorContext) -> Evidence | None:
    """Read a tensor of a state space or of RWKV's time mixing, by its siblings or by the class of its module."""
    may_be_factor = tensor.squeezed_ndim > 1 and TIME_MIX_FACTOR.has(tensor.leaf)
    if may_be_factor and any(map(TOKEN_SHIFT.has, tensor.tensors)):
        return _likely(f"{tensor.leaf}: a factor of a matrix, beside a token shift", "linear_weight", "linear")
    reason = _time_mixing_reason(tensor) or _state_space_reason(tensor)
    return _likely(f"{tensor.leaf}: {reason}", "state_space", "other") if reason else None


def _time_mixing_reason(tensor: TensorContext) -> str | None:
    if TOKEN_SHIFT.has(tensor.leaf):
        return "of a token shift" if tensor.squeezed_ndim <= 1 else None
    is_beside_shift = TIME_MIX.has(tensor.leaf) and any(map(TOKEN_SHIFT.has, tensor.tensors))
    return "beside a token shift" if is_beside_shift else None


def _state_space_reason(tensor: TensorContext) -> str | None:
    is_system, discretizes = SYSTEM.has(tensor.leaf), DISCRETIZATION.has(tensor.leaf)
    if not is_system and not discretizes:
        return None
    others = tensor.tensors.keys() - {tensor.leaf}
    has_discretization = any(map(DISCRETIZATION.has, others))
    if has_discretization and (is_system or any(map(SYSTEM.has, others))):
        return "of a state space, by the eigenvalues or step sizes beside it"
    if STATE_SPACE_CLASS.has(tensor.class_name):
        return f"in class {tensor.class_name}"
    letters = tensor.tensors.keys() & {"A", "B", "C", "D"}
    if (discretizes and letters) or {"A", "D"} <= letters or len(letters) > 2:  # A and B alone are any two factors
        return "of a state space"
    return None


def _bias_of_weight(tensor: TensorContext) -> Evidence | None:
    weight = None if tensor.leaf in PLAIN else weight_of(tensor)
    return _likely(f"{tensor.leaf}: the bias of {weight}", "bias", linear_layer(tensor)) if weight else None


def _weight_of_bias(tensor: TensorContext) -> Evidence | None:
    bias = None if tensor.leaf in PLAIN or len(tensor.shape) > 3 else bias_of(tensor)
    return _likely(f"{tensor.leaf}: the weight of {bias}", "linear_weight", linear_layer(tensor)) if bias else None


def _table(tensor: TensorContext) -> Evidence | None:
    """Read a table that is called `weight` or similar, without a bias: the module's name or class tells its role."""
    if tensor.squeezed_ndim < 1 or "bias" in tensor.tensors or not TABLE_LEAF.has(tensor.leaf):
        return None
    if LINEAR_CLASS.has(tensor.class_name) and not tensor.types[0].startswith("torch.nn."):
        return None
    if FOURIER_CLASS.has(tensor.class_name):
        return _likely(f"class {tensor.class_name}", "position_embedding", "embedding")
    vector = tensor.squeezed_ndim < 2 and len(tensor.shape) < 2
    for kind, name in (("module", tensor.module_name), ("class", tensor.class_name)):
        row = first_meaning(MODULES, name, tensor.squeezed_ndim)
        if row is not None and (row.role == "token" or not vector):
            return _likely(f"{kind} {name}: {row.meaning}", row.role, "other" if vector else "embedding")
    return None


def _named_leaf(tensor: TensorContext) -> Evidence | None:
    row = None if tensor.leaf in PLAIN else first_meaning(LEAVES, tensor.leaf, tensor.squeezed_ndim)
    if row is None:
        return None
    # two layers of the table are general words: the module says which linear layer or norm it is
    layers = {"linear": linear_layer, "other_norm": norm_layer}
    layer = layers[row.layer](tensor) if row.layer in layers else row.layer
    evidence_of_name = _likely(f"{tensor.leaf}: {row.meaning}", row.role, layer)
    return replace(evidence_of_name, confidence="guess") if is_uncertain_gamma(tensor) else evidence_of_name


def _prompt(tensor: TensorContext) -> Evidence | None:
    """Read a prompt: a tensor of a prompt learner that is not called a gain, a bias or a matrix."""
    general = first_meaning(GENERAL_LEAVES, tensor.leaf, tensor.squeezed_ndim)
    if tensor.leaf in PLAIN or tensor.squeezed_ndim < 1 or (general and general.role not in {"token", "embedding"}):
        return None
    name = next((name for name in (tensor.module_name, tensor.class_name) if PROMPT.has(name)), None)
    return _likely(f"{tensor.leaf} in {name}: a learned prompt", "token", "other") if name else None


def _part_of_weight(tensor: TensorContext) -> Evidence | None:
    """Read a factor of a matrix: a factorized matrix is a module that is called `weight`."""
    if "weight" not in tensor.path[:2] or tensor.squeezed_ndim < 2:
        return None
    return _likely(f"{tensor.leaf} in weight: a part of a matrix", "linear_weight", linear_layer(tensor))
