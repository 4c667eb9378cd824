"""Use gives the parameters of torch's own layers the roles that torch's names have."""

import pytest
import torch
from torch import nn

from tests.trace.traced import roles, slots

NORM = {"weight": "norm_weight certain", "bias": "norm_bias certain"}
CONV = {"weight": "conv_weight certain", "bias": "bias certain"}
LINEAR = {"weight": "linear_weight certain", "bias": "bias certain"}
RECURRENT = {
    "weight_ih_l0": "recurrent_weight certain",
    "weight_hh_l0": "recurrent_weight certain",
    "bias_ih_l0": "bias certain",
    "bias_hh_l0": "bias certain",
}
CELL = {name.removesuffix("_l0"): role for name, role in RECURRENT.items()}


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv1d(3, 4, 3), (1, 3, 8), CONV),
        (nn.Conv2d(3, 4, 3), (1, 3, 8, 8), CONV),
        (nn.Conv3d(3, 4, 3), (1, 3, 8, 8, 8), CONV),
        (nn.ConvTranspose2d(3, 4, 3), (1, 3, 8, 8), CONV),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), (1, 4, 8, 8), CONV),
        (nn.Linear(4, 5), (2, 4), LINEAR),
        (nn.Linear(4, 1), (2, 4), LINEAR),
        (nn.Linear(4, 5), (2, 3, 4), LINEAR),
        (nn.Linear(4, 5), (4,), LINEAR),
        (nn.BatchNorm1d(4), (2, 4), NORM),
        (nn.BatchNorm2d(4), (1, 4, 1, 1), NORM),
        (nn.BatchNorm2d(4, track_running_stats=False), (2, 4, 5, 5), NORM),
        (nn.LayerNorm(4), (2, 4), NORM),
        (nn.LayerNorm((3, 4)), (2, 3, 4), NORM),
        (nn.GroupNorm(2, 4), (2, 4, 5, 5), NORM),
        (nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 5), NORM),
        (nn.RMSNorm(4), (2, 4), {"weight": "norm_weight certain"}),
        (nn.PReLU(4), (2, 4), {"weight": "activation certain"}),
        (nn.LSTM(4, 5), (3, 2, 4), RECURRENT),
        (nn.GRU(4, 5, batch_first=True), (3, 2, 4), RECURRENT),
        (nn.RNN(4, 5), (3, 2, 4), RECURRENT),
        (nn.LSTMCell(4, 5), (2, 4), CELL),
        (nn.GRUCell(4, 5), (2, 4), CELL),
    ],
    ids=lambda value: str(value)[:40],
)
def test_use_gives_the_parameters_of_a_layer_their_roles(
    layer: nn.Module, shape: tuple[int, ...], expected: dict[str, str]
) -> None:
    assert roles(layer, shape) == expected


def test_an_lstm_with_a_projection_and_two_directions_is_recurrent_throughout() -> None:
    actual = roles(nn.LSTM(4, 6, num_layers=2, bidirectional=True, proj_size=3), (3, 2, 4))
    assert {role for name, role in actual.items() if name.startswith("weight")} == {"recurrent_weight certain"}
    assert {role for name, role in actual.items() if name.startswith("bias")} == {"bias certain"}


def test_the_table_of_an_embedding_and_of_an_embedding_bag_is_an_embedding() -> None:
    ids = torch.zeros(2, 3, dtype=torch.int64)
    assert roles(nn.Embedding(9, 4), ids) == {"weight": "embedding certain"}
    assert roles(nn.EmbeddingBag(9, 4), ids) == {"weight": "embedding certain"}


def test_a_bilinear_weight_is_a_linear_weight() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = nn.Bilinear(4, 5, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pair(x[:, :4], x[:, 4:])  # type: ignore[no-any-return]

    assert roles(Pair(), (2, 9)) == {"pair.weight": "linear_weight certain", "pair.bias": "bias likely"}


def test_attention_is_traced_without_its_fused_fast_path() -> None:
    block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    actual = roles(block, (2, 3, 8))
    assert actual["self_attn.in_proj_weight"] == "linear_weight certain"
    assert actual["self_attn.in_proj_bias"].startswith("bias")
    assert actual["norm1.weight"] == "norm_weight certain"
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_depthwise_convolution_is_distinguished_from_a_grouped_one() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=4))
    from decay_audit.roles import by_usage
    from tests.trace.traced import parameters

    actual = {p.name: by_usage.evidence(p)[0].layer for p in parameters(net, (1, 8, 9, 9))}
    assert actual == {"0.weight": "depthwise_conv", "0.bias": "depthwise_conv", "1.weight": "conv", "1.bias": "conv"}


@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_a_reparametrized_kernel_is_still_a_kernel(wrap: object) -> None:
    layer = wrap(nn.Conv2d(3, 4, 3))  # type: ignore[operator]
    actual = roles(layer, (1, 3, 8, 8))
    kernel = [name for name, role in actual.items() if role == "conv_weight certain"]
    assert len(kernel) == 1
    assert layer.get_parameter(kernel[0]).shape == (4, 3, 3, 3)
    assert set(actual.values()) <= {"conv_weight certain", "scale likely", "bias certain"}


def test_a_slot_has_the_name_of_the_argument_in_torchs_schema() -> None:
    assert slots(nn.Linear(4, 5), (2, 4)) == {"weight": ["addmm.mat2"], "bias": ["addmm.self"]}
    assert slots(nn.Conv2d(3, 4, 3), (1, 3, 8, 8)) == {"weight": ["convolution.weight"], "bias": ["convolution.bias"]}
    assert [argument.name for argument in torch.ops.aten.addmm.default._schema.arguments][:3] == [
        "self",
        "mat1",
        "mat2",
    ]


def test_a_recurrent_layer_on_meta_is_traced_like_one_on_the_cpu() -> None:
    with torch.device("meta"):
        on_meta = nn.LSTM(4, 5)
    assert roles(on_meta, (3, 2, 4)) == roles(nn.LSTM(4, 5), (3, 2, 4)) == RECURRENT
    assert all(parameter is not None and parameter.is_meta for parameter in on_meta._flat_weights)
