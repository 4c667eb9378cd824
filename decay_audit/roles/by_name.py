"""Evidence from names: a Subject in, what its own name, its module's and its class's say out. Likely.

Shapes are checked with the names: a norm's gain is a vector, or has the shape of its bias, whatever it is called.
"""

import re
from collections.abc import Iterable

from msgspec.structs import replace

from decay_audit.roles.conventions import (
    ACTIVATION_CLASS,
    ACTIVATION_MODULE,
    ADAPTER,
    AFFINE_CLASS,
    BLOCK_CLASS,
    FOURIER_CLASS,
    GAIN_AND_SHIFT,
    GENERAL_LEAVES,
    LAYER_SCALE_CLASS,
    LAYER_SCALE_MODULE,
    LEAVES,
    MODULES,
    NORM_CLASS,
    NORM_GAIN,
    NORM_MODULE,
    NORM_SHIFT,
    PROMPT,
    TABLE_LEAF,
    Convention,
    stem,
)
from decay_audit.roles.layers import linear_layer, norm_layer
from decay_audit.roles.subject import Subject
from decay_audit.roles.words import Evidence, Layer, Role

PLAIN = frozenset({"weight", "bias"})
"""Names that say nothing of themselves: the module's name and class say what they are."""


def evidence(subject: Subject) -> tuple[Evidence, ...]:
    """Say what the first convention that fits means; nothing, if none does."""
    readers = (
        _of_adapter,
        _of_activation,
        _of_norm,
        _of_layer_scale,
        _of_state_space,
        _of_module,
        _of_leaf,
        _of_prompt,
    )
    found = next(filter(None, (reader(subject) for reader in readers)), None)
    return () if found is None else (found,)


def first(conventions: Iterable[Convention], name: str, subject: Subject) -> Convention | None:
    """Find the first convention that knows a tensor of this name and width."""
    text, wide = stem(name), subject.wide
    return next((convention for convention in conventions if convention.holds(text, wide)), None)


def _pattern(detail: str, role: Role, layer: Layer) -> Evidence:
    return Evidence(kind="pattern", detail=detail, role=role, layer=layer, confidence="likely")


def _of_adapter(subject: Subject) -> Evidence | None:
    if "bias" in subject.leaf:
        return None
    named = next((word for word in (subject.leaf, *subject.path) if ADAPTER.search(stem(word))), None)
    return _pattern(f"{named}: of an adapter", "adapter_weight", linear_layer(subject)) if named else None


def _of_activation(subject: Subject) -> Evidence | None:
    """Slopes of an activation; a gain and a shift of one shape are an affine, whatever curve stands between them."""
    if subject.leaf == "bias" or subject.wide > 1 or _affine_pair(subject, GAIN_AND_SHIFT | {PLAIN}):
        return None
    if ACTIVATION_CLASS.search(subject.class_name):
        return _pattern(f"class {subject.class_name}, a vector", "activation", "activation")
    if not subject.types and ACTIVATION_MODULE.search(stem(subject.name)):
        return _pattern(f"module {subject.name}, a vector", "activation", "activation")
    return None


def _affine_pair(subject: Subject, pairs: frozenset[frozenset[str]]) -> bool:
    """Whether a gain and a shift of one shape, more than a number, stand in one module, and this is one of them."""
    alike = {stem(name) for name, shape in subject.tensors.items() if shape == subject.shape}
    return subject.numel > 1 and any(pair <= alike and stem(subject.leaf) in pair for pair in pairs)


def _of_norm(subject: Subject) -> Evidence | None:
    """An affine by its class's name, or its module's where there is no class; or a gain and a shift side by side."""
    detail = _norm(subject) if _affine_like(subject) else None
    if detail is None:
        return None
    leaf = stem(subject.leaf)
    if leaf == "tau":  # the threshold of a thresholded linear unit that is built into the norm
        return _pattern(f"{detail}; threshold tau", "activation", norm_layer(subject))
    if NORM_SHIFT.search(leaf):
        return _pattern(f"{detail}, shape of a shift", "norm_bias", norm_layer(subject))
    if NORM_GAIN.search(leaf):
        return _pattern(f"{detail}, shape of a gain", "norm_weight", norm_layer(subject))
    return None


