"""Every module of torch.nn that holds tensors, built by torch and read by us."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from tests.roles.naming import classify_model, classify_tensor

AFFINE = {"weight": "norm_weight", "bias": "norm_bias"}
LINEAR = {"weight": "linear_weight", "bias": "bias"}
CONV = {"weight": "conv_weight", "bias": "bias"}
RECURRENT = {
    "weight_ih_l0": "recurrent_weight",
    "weight_hh_l0": "recurrent_weight",
    "bias_ih_l0": "bias",
    "bias_hh_l0": "bias",
}

MODULES: dict[str, tuple[nn.Module, dict[str, str], str]] = {
    "Conv1d": (nn.Conv1d(4, 8, 3), CONV, "conv"),
    "Conv2d": (nn.Conv2d(4, 8, 3), CONV, "conv"),
    "Conv3d": (nn.Conv3d(4, 8, 3), CONV, "conv"),
    "Conv2d of one channel": (nn.Conv2d(1, 8, 3), CONV, "conv"),
    "Conv2d in groups": (nn.Conv2d(8, 8, 3, groups=4), CONV, "conv"),
    "Conv2d of depth": (nn.Conv2d(8, 16, 3, groups=8), CONV, "depthwise_conv"),
    "ConvTranspose1d": (nn.ConvTranspose1d(4, 8, 3), CONV, "conv"),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 1, 3), CONV, "conv"),
    "ConvTranspose2d of depth": (nn.ConvTranspose2d(8, 8, 3, groups=8), CONV, "depthwise_conv"),
    "ConvTranspose3d": (nn.ConvTranspose3d(4, 8, 3), CONV, "conv"),
    "LazyConv2d": (nn.LazyConv2d(8, 3), CONV, "conv"),
    "LazyConvTranspose3d": (nn.LazyConvTranspose3d(8, 3), CONV, "conv"),
    "Linear": (nn.Linear(4, 8), LINEAR, "linear"),
    "LazyLinear": (nn.LazyLinear(8), LINEAR, "linear"),
    "Bilinear": (nn.Bilinear(4, 5, 6), LINEAR, "linear"),
    "Embedding": (nn.Embedding(9, 4), {"weight": "embedding"}, "embedding"),
    "EmbeddingBag": (nn.EmbeddingBag(9, 4), {"weight": "embedding"}, "embedding"),
    "BatchNorm1d": (nn.BatchNorm1d(4), AFFINE, "batch_norm"),
    "BatchNorm2d": (nn.BatchNorm2d(4, track_running_stats=False), AFFINE, "batch_norm"),
    "BatchNorm3d": (nn.BatchNorm3d(4), AFFINE, "batch_norm"),
    "SyncBatchNorm": (nn.SyncBatchNorm(4), AFFINE, "batch_norm"),
    "LazyBatchNorm1d": (nn.LazyBatchNorm1d(), AFFINE, "batch_norm"),
    "InstanceNorm2d": (nn.InstanceNorm2d(4, affine=True), AFFINE, "instance_norm"),
    "LazyInstanceNorm3d": (nn.LazyInstanceNorm3d(affine=True), AFFINE, "instance_norm"),
    "LayerNorm": (nn.LayerNorm(4), AFFINE, "layer_norm"),
    "LayerNorm of an image": (nn.LayerNorm((3, 8, 8)), AFFINE, "layer_norm"),
    "GroupNorm": (nn.GroupNorm(2, 4), AFFINE, "group_norm"),
    "RMSNorm": (nn.RMSNorm(4), {"weight": "norm_weight"}, "rms_norm"),
    "PReLU": (nn.PReLU(), {"weight": "activation"}, "activation"),
    "PReLU of channels": (nn.PReLU(8), {"weight": "activation"}, "activation"),
    "LSTM": (nn.LSTM(4, 8), RECURRENT, "recurrent"),
    "GRU": (nn.GRU(4, 8), RECURRENT, "recurrent"),
    "RNN": (nn.RNN(4, 8), RECURRENT, "recurrent"),
    "GRUCell": (nn.GRUCell(4, 8), {name[:-3]: role for name, role in RECURRENT.items()}, "recurrent"),
    "MultiheadAttention": (
        nn.MultiheadAttention(8, 2, kdim=4, vdim=6, add_bias_kv=True),
        {
            "q_proj_weight": "linear_weight",
            "k_proj_weight": "linear_weight",
            "v_proj_weight": "linear_weight",
            "in_proj_bias": "bias",
            "bias_k": "bias",
            "bias_v": "bias",
        },
        "attention",
    ),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_of_torch_is_named_with_certainty_whatever_it_is_called(kind: str) -> None:
    module, roles, layer = MODULES[kind]
    classified = classify_model(nn.ModuleDict({"norm_bias_embed": module}))
    direct = {name.rpartition(".")[2]: item for name, item in classified.items() if name.count(".") == 1}
    assert {leaf: (item.role, item.layer, item.confidence) for leaf, item in direct.items()} == {
        leaf: (role, layer, "certain") for leaf, role in roles.items()
    }


def test_no_class_of_torch_that_holds_tensors_is_forgotten() -> None:
    """Whatever torch adds, built with numbers for its arguments, is named by its class."""
    forgotten = [
        name
        for name, kind in vars(nn).items()
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and _holds_unnamed(kind)
    ]
    assert forgotten == []


def _holds_unnamed(kind: type[nn.Module]) -> bool:
    for arguments in ((), (4,), (4, 4), (4, 4, 1)):
        try:
            module = kind(*arguments)
        except Exception:  # noqa: BLE001 - not its arguments
            continue
        if not any(True for _ in module.parameters()):
            return False
        return any(
            item.evidence[:1] == () or item.evidence[0].kind != "owner" for item in classify_model(module).values()
        )
    return False


def test_every_layer_and_direction_of_a_recurrent_network_is_named() -> None:
    classified = classify_model(nn.LSTM(4, 8, num_layers=2, bidirectional=True, proj_size=3))
    assert {item.confidence for item in classified.values()} == {"certain"}
    assert classified["weight_hr_l1_reverse"].role == "recurrent_weight"
    assert classified["bias_hh_l1_reverse"].role == "bias"


def test_a_transformer_of_torch_has_attention_where_it_attends() -> None:
    classified = classify_model(nn.TransformerDecoderLayer(8, 2, 16))
    assert classified["self_attn.in_proj_weight"].layer == "attention"
    assert classified["multihead_attn.out_proj.weight"].layer == "attention"
    assert classified["linear1.weight"].layer == "linear"
    assert classified["norm3.weight"].role == "norm_weight"


def test_a_subclass_is_what_it_derives_from() -> None:
    class MyBias(nn.LayerNorm):
        pass

    classified = classify_model(MyBias(4))["weight"]
    assert (classified.role, classified.layer, classified.confidence) == ("norm_weight", "layer_norm", "certain")
    assert classified.evidence[0].detail.endswith("MyBias, a torch.nn.LayerNorm")


def test_weight_norm_splits_a_weight_into_its_direction_and_a_scale() -> None:
    classified = classify_model(parametrizations.weight_norm(nn.Conv1d(4, 8, 3)))
    assert classified["parametrizations.weight.original0"].role == "scale"
    assert classified["parametrizations.weight.original1"].role == "conv_weight"
    assert classified["bias"].role == "bias"


def test_the_old_weight_norm_is_read_the_same() -> None:
    with pytest.warns(FutureWarning):
        linear = nn.utils.weight_norm(nn.Linear(4, 8))
    classified = classify_model(linear)
    assert (classified["weight_g"].role, classified["weight_v"].role) == ("scale", "linear_weight")


def test_spectral_norm_orthogonality_and_pruning_leave_a_weight_a_weight() -> None:
    spectral = classify_model(parametrizations.spectral_norm(nn.Linear(4, 8)))["parametrizations.weight.original"]
    old = classify_model(nn.utils.spectral_norm(nn.Conv2d(4, 8, 3)))["weight_orig"]
    orthogonal = classify_model(parametrizations.orthogonal(nn.Linear(4, 4)))["parametrizations.weight.original"]
    pruned = nn.Linear(4, 8)
    for name in ("weight", "bias"):
        prune.L1Unstructured.apply(pruned, name, amount=0.5)  # type: ignore[no-untyped-call]
    assert [spectral.role, old.role, orthogonal.role] == ["linear_weight", "conv_weight", "linear_weight"]
    assert {name: item.role for name, item in classify_model(pruned).items()} == {
        "weight_orig": "linear_weight",
        "bias_orig": "bias",
    }


def test_a_parametrized_norm_bias_is_still_a_norm_bias() -> None:
    norm = nn.LayerNorm(4)
    nn.utils.parametrize.register_parametrization(norm, "bias", nn.Identity())
    assert classify_model(norm)["parametrizations.bias.original"].role == "norm_bias"


def test_a_class_known_by_name_only_is_enough() -> None:
    """A scripted checkpoint names a module's class, but not what that derives from."""
    assert classify_tensor("a.weight", (8,), "torch.nn.BatchNorm2d").layer == "batch_norm"
    assert classify_tensor("a.weight_hh_l0", (8, 8), "torch.nn.LSTM").role == "recurrent_weight"


def test_packed_integers_are_said_not_to_be_trained() -> None:
    classified = classify_tensor("a.weight", (64, 1), "bitsandbytes.nn.Linear4bit", "torch.nn.Linear", dtype="uint8")
    assert "no optimizer trains" in classified.evidence[0].detail


def test_tied_tensors_are_named_by_their_first_owner() -> None:
    model = nn.ModuleDict({"wte": nn.Embedding(9, 4), "head": nn.Linear(4, 9, bias=False)})
    model["head"].weight = model["wte"].weight
    assert {name: item.role for name, item in classify_model(model).items()} == {"wte.weight": "embedding"}


def test_dtypes_do_not_matter_to_what_is_trained() -> None:
    for dtype in (torch.float64, torch.bfloat16, torch.complex64):
        assert "no optimizer" not in classify_model(nn.Linear(2, 2, dtype=dtype))["weight"].evidence[0].detail
