"""Evidence from the owner's torch.nn class, which tells the roles of its tensors. It is certain."""

import re
from collections.abc import Mapping

from decay_audit.roles.layers import conv_layer, linear_layer
from decay_audit.roles.tensor_context import TensorContext
from decay_audit.roles.words import Evidence, Layer, Role

TensorRoles = Mapping[str, Role]

_CONV: TensorRoles = {"weight": "conv_weight", "bias": "bias"}
_LINEAR: TensorRoles = {"weight": "linear_weight", "bias": "bias"}
_NORM: TensorRoles = {"weight": "norm_weight", "bias": "norm_bias"}
_EMBEDDING: TensorRoles = {"weight": "embedding"}
_RECURRENT: TensorRoles = {
    "weight_ih": "recurrent_weight",
    "weight_hh": "recurrent_weight",
    "weight_hr": "recurrent_weight",
    "bias_ih": "bias",
    "bias_hh": "bias",
}
_ATTENTION: TensorRoles = {
    "in_proj_weight": "linear_weight",
    "q_proj_weight": "linear_weight",
    "k_proj_weight": "linear_weight",
    "v_proj_weight": "linear_weight",
    "in_proj_bias": "bias",
    "bias_k": "bias",  # one more key and value in the sequence, which torch calls a bias
    "bias_v": "bias",
}

_LAYER_SUFFIX = re.compile(r"_l\d+(_reverse)?$")  # `weight_ih_l0_reverse` of an LSTM
_PUBLIC = re.compile(r"torch\.nn\.\w+")
_FAMILIES: tuple[tuple[Layer, TensorRoles, tuple[str, ...]], ...] = (
    ("conv", _CONV, ("Conv1d", "Conv2d", "Conv3d", "modules.conv._ConvNd")),
    ("conv", _CONV, ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")),
    ("linear", _LINEAR, ("Linear", "Bilinear")),
    ("embedding", _EMBEDDING, ("Embedding", "EmbeddingBag")),
    ("batch_norm", _NORM, ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")),
    ("batch_norm", _NORM, ("modules.batchnorm._BatchNorm",)),
    ("instance_norm", _NORM, ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")),
    ("instance_norm", _NORM, ("modules.instancenorm._InstanceNorm",)),
    ("other_norm", _NORM, ("modules.batchnorm._NormBase",)),
    ("layer_norm", _NORM, ("LayerNorm",)),
    ("group_norm", _NORM, ("GroupNorm",)),
    ("rms_norm", _NORM, ("RMSNorm",)),
    ("attention", _ATTENTION, ("MultiheadAttention",)),
    ("recurrent", _RECURRENT, ("LSTM", "GRU", "RNN", "RNNBase", "LSTMCell", "GRUCell", "RNNCell", "RNNCellBase")),
    ("activation", {"weight": "activation"}, ("PReLU",)),
)
"""The layer of each family of torch.nn classes, the roles of their tensors, and the names of the classes."""
TORCH_CLASSES: Mapping[str, tuple[Layer, TensorRoles]] = {
    f"torch.nn.{name}": (layer, roles) for layer, roles, names in _FAMILIES for name in names
}
"""The layer and the roles of tensors for each torch.nn class that has tensors of its own."""


def evidence(tensor: TensorContext) -> tuple[Evidence, ...]:
    """Return the role of the tensor in the first torch.nn class of the owner's MRO; () if there is no such class."""
    torch_class = next((name for name in tensor.types if name in TORCH_CLASSES), None)
    if torch_class is None:
        return ()
    layer, roles = TORCH_CLASSES[torch_class]
    role = roles.get(tensor.leaf) or roles.get(_LAYER_SUFFIX.sub("", tensor.leaf))
    if role is None:
        return ()
    public = next((name for name in tensor.types if _PUBLIC.fullmatch(name)), torch_class)
    detail = public if tensor.types[0] == public else f"{tensor.types[0]}, a {public}"
    if tensor.is_magnitude:
        role, detail = "scale", f"{detail}; magnitude of its weight normalization"
    if not tensor.dtype.startswith(("float", "bfloat", "complex")):
        detail = f"{detail}; packed as {tensor.dtype}, which no optimizer trains"
    return (Evidence(kind="owner", detail=detail, role=role, layer=_layer(layer, tensor), confidence="certain"),)


def _layer(layer: Layer, tensor: TensorContext) -> Layer:
    match layer:
        case "conv":
            return conv_layer(tensor)
        case "linear":
            return linear_layer(tensor)
        case _:
            return layer
