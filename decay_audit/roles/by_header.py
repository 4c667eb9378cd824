"""Evidence from the shapes of a tensor and of its siblings.

A checkpoint has no classes, so most of its evidence comes from here. For a live model, this evidence is used only for
tensors without other evidence.
"""

from msgspec.structs import replace

from decay_audit.roles.by_name import PLAIN, is_uncertain_gamma
from decay_audit.roles.conventions.classes import ACTIVATION_CLASS, CONV_CLASS, EMBEDDING_CLASS, LINEAR_CLASS
from decay_audit.roles.conventions.convention import first_meaning, stem
from decay_audit.roles.conventions.general import GENERAL_LEAVES
from decay_audit.roles.conventions.modules import ACTIVATION_MODULE, EMBEDDING_DICT, EMBEDDING_MODULE, NORM_MODULE
from decay_audit.roles.layers import conv_layer, linear_layer, norm_layer
from decay_audit.roles.tensor_context import TensorContext
from decay_audit.roles.words import Confidence, Evidence, EvidenceKind, Layer, Role

_RUNNING_STATISTICS = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_RECURRENT = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
_MULTIHEAD = frozenset({"in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"})


def evidence(tensor: TensorContext) -> tuple[Evidence, ...]:
    """Return the probable role of a tensor with this shape and these siblings; () if they do not show it."""
    if tensor.is_magnitude:
        return _evidence(tensor, "magnitude of a weight normalization", "scale", "other")
    if tensor.leaf.startswith(_RECURRENT) and (tensor.leaf.startswith("bias") or tensor.squeezed_ndim > 1):
        role: Role = "bias" if tensor.leaf.startswith("bias") else "recurrent_weight"
        return _evidence(tensor, f"called {tensor.leaf}", role, "recurrent")
    if tensor.leaf in _MULTIHEAD:
        role = "bias" if tensor.leaf.endswith("bias") else "linear_weight"
        return _evidence(tensor, f"called {tensor.leaf}", role, "attention")
    if tensor.leaf not in PLAIN:
        return _leaf_with_general_name(tensor)
    return _bias(tensor) if tensor.leaf == "bias" else _weight(tensor)


def _evidence(
    tensor: TensorContext, detail: str, role: Role, layer: Layer, confidence: Confidence = "likely"
) -> tuple[Evidence, ...]:
    kind: EvidenceKind = "pattern" if tensor.types else "header"
    return (Evidence(kind=kind, detail=detail, role=role, layer=layer, confidence=confidence),)


def _norm_layer(tensor: TensorContext, without_class: Layer = "layer_norm") -> Layer:
    """Return the kind of norm. If no class is known and no name tells it, it is `without_class`."""
    return norm_layer(tensor, "other_norm" if tensor.types else without_class)


def _leaf_with_general_name(tensor: TensorContext) -> tuple[Evidence, ...]:
    general = first_meaning(GENERAL_LEAVES, tensor.leaf, tensor.squeezed_ndim)
    if general is None:
        return _leaf_without_meaning(tensor)
    layer = linear_layer(tensor) if general.layer == "linear" else general.layer
    confidence: Confidence = "guess" if is_uncertain_gamma(tensor) else general.confidence
    return _evidence(tensor, f"{tensor.leaf}: {general.meaning}", general.role, layer, confidence)


def _leaf_without_meaning(tensor: TensorContext) -> tuple[Evidence, ...]:
    if tensor.numel == 1 and not tensor.lazy:
        return _evidence(tensor, "one element", "scale", "other", "guess")
    if not tensor.types and tensor.squeezed_ndim == 1 and stem(tensor.leaf) == "g" and len(tensor.tensors) == 1:
        return _evidence(
            tensor, "a vector called g, without siblings", "norm_weight", _norm_layer(tensor, "rms_norm"), "guess"
        )
    return ()


def _bias(tensor: TensorContext) -> tuple[Evidence, ...]:
    weight = tensor.tensors.get("weight")
    if _RUNNING_STATISTICS & tensor.tensors.keys():
        return _evidence(tensor, "next to running statistics", "norm_bias", norm_layer(tensor))
    if weight is None:
        return _evidence(tensor, "called bias, without a weight", "bias", "other")
    if ACTIVATION_CLASS.has(tensor.class_name) and tensor.numel == 1:
        return _evidence(tensor, f"one element in {tensor.class_name}", "bias", "activation")
    if weight == tensor.shape and len(weight) > 0 and not (tensor.squeezed_ndim > 1 and _is_in_embedding(tensor)):
        layer, confidence = _norm_layer(tensor), _affine_confidence(tensor)
        return _evidence(tensor, "its weight has the same shape", "norm_bias", layer, confidence)
    of_weight = _weight(replace(tensor, leaf="weight", shape=weight))
    layer = of_weight[0].layer if of_weight else "other"
    return _evidence(tensor, f"next to a weight of {len(weight)} dimensions", "bias", layer)