def _norm(subject: Subject) -> str | None:
    """Say why its module is a norm."""
    if NORM_CLASS.search(subject.class_name) or (AFFINE_CLASS.search(subject.class_name) and subject.numel > 1):
        return f"class {subject.class_name}"
    several = subject.numel > 1 or subject.tensors.keys() >= PLAIN
    if not subject.types and several and NORM_MODULE.search(stem(subject.name)):
        return f"module {subject.name}"
    if _affine_pair(subject, GAIN_AND_SHIFT) and not BLOCK_CLASS.search(subject.class_name):
        return "a gain and a shift of one shape"
    return None


def _affine_like(subject: Subject) -> bool:
    """A vector, or one of two tensors of one shape; and never a bias of another shape beside it."""
    weight, bias = subject.tensors.get("weight"), subject.tensors.get("bias")
    if weight is not None and bias is not None and weight != bias:
        return False
    return subject.wide <= 1 or any(
        shape == subject.shape for name, shape in subject.tensors.items() if name != subject.leaf
    )


def _of_layer_scale(subject: Subject) -> Evidence | None:
    if subject.wide > 1 or "bias" in subject.leaf or len(subject.tensors) > 1:
        return None
    if LAYER_SCALE_CLASS.search(subject.class_name):
        return _pattern(f"class {subject.class_name}, a vector", "layer_scale", "other")
    if LAYER_SCALE_MODULE.search(stem(subject.name)):
        return _pattern(f"module {subject.name}, a vector", "layer_scale", "other")
    return None


def _of_state_space(subject: Subject) -> Evidence | None:
    """The one-letter tensors of a state space, beside each other or beside its discretization."""
    if not re.fullmatch(r"[ABCDP](_[a-z]+)?", subject.leaf):
        return None
    beside = any(re.match(r"dt_|log_dt|inv_dt|A_", name) for name in subject.tensors if name != subject.leaf)
    pair = {"A", "D"} <= subject.tensors.keys()
    return _pattern(f"{subject.leaf}: of a state space", "state_space", "other") if beside or pair else None


def _of_module(subject: Subject) -> Evidence | None:
    """A table that is called `weight` or the like, in a module with a telling name, without a bias."""
    if subject.wide < 1 or "bias" in subject.tensors or not TABLE_LEAF.search(stem(subject.leaf)):
        return None
    if FOURIER_CLASS.search(subject.class_name):
        return _pattern(f"class {subject.class_name}", "position_embedding", "embedding")
    vector = subject.wide < 2 and len(subject.shape) < 2
    for kind, name in (("module", subject.name), ("class", subject.class_name)):
        found = first(MODULES, name, subject)
        if found is not None and (found.role == "token" or not vector):
            return _pattern(f"{kind} {name}: {found.says}", found.role, "other" if vector else "embedding")
    return None


def _of_leaf(subject: Subject) -> Evidence | None:
    found = None if subject.leaf in PLAIN else first(LEAVES, subject.leaf, subject)
    if found is None:
        return None
    layers = {"linear": linear_layer, "other_norm": norm_layer}
    layer = layers[found.layer](subject) if found.layer in layers else found.layer
    said = _pattern(f"{subject.leaf}: {found.says}", found.role, layer)
    return replace(said, confidence="guess") if doubtful(subject) else said


def doubtful(subject: Subject) -> bool:
    """Whether it is a gamma deep in lists of lists: without a class that may be of a norm, or on a residual branch."""
    return subject.nested and not subject.types and stem(subject.leaf) == "gamma"


def _of_prompt(subject: Subject) -> Evidence | None:
    """Whatever a prompt learner holds itself is prompt, but for what is called a gain, a bias or a matrix."""
    called = first(GENERAL_LEAVES, subject.leaf, subject)
    if subject.leaf in PLAIN or subject.wide < 1 or (called and called.role not in {"token", "embedding"}):
        return None
    named = next((name for name in (subject.name, subject.class_name) if PROMPT.search(name)), None)
    return _pattern(f"{subject.leaf} in {named}: a learned prompt", "token", "other") if named else None
