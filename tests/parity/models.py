"""The models that presets are compared on: well-known ones, and two made to be odd."""

import warnings
from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import torch
from torch import nn

from decay_audit.sources.module.build_devices import BUILD_DEVICES
from tests.specimens import RMSNorm

Maker = Callable[[], nn.Module]


class Norm(nn.LayerNorm):
    """A norm that derives from torch.nn's under a name of its own."""


class GatedNorm(nn.LayerNorm):
    """A norm with a Linear inside it."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.gate = nn.Linear(size, size)


class BiasNet(nn.Module):
    """A class and a child with `bias` in their names."""

    def __init__(self) -> None:
        super().__init__()
        self.rel_bias_mlp = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4, 4))
        self.bias = nn.Parameter(torch.zeros(4, 4))


class Odd(nn.Module):
    """What naming conventions and class lists disagree about."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4, 4))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.position_embedding = nn.Parameter(torch.zeros(1, 5, 8))
        self.gamma = nn.Parameter(torch.ones(1, 1, 1, 8))
        self.logit_scale = nn.Parameter(torch.tensor(2.6))
        self.A_log = nn.Parameter(torch.zeros(4, 8))
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]
        self.embed = nn.Embedding(11, 8)
        self.stem = nn.Conv2d(1, 8, 3)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.bn = nn.BatchNorm2d(8)
        self.sync_bn = nn.SyncBatchNorm(8)
        self.group_norm = nn.GroupNorm(2, 8)
        self.instance_norm = nn.InstanceNorm2d(8, affine=True)
        self.normalization = nn.BatchNorm1d(8)
        self.volumes = nn.Sequential(nn.BatchNorm3d(8), nn.InstanceNorm3d(8, affine=True))
        self.signals = nn.InstanceNorm1d(8, affine=True)
        self.xlnet = nn.Linear(8, 8)
        self.norm1 = Norm(8)
        self.rms = RMSNorm(8)
        self.rms_norm = nn.RMSNorm(8)
        self.gated = GatedNorm(8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.subnet = nn.Linear(8, 8)
        self.biased = BiasNet()
        self.frozen = nn.Linear(8, 8).requires_grad_(requires_grad=False)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)) for _ in range(3))
        self.prelu = nn.PReLU()
        self.lm_head = nn.Linear(8, 11, bias=False)
        if tied:
            self.lm_head.weight = self.embed.weight


class Tower(nn.Module):
    """A part that declares names of its own, in each of the three forms."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(7, 8))
        self.tables = nn.ParameterDict({"relative_bias": nn.Parameter(torch.zeros(7, 8))})
        self.token_types = nn.Embedding(2, 8)
        self.projection = nn.Linear(8, 8)

    def no_weight_decay(self) -> set[str]:
        return {"position", "projection"}

    def no_weight_decay_keywords(self) -> set[str]:
        return {"bias", "token"}

    def no_weight_decay_patterns(self) -> list[str]:
        return ["*token_types*"]


class Hinting(Odd):
    """The same with every hook that asks to spare something, and with a part that has hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Tower()

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token", "blocks.0.*", "embed"}

    def no_weight_decay_keywords(self) -> set[str]:
        return {"rel_bias", "A_log"}

    def no_weight_decay_patterns(self) -> list[str]:
        return ["volumes.?.weight", "subnet"]


class Chat(nn.Module):
    """The parameters of nanochat's model, by their names."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.ModuleDict({"attn": nn.Linear(8, 8, bias=False), "mlp": nn.Linear(8, 32, bias=False)})
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(11, 8), "h": nn.ModuleList([block])})
        self.lm_head = nn.Linear(8, 11, bias=False)
        self.resid_lambdas = nn.Parameter(torch.ones(1))
        self.x0_lambdas = nn.Parameter(torch.zeros(1))
        self.smear_gate = nn.Linear(8, 1, bias=False)
        self.smear_lambda = nn.Parameter(torch.zeros(1))
        self.backout_lambda = nn.Parameter(torch.zeros(1))
        self.value_embeds = nn.ModuleDict({"0": nn.Embedding(11, 8)})


class Language(nn.Module):
    """Linear, LayerNorm and Embedding alone: what minGPT and OLMo accept."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(11, 8)
        self.body = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)) for _ in range(2))
        self.ln_f = nn.LayerNorm(8)
        self.lm_head = nn.Linear(8, 11, bias=False)


