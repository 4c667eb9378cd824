"""Find the layer of an owner, from a TensorContext, if the owner's class alone does not decide it."""

from decay_audit.roles.conventions.layers import ATTENTION, ATTENTION_PROJECTION, FEED_FORWARD, NORMS, PROJECTION
from decay_audit.roles.tensor_context import TensorContext
from decay_audit.roles.words import Layer


def linear_layer(tensor: TensorContext) -> Layer:
    """Return `attention` for a projection of attention, else `linear`. The names and classes of modules decide."""
    if ATTENTION_PROJECTION.has(tensor.module_name):
        return "attention"
    if not PROJECTION.has(tensor.module_name):
        return "linear"
    for name in (*tensor.path[1:], *tensor.classes[1:]):
        if FEED_FORWARD.has(name):
            return "linear"
        if ATTENTION.has(name):
            return "attention"
    return "linear"


def conv_layer(tensor: TensorContext) -> Layer:
    """Return `depthwise_conv` if there is one group for each of several input channels, else `conv`."""
    groups, channels = tensor.settings.get("groups"), tensor.settings.get("in_channels")
    if groups is not None:
        return "depthwise_conv" if groups == channels and groups != 1 else "conv"
    shape = tensor.tensors.get("weight", tensor.shape)
    return "depthwise_conv" if len(shape) > 2 and shape[1] == 1 and shape[0] > 1 else "conv"


def norm_layer(tensor: TensorContext, otherwise: Layer = "other_norm") -> Layer:
    """Find the kind of norm: by running statistics next to it, or by the name of class, module or tensor."""
    if {"running_mean", "running_var"} & tensor.tensors.keys():
        return "batch_norm"
    for text in (tensor.class_name, tensor.module_name, tensor.leaf):
        for layer, names in NORMS:
            if names.has(text):
                return layer
    return otherwise
