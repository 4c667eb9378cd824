"""Every tensor of torch.nn, by its owner's class alone."""

import pytest

from decay_audit.parameters import Owner, Parameter
from decay_audit.roles import classify
from decay_audit.roles.words import Classified

CONV = ("torch.nn.Conv2d", "torch.nn.modules.conv._ConvNd")


def name_one(
    types: tuple[str, ...], leaf: str, shape: tuple[int, ...], name: str = "block", **settings: int
) -> Classified:
    owner = Owner(name=name, types=types, tensors={leaf: shape}, settings=settings)
    parameter = Parameter(name=f"{name}.{leaf}", raw_name=f"{name}.{leaf}", shape=shape, dtype="float32", owner=owner)
    return classify([parameter])[0]


@pytest.mark.parametrize(
    ("types", "leaf", "shape", "role", "layer"),
    [
        (CONV, "weight", (8, 4, 3, 3), "conv_weight", "conv"),
        (CONV, "bias", (8,), "bias", "conv"),
        (("torch.nn.Linear",), "weight", (8, 4), "linear_weight", "linear"),
        (
            ("torch.nn.BatchNorm2d", "torch.nn.modules.batchnorm._BatchNorm"),
            "weight",
            (8,),
            "norm_weight",
            "batch_norm",
        ),
        (("torch.nn.LayerNorm",), "bias", (8,), "norm_bias", "layer_norm"),
        (("torch.nn.MultiheadAttention",), "in_proj_weight", (24, 8), "linear_weight", "attention"),
        (("torch.nn.MultiheadAttention",), "bias_k", (1, 1, 8), "bias", "attention"),
        (("torch.nn.LSTM", "torch.nn.RNNBase"), "weight_hr_l1_reverse", (8, 4), "recurrent_weight", "recurrent"),
        (("torch.nn.GRUCell", "torch.nn.RNNCellBase"), "bias_hh", (8,), "bias", "recurrent"),
        (("torch.nn.PReLU",), "weight", (1,), "activation", "activation"),
    ],
)
def test_a_torch_class_decides_with_certainty(
    types: tuple[str, ...], leaf: str, shape: tuple[int, ...], role: str, layer: str
) -> None:
    found = name_one(types, leaf, shape)
    assert (found.role, found.layer, found.confidence) == (role, layer, "certain")


def test_one_group_for_each_of_several_channels_is_depthwise() -> None:
    assert name_one(CONV, "weight", (8, 1, 3, 3), groups=8, in_channels=8).layer == "depthwise_conv"
    assert name_one(CONV, "weight", (8, 1, 3, 3), groups=1, in_channels=1).layer == "conv"
