"""Recognize pairs of tensors in a module: a weight and its bias, or the gain and the shift of a norm.

The names of a weight and its bias differ in one word (`attention_W` and `attention_b`, `wt` and `bt`), or the bias has
the name of the weight with `_b` at the end (`up` and `up_b`). A gain and a shift belong to one norm.
"""

import re
from typing import Literal

from decay_audit.roles.conventions.affines import NORM_GAIN, NORM_SHIFT
from decay_audit.roles.tensor_context import TensorContext

Shape = tuple[int, ...]

BIASES = ("b", "B", "bias")
_WEIGHTS = ("w", "W", "weight", "kernel")
# The word for a weight or a bias after the rest of the name, as in `attention_W`; and before it, as in `b_1`.
_BEHIND = re.compile(rf"(\w+)_({'|'.join((*BIASES, *_WEIGHTS))})")
_IN_FRONT = re.compile(rf"({'|'.join((*BIASES, *_WEIGHTS))})(_?[A-Za-z]?\d*)")


def weight_of(tensor: TensorContext) -> str | None:
    """Return the name of the weight whose bias this tensor is, by name and shape; None if it is no bias."""
    names = (name for name in _partners(tensor.leaf, BIASES, _WEIGHTS) if name in tensor.tensors)
    single = tensor.numel == 1  # a layer with one input and one output
    return next(
        (
            name
            for name in names
            if _is_bias_shape(tensor.shape, tensor.tensors[name]) or (single and tensor.tensors[name] == tensor.shape)
        ),
        None,
    )


def bias_of(tensor: TensorContext) -> str | None:
    """Return the name of the bias of this tensor, by name and shape; None if it has none."""
    named = (f"{tensor.leaf}_{bias}" for bias in BIASES)
    names = (name for name in (*named, *_partners(tensor.leaf, _WEIGHTS, BIASES)) if name in tensor.tensors)
    return next((name for name in names if _is_bias_shape(tensor.tensors[name], tensor.shape)), None)


def affine_half(tensor: TensorContext) -> Literal["gain", "shift"] | None:
    """Find which half of a norm a tensor is. If only its sibling has a known name, the tensor is the other half."""
    if NORM_SHIFT.has(tensor.leaf):
        return "shift"
    if NORM_GAIN.has(tensor.leaf):
        return "gain"
    others = [name for name, shape in tensor.tensors.items() if shape == tensor.shape and name != tensor.leaf]
    shifts, gains = any(map(NORM_SHIFT.has, others)), any(map(NORM_GAIN.has, others))
    if shifts == gains:
        return None
    return "gain" if shifts else "shift"


def _partners(name: str, words: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return possible names of the other half of a pair: each `other` word in place of the one of `words` in it."""
    if (match := _BEHIND.fullmatch(name)) and match[2] in words:
        return (match[1], *(f"{match[1]}_{word}" for word in other))
    if (match := _IN_FRONT.fullmatch(name)) and match[1] in words:
        return tuple(f"{word}{match[2]}" for word in other)
    return ()


def _is_bias_shape(bias: Shape, weight: Shape) -> bool:
    """Whether a bias of this shape can have one number for each output of a weight, or of a stack of weights."""
    bias_sizes, weight_sizes = (tuple(size for size in shape if size > 1) for shape in (bias, weight))
    if len(bias_sizes) == 1 < len(weight_sizes):
        return bias_sizes[0] in weight_sizes
    return any(
        bias_sizes == weight_sizes[:left_out] + weight_sizes[left_out + 1 :]
        for left_out in range(len(weight_sizes))
        if len(weight_sizes) > 2
    )
