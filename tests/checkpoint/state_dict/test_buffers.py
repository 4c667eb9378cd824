"""Buffers are told from parameters; the modules of torch, timm and transformers say which is which."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
import transformers
from torch import nn
from torch.nn.utils import prune

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
from decay_audit.sources.checkpoint.contents import Tensor
from decay_audit.sources.checkpoint.state_dict.buffers import buffer_reason


def parameters_and_buffers(model: nn.Module) -> tuple[set[str], set[str]]:
    parameters = {name for name, _ in model.named_parameters()}
    return parameters, set(model.state_dict()) - {name for name, _ in model.named_parameters(remove_duplicate=False)}


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=2, intermediate_size=64, vocab_size=50
    )
    return transformers.LlamaForCausalLM(config)


def bert() -> nn.Module:
    config = transformers.BertConfig(num_hidden_layers=1, hidden_size=32, num_attention_heads=2, vocab_size=50)
    return transformers.BertForMaskedLM(config)


def swin_v2() -> nn.Module:
    model: nn.Module = timm.create_model("swinv2_tiny_window8_256")
    return model


def swin() -> nn.Module:
    model: nn.Module = timm.create_model("swin_tiny_patch4_window7_224")
    return model


def efficientnet() -> nn.Module:
    model: nn.Module = timm.create_model("efficientnet_b0")
    return model


def spectral() -> nn.Module:
    return nn.utils.spectral_norm(nn.Linear(4, 5))


def spectral_parametrized() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Linear(4, 5))


def pruned() -> nn.Module:
    layer = nn.Linear(4, 5)
    prune.random_unstructured(layer, "weight", amount=0.5)  # type: ignore[no-untyped-call]
    return layer


class CausalMask(nn.Module):
    """nanoGPT's attention keeps its mask under the name `bias`, in floating point."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn = nn.Linear(8, 24)
        self.register_buffer("bias", torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16))


MODELS = (llama, bert, swin, swin_v2, efficientnet, spectral, spectral_parametrized, pruned, CausalMask)


@pytest.mark.parametrize("make", MODELS)
def test_parameters_are_kept_and_buffers_excluded(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    model = make()
    parameters, buffers = parameters_and_buffers(model)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    inventory = read(tmp_path / "model.pt", target="")
    assert {parameter.name for parameter in inventory.parameters} == parameters
    assert {tensor.name for tensor in inventory.excluded} == buffers
    assert all(tensor.reason for tensor in inventory.excluded)


def why(name: str, shape: tuple[int, ...], siblings: Mapping[str, tuple[int, ...]], dtype: str = "float32") -> str:
    owner, _, leaf = name.rpartition(".")
    return buffer_reason(owner, leaf, Tensor(shape=shape, dtype=dtype), {leaf: shape, **siblings})


@pytest.mark.parametrize(
    ("name", "shape", "siblings"),
    [
        ("h.0.attn.masked_bias", (), {"bias": (1, 1, 8, 8)}),
        ("layers.0.self_attn.rotary_emb.inv_freq", (32,), {}),
        ("experts.3.up_proj.weight_scale_inv", (16, 56), {"weight": (2048, 7168)}),
        ("q_proj.scales", (4, 64), {"qweight": (64, 64)}),
        ("alphas_cumprod_prev", (1000,), {"alphas_cumprod": (1000,)}),
        ("backbone.conv.activation_post_process.min_val", (), {}),
        ("pixel_mean", (3, 1, 1), {}),
        ("encoder_q.queue", (128, 65536), {"queue_ptr": (1,)}),
    ],
)
def test_known_buffers_are_excluded(name: str, shape: tuple[int, ...], siblings: dict[str, tuple[int, ...]]) -> None:
    assert why(name, shape, siblings)


@pytest.mark.parametrize(
    ("name", "shape", "siblings"),
    [
        ("attn.bias", (64,), {"weight": (64, 64)}),
        ("attn.bias", (1, 1, 8, 8), {}),
        ("weight_v", (64, 64), {"weight_g": (64, 1)}),  # weight normalization
        ("scales", (3,), {}),
        ("logit_scale", (), {}),
        ("queue", (4, 4), {}),
        ("attn.mask", (4, 4), {}),
    ],
)
def test_a_name_alone_does_not_make_a_buffer(
    name: str, shape: tuple[int, ...], siblings: dict[str, tuple[int, ...]]
) -> None:
    reason = why(name, shape, siblings)
    assert bool(reason) == (shape == (1, 1, 8, 8)), reason


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "qint8", "int32"])
def test_a_tensor_that_cannot_have_a_gradient_is_no_parameter(dtype: str) -> None:
    assert why("layer.weight", (3, 4), {}, dtype) == f"{dtype}: only floating-point tensors are trained"


def test_a_tensor_that_requires_a_gradient_is_a_parameter_whatever_its_name() -> None:
    tensor = Tensor(shape=(3,), dtype="float32", trainable=True)
    assert buffer_reason("norm", "running_mean", tensor, {"running_mean": (3,)}) == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("whole", [True, False])
def test_a_quantized_model_has_no_parameters_and_says_why(whole: bool, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    packed = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    torch.save(packed if whole else packed.state_dict(), tmp_path / "model.pt")
    with pytest.raises(TargetError, match="no parameters") as caught:
        read(tmp_path / "model.pt", target="")
    assert ("quantized modules are packed" in caught.value.message) == whole
