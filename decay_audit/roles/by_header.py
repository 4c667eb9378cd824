"""Evidence from shapes and siblings: a Subject in, what they make likely out.

All that a checkpoint's header can say; for modules it is asked last, about tensors that nothing else explains.
"""

from msgspec.structs import replace

from decay_audit.roles.by_name import PLAIN, doubtful, first
from decay_audit.roles.conventions import (
    ACTIVATION_CLASS,
    ACTIVATION_MODULE,
    CONV_CLASS,
    EMBEDDING_CLASS,
    EMBEDDING_DICT,
    EMBEDDING_MODULE,
    GENERAL_LEAVES,
    NORM_MODULE,
    stem,
)
from decay_audit.roles.layers import conv_layer, linear_layer, norm_layer
from decay_audit.roles.subject import Subject
from decay_audit.roles.words import Confidence, Evidence, EvidenceKind, Layer, Role

_RUNNING = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_RECURRENT = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
_MULTIHEAD = frozenset({"in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"})


def evidence(subject: Subject) -> tuple[Evidence, ...]:
    """Say what a tensor of this shape, between these siblings, is; nothing, if they do not tell."""
    if subject.magnitude:
        return _say(subject, "magnitude of a weight normalization", "scale", "other")
    if subject.leaf.startswith(_RECURRENT):
        role: Role = "bias" if subject.leaf.startswith("bias") else "recurrent_weight"
        return _say(subject, f"called {subject.leaf}", role, "recurrent")
    if subject.leaf in _MULTIHEAD:
        role = "bias" if subject.leaf.endswith("bias") else "linear_weight"
        return _say(subject, f"called {subject.leaf}", role, "attention")
    if subject.leaf not in PLAIN:
        return _of_leaf(subject)
    return _of_bias(subject) if subject.leaf == "bias" else _of_weight(subject)


def _say(
    subject: Subject, detail: str, role: Role, layer: Layer, confidence: Confidence = "likely"
) -> tuple[Evidence, ...]:
    kind: EvidenceKind = "pattern" if subject.types else "header"
    return (Evidence(kind=kind, detail=detail, role=role, layer=layer, confidence=confidence),)


def _norm_layer(subject: Subject, unnamed: Layer = "layer_norm") -> Layer:
    """The commonest norm of such a shape, where no class could say otherwise."""
    return norm_layer(subject, "other_norm" if subject.types else unnamed)


def _of_leaf(subject: Subject) -> tuple[Evidence, ...]:
    found = first(GENERAL_LEAVES, subject.leaf, subject)
    if found is None:
        return _of_unknown(subject)
    layer = linear_layer(subject) if found.layer == "linear" else found.layer
    sure: Confidence = "guess" if doubtful(subject) else "likely"
    return _say(subject, f"{subject.leaf}: {found.says}", found.role, layer, sure)


def _of_unknown(subject: Subject) -> tuple[Evidence, ...]:
    if subject.numel == 1 and not subject.lazy:
        return _say(subject, "one number", "scale", "other", "guess")
    if not subject.types and subject.wide == 1 and stem(subject.leaf) == "g" and len(subject.tensors) == 1:
        return _say(subject, "a vector called g, alone", "norm_weight", _norm_layer(subject, "rms_norm"), "guess")
    return ()


def _of_bias(subject: Subject) -> tuple[Evidence, ...]:
    weight = subject.tensors.get("weight")
    if _RUNNING & subject.tensors.keys():
        return _say(subject, "beside running statistics", "norm_bias", norm_layer(subject))
    if weight is None:
        return _say(subject, "called bias, and no weight beside it", "bias", "other")
    if ACTIVATION_CLASS.search(subject.class_name) and subject.numel == 1:
        return _say(subject, f"a number in {subject.class_name}", "bias", "activation")
    if weight == subject.shape and len(weight) > 0 and not (subject.wide > 1 and _of_entries(subject)):
        return _say(subject, "a weight of its shape beside it", "norm_bias", _norm_layer(subject), _sure(subject))
    beside = _of_weight(replace(subject, leaf="weight", shape=weight))
    return _say(subject, f"beside a weight of {len(weight)} dimensions", "bias", beside[0].layer)


def _of_weight(subject: Subject) -> tuple[Evidence, ...]:
    if _RUNNING & subject.tensors.keys():
        return _say(subject, "beside running statistics", "norm_weight", norm_layer(subject))
    if len(subject.shape) <= 1:
        return _of_vector(subject)
    if subject.tensors.get("bias") == subject.shape:
        if subject.wide > 1 and _of_entries(subject):
            return _say(subject, f"a vector for each entry in {subject.name}", "embedding", "embedding")
        return _say(subject, "a bias of its shape beside it", "norm_weight", _norm_layer(subject), _sure(subject))
    return _of_matrix(subject) if len(subject.shape) == 2 else _of_stack(subject)


def _sure(subject: Subject) -> Confidence:
    """How sure a gain and a shift of one shape are: as matrices they may scale features one by one as well."""
    return "likely" if subject.wide <= 1 or NORM_MODULE.search(stem(subject.name)) else "guess"


def _of_entries(subject: Subject) -> bool:
    """Whether its module is called an embedding: a matrix is a table then, and no affine with a bias of its shape."""
    above = stem(subject.path[1]) if len(subject.path) > 1 else ""
    named = EMBEDDING_MODULE.search(stem(subject.name)) or EMBEDDING_DICT.search(above)
    return bool(EMBEDDING_CLASS.search(subject.class_name) or named)


def _of_vector(subject: Subject) -> tuple[Evidence, ...]:
    if subject.tensors.get("bias") == subject.shape and subject.numel > 1:
        return _say(subject, "a bias of its shape beside it", "norm_weight", _norm_layer(subject))
    if ACTIVATION_MODULE.search(stem(subject.name)) or ACTIVATION_CLASS.search(subject.class_name):
        return _say(subject, f"a vector in {subject.name}", "activation", "activation")
    if subject.numel == 1:
        return _say(subject, "one number", "scale", "other", "guess")
    if subject.types and not NORM_MODULE.search(stem(subject.name)):
        return _say(subject, "a vector called weight", "scale", "other", "guess")
    return _say(subject, "a vector without a bias", "norm_weight", _norm_layer(subject, "rms_norm"), "guess")


def _of_matrix(subject: Subject) -> tuple[Evidence, ...]:
    if "bias" not in subject.tensors and _of_entries(subject):
        return _say(subject, f"a matrix without a bias in {subject.name}", "embedding", "embedding")
    if CONV_CLASS.search(subject.class_name):
        return _say(subject, f"class {subject.class_name}", "conv_weight", "conv")
    return _say(subject, "a matrix", "linear_weight", linear_layer(subject))


def _of_stack(subject: Subject) -> tuple[Evidence, ...]:
    if len(subject.shape) == 3 and _in_experts(subject):
        return _say(subject, "a stack of matrices among experts", "linear_weight", "linear")
    if subject.class_name and not CONV_CLASS.search(subject.class_name):
        return _say(subject, "a stack of matrices", "linear_weight", "linear", "guess")
    return _say(subject, f"{len(subject.shape)} dimensions", "conv_weight", conv_layer(subject))


def _in_experts(subject: Subject) -> bool:
    return any("expert" in word.lower() or "moe" in word.lower() for word in (*subject.path[:3], *subject.classes[:2]))
