"""Evidence from names: a Subject in, what its own name, its module's and its class's say out. Likely.

Shapes are checked with the names: a norm's gain is a vector, or has the shape of its bias, whatever it is called.
"""

from decay_audit.roles.conventions import (
    ACTIVATION_CLASS,
    ADAPTER,
    LAYER_SCALE_CLASS,
    LAYER_SCALE_MODULE,
    LEAVES,
    MODULES,
    NORM_CLASS,
    NORM_MODULE,
    NORM_SHIFT,
    Convention,
    stem,
)
from decay_audit.roles.layers import linear_layer, norm_layer
from decay_audit.roles.subject import Subject
from decay_audit.roles.words import Confidence, Evidence, Layer, Role

PLAIN = frozenset({"weight", "bias"})
"""Names that say nothing of themselves: the module's name and class say what they are."""


def evidence(subject: Subject) -> tuple[Evidence, ...]:
    """Say what the first convention that fits means; nothing, if none does."""
    for reader in (_of_adapter, _of_norm, _of_activation, _of_layer_scale, _of_leaf, _of_module):
        found = reader(subject)
        if found is not None:
            return (found,)
    return ()


def affine_like(subject: Subject) -> bool:
    """Whether it has the shape of a gain or shift: a vector, or one of two tensors of one shape."""
    others = (shape for name, shape in subject.tensors.items() if name != subject.leaf)
    return subject.wide <= 1 or subject.shape in others


def pattern(detail: str, role: Role, layer: Layer, confidence: Confidence = "likely") -> Evidence:
    """Make the evidence of a name."""
    return Evidence(kind="pattern", detail=detail, role=role, layer=layer, confidence=confidence)


def _of_adapter(subject: Subject) -> Evidence | None:
    if "bias" in subject.leaf:
        return None
    named = next((word for word in (subject.leaf, *subject.path) if ADAPTER.pattern.search(stem(word))), None)
    return pattern(f"{named}: {ADAPTER.says}", "adapter_weight", linear_layer(subject)) if named else None


def _of_norm(subject: Subject) -> Evidence | None:
    if not affine_like(subject):
        return None
    if subject.class_name:
        if not NORM_CLASS.search(subject.class_name):
            return None
        detail = f"class {subject.class_name}, shape of an affine"
    else:
        if subject.leaf not in PLAIN or not NORM_MODULE.search(stem(subject.name)):
            return None
        detail = f"module {subject.name}, shape of an affine"
    role: Role = "norm_bias" if NORM_SHIFT.search(stem(subject.leaf)) else "norm_weight"
    return pattern(detail, role, norm_layer(subject))


def _of_activation(subject: Subject) -> Evidence | None:
    if subject.leaf == "bias" or subject.wide > 1 or not ACTIVATION_CLASS.search(subject.class_name):
        return None
    return pattern(f"class {subject.class_name}, a vector", "activation", "activation")


def _of_layer_scale(subject: Subject) -> Evidence | None:
    if subject.wide > 1 or "bias" in subject.leaf:
        return None
    if LAYER_SCALE_CLASS.search(subject.class_name):
        return pattern(f"class {subject.class_name}, a vector", "layer_scale", "other")
    if LAYER_SCALE_MODULE.search(stem(subject.name)) and len(subject.tensors) <= 1:
        return pattern(f"module {subject.name}, a vector", "layer_scale", "other")
    return None


def _of_leaf(subject: Subject) -> Evidence | None:
    if subject.leaf in PLAIN:
        return None
    found = _first(LEAVES, subject.leaf, subject)
    if found is None:
        return None
    layer = linear_layer(subject) if found.layer == "linear" else found.layer
    return pattern(f"{subject.leaf}: {found.says}", found.role, layer)


def _of_module(subject: Subject) -> Evidence | None:
    """A table that is called `weight` and stands alone in a module with a telling name."""
    if subject.leaf != "weight" or len(subject.shape) != 2 or len(subject.tensors) > 1:
        return None
    found = _first(MODULES, subject.name, subject)
    return pattern(f"module {subject.name}: {found.says}", found.role, "embedding") if found else None


def _first(conventions: tuple[Convention, ...], name: str, subject: Subject) -> Convention | None:
    text, wide = stem(name), subject.wide
    if subject.leaf in {"D", "A"} and _beside_state_space(subject):
        return next(convention for convention in conventions if convention.role == "state_space")
    return next((convention for convention in conventions if convention.holds(text, wide)), None)


def _beside_state_space(subject: Subject) -> bool:
    return len(subject.tensors) > 1 or any("ssm" in word or "mamba" in word for word in subject.path)
