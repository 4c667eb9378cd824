"""Which kind of layer an owner is, where its class alone does not settle it: a TensorContext in, a Layer out."""

import re

from decay_audit.roles.tensor_context import TensorContext
from decay_audit.roles.words import Layer

_ATTENTION = re.compile(r"(?i)attn|attention|(^|_)(mha|mhsa|msa|xca)(_|$)")
_FEED_FORWARD = re.compile(r"(?i)(^|_)(mlps?|ffn?|feed_?forward|experts?|intermediate|fc)(_|$)|mlp$|feedforward")
_PROJECTION = re.compile(
    r"(?i)(^|_)(q|k|v|o|kv|qk|qkv|query|key|value|in|out|output|proj|projection|dense|wq|wk|wv|wo|queries|keys|values"
    r"|query_key_value|wqkv|pack|attn|attention)(_|$)|^(q|k|v|kv|qk|qkv|out|o|c|query|key|value|in)_?(proj|lin|linear)"
)
_ALWAYS_PROJECTION = re.compile(
    r"(?i)(^|_)(q|k|v|kv|qk|qkv)_proj(_|$)|(^|_)(w?qkv|query_key_value|c_attn)(_|$)|^to_(q|k|v|kv|qkv|out)$|in_proj_qkv"
)
_NORMS: tuple[tuple[Layer, re.Pattern[str]], ...] = (
    ("rms_norm", re.compile(r"(?i)rms")),
    ("batch_norm", re.compile(r"(?i)batch_?norm|(^|_)bn(_|$)|^A?BN")),
    ("group_norm", re.compile(r"(?i)group_?norm|(^|_)gn(_|$)|^GN")),
    ("instance_norm", re.compile(r"(?i)instance_?norm|^IN$")),
    ("layer_norm", re.compile(r"(?i)layer_?norm|(^|_)ln(_|$)|^LN")),
)


def linear_layer(tensor: TensorContext) -> Layer:
    """Tell the projections of attention from other linear layers, by the names and classes around them."""
    if _ALWAYS_PROJECTION.search(tensor.module_name):
        return "attention"
    if not _PROJECTION.search(tensor.module_name):
        return "linear"
    for word in (*tensor.path[1:], *tensor.classes[1:]):
        if _FEED_FORWARD.search(word):
            return "linear"
        if _ATTENTION.search(word):
            return "attention"
    return "linear"


def conv_layer(tensor: TensorContext) -> Layer:
    """Tell depthwise convolutions (one group for each input channel, and several of them) from others."""
    groups, channels = tensor.settings.get("groups"), tensor.settings.get("in_channels")
    if groups is not None:
        return "depthwise_conv" if groups == channels and groups != 1 else "conv"
    shape = tensor.tensors.get("weight", tensor.shape)
    return "depthwise_conv" if len(shape) > 2 and shape[1] == 1 and shape[0] > 1 else "conv"


def norm_layer(tensor: TensorContext, otherwise: Layer = "other_norm") -> Layer:
    """Name the normalization: by running statistics beside it, its class's name, its own name."""
    if {"running_mean", "running_var"} & tensor.tensors.keys():
        return "batch_norm"
    for text in (tensor.class_name, tensor.module_name, tensor.leaf):
        for layer, pattern in _NORMS:
            if pattern.search(text):
                return layer
    return otherwise