def _weight(tensor: TensorContext) -> tuple[Evidence, ...]:
    if _RUNNING_STATISTICS & tensor.tensors.keys():
        return _evidence(tensor, "next to running statistics", "norm_weight", norm_layer(tensor))
    if len(tensor.shape) <= 1:
        return _vector(tensor)
    if tensor.tensors.get("bias") == tensor.shape:
        if tensor.squeezed_ndim > 1 and _is_in_embedding(tensor):
            return _evidence(tensor, f"a vector for each entry in {tensor.module_name}", "embedding", "embedding")
        layer, confidence = _norm_layer(tensor), _affine_confidence(tensor)
        return _evidence(tensor, "its bias has the same shape", "norm_weight", layer, confidence)
    return _matrix(tensor) if len(tensor.shape) == 2 else _stack(tensor)


def _affine_confidence(tensor: TensorContext) -> Confidence:
    """Return the confidence that weight and bias of one shape are a norm's: two matrices may be something else."""
    return "likely" if tensor.squeezed_ndim <= 1 or NORM_MODULE.has(tensor.module_name) else "guess"


def _is_in_embedding(tensor: TensorContext) -> bool:
    """Whether the module has the name or the class of an embedding, so that its matrix is a table."""
    if LINEAR_CLASS.has(tensor.class_name):
        return False
    above = tensor.path[1] if len(tensor.path) > 1 else ""
    has_name = EMBEDDING_MODULE.has(tensor.module_name) or EMBEDDING_DICT.has(above)
    return EMBEDDING_CLASS.has(tensor.class_name) or has_name


def _vector(tensor: TensorContext) -> tuple[Evidence, ...]:
    if tensor.tensors.get("bias") == tensor.shape and tensor.numel > 1:
        return _evidence(tensor, "its bias has the same shape", "norm_weight", _norm_layer(tensor))
    in_norm = NORM_MODULE.has(tensor.module_name) and tensor.numel > 1
    if not in_norm and (ACTIVATION_MODULE.has(tensor.module_name) or ACTIVATION_CLASS.has(tensor.class_name)):
        return _evidence(tensor, f"a vector in {tensor.module_name}", "activation", "activation")
    if tensor.numel == 1:
        return _evidence(tensor, "one element", "scale", "other", "guess")
    if tensor.types and not NORM_MODULE.has(tensor.module_name):
        return _evidence(tensor, "a vector called weight", "scale", "other", "guess")
    if not NORM_MODULE.has(tensor.module_name):
        return ()  # a matrix may be saved flat
    return _evidence(
        tensor, "a vector called weight, without a bias", "norm_weight", _norm_layer(tensor, "rms_norm"), "guess"
    )


def _matrix(tensor: TensorContext) -> tuple[Evidence, ...]:
    if "bias" not in tensor.tensors and _is_in_embedding(tensor):
        return _evidence(tensor, f"a matrix without a bias in {tensor.module_name}", "embedding", "embedding")
    if CONV_CLASS.has(tensor.class_name):
        return _evidence(tensor, f"class {tensor.class_name}", "conv_weight", "conv")
    return _evidence(tensor, "called weight, with 2 dimensions", "linear_weight", linear_layer(tensor))


def _stack(tensor: TensorContext) -> tuple[Evidence, ...]:
    if len(tensor.shape) == 3 and _is_in_experts(tensor):
        return _evidence(tensor, "a stack of matrices in experts", "linear_weight", "linear")
    if tensor.class_name and not CONV_CLASS.has(tensor.class_name):
        return _evidence(tensor, "called weight, with 3 or more dimensions", "linear_weight", "linear", "guess")
    return _evidence(tensor, f"called weight, with {len(tensor.shape)} dimensions", "conv_weight", conv_layer(tensor))


def _is_in_experts(tensor: TensorContext) -> bool:
    return any("expert" in word.lower() or "moe" in word.lower() for word in (*tensor.path[:3], *tensor.classes[:2]))