class ConvNext(nn.Module):
    """The parameters of the original ConvNeXt code, by their names: 27 blocks in the third stage."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 2), RMSNorm(4)) for _ in range(4))
        self.stages = nn.ModuleList(nn.Sequential(*(self.block() for _ in range(depth))) for depth in (3, 3, 27, 3))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 10)

    @staticmethod
    def block() -> nn.Module:
        block = nn.Module()
        block.gamma = nn.Parameter(torch.ones(4))
        block.dwconv = nn.Conv2d(4, 4, 7, groups=4)
        block.norm = RMSNorm(4)
        block.pwconv1 = nn.Linear(4, 16)
        block.grn = nn.Module()
        block.grn.beta = nn.Parameter(torch.zeros(1, 1, 1, 16))
        return block


class BlockChunk(nn.ModuleList):
    """Some of the blocks, by their own numbers."""


class Chunked(nn.Module):
    """The parameters of DINOv2's vision transformer with its blocks in chunks, each with empty places in front."""

    chunked_blocks = True
    n_blocks = 4

    def __init__(self) -> None:
        super().__init__()
        for name in ("cls_token", "pos_embed", "mask_token", "register_tokens"):
            setattr(self, name, nn.Parameter(torch.zeros(1, 1, 8)))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, 8, 4)})
        self.blocks = nn.ModuleList(
            BlockChunk([*(nn.Identity() for _ in range(first)), self.block(), self.block()]) for first in (0, 2)
        )
        self.norm = nn.LayerNorm(8)

    @staticmethod
    def block() -> nn.Module:
        return nn.ModuleDict({"norm1": nn.LayerNorm(8), "attn": nn.Linear(8, 8), "residual": nn.Linear(8, 8)})


def timm(name: str) -> Maker:
    """A timm architecture; on meta where its constructor allows it."""

    def make() -> nn.Module:
        from timm import create_model

        return on_meta(lambda: create_model(name))

    return make


def torchvision(name: str) -> Maker:
    """A torchvision architecture."""

    def make() -> nn.Module:
        from torchvision.models import get_model, get_model_builder

        # A detection model fetches weights for its backbone unless it is told not to.
        weights = [word for word in signature(get_model_builder(name)).parameters if word.startswith("weights")]
        return on_meta(lambda: get_model(name, **dict.fromkeys(weights)))

    return make


def transformers(name: str, **small: Any) -> Maker:
    """A transformers architecture by its config's class; `small` overrides the config."""

    def make() -> nn.Module:
        from transformers import AutoModel, AutoModelForCausalLM
        from transformers.models.auto import configuration_auto

        config = configuration_auto.CONFIG_MAPPING[name](**small)
        auto: Any = AutoModelForCausalLM if name in ("gpt2", "llama", "mamba") else AutoModel
        model: nn.Module = on_meta(lambda: auto.from_config(config))
        return model

    return make


def on_meta(make: Maker) -> nn.Module:
    """Build without memory; parameter by parameter where a constructor asks for real numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with BUILD_DEVICES["meta"]():
                return make()
        except Exception:  # noqa: BLE001
            with BUILD_DEVICES["streamed"]():
                return make()


SMALL = {
    "bert": {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
    "gpt2": {"n_layer": 1, "n_embd": 16, "n_head": 2},
    "llama": {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
    "t5": {"num_layers": 1, "d_model": 16, "num_heads": 2, "d_ff": 32},
    "mamba": {"num_hidden_layers": 1, "hidden_size": 16},
}

MODELS: dict[str, Maker] = {
    **{
        name: timm(name)
        for name in (
            "vit_tiny_patch16_224",
            "swin_tiny_patch4_window7_224",
            "convnext_atto",
            "beit_base_patch16_224",
            "efficientnet_b0",
            "xcit_nano_12_p16_224",
            "levit_128s",
            "poolformer_s12",
        )
    },
    **{name: torchvision(name) for name in ("resnet50", "vit_b_16", "maxvit_t", "swin_v2_t")},
    **{name: transformers(name, **small) for name, small in SMALL.items()},
    "odd-tied": Odd,
    "odd-untied": lambda: Odd(tied=False),
    "hinting": Hinting,
    "convnext-27": ConvNext,
    "chunked": Chunked,
    "chat": Chat,
    "language": Language,
    "only-a-norm": lambda: nn.LayerNorm(8),
}
"""The models of every test run."""


def sample() -> Iterator[tuple[str, Maker]]:
    """More architectures, still few enough for every test run: each family of names once."""
    for name in _SAMPLE_TIMM:
        yield f"timm:{name}", timm(name)
    for name in _SAMPLE_TORCHVISION:
        yield f"torchvision:{name}", torchvision(name)


_SAMPLE_TIMM = (
    "coatnet_nano_rw_224",
    "convnextv2_atto",
    "deit3_small_patch16_224",
    "edgenext_xx_small",
    "eva02_tiny_patch14_224",
    "fastvit_t8",
    "mobilenetv4_conv_small",
    "nfnet_f0",
    "pit_ti_224",
    "resnetv2_50",
    "swiftformer_xs",
    "swinv2_tiny_window8_256",
    "twins_svt_small",
    "visformer_tiny",
)
_SAMPLE_TORCHVISION = ("convnext_tiny", "densenet121", "efficientnet_v2_s", "mobilenet_v3_small", "regnet_y_400mf")


def everything() -> Iterator[tuple[str, Maker]]:
    """Every architecture of torchvision, timm and transformers that is a plain name."""
    from timm import list_models as timm_models
    from torchvision.models import list_models as torchvision_models
    from transformers.models.auto import configuration_auto

    yield from ((f"torchvision:{name}", torchvision(name)) for name in torchvision_models())
    yield from ((f"timm:{name}", timm(name)) for name in timm_models())
    yield from ((f"transformers:{name}", transformers(name)) for name in configuration_auto.CONFIG_MAPPING)
