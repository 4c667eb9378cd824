"""Codebases that cannot be installed, retold in our own words on live modules: oracles, not their code.

Each function gives (weight_decay, lr_scale, use), or a part of it, for every parameter that the codebase hands to an
optimizer. Facts are from the versions that the presets name as their source.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm


class RefusesError(Exception):
    """The codebase stops with an error of its own on purpose: it has no answer for a parameter."""


Retold = Callable[[nn.Module, float], dict[str, tuple[Any, ...]]]
Spares = Callable[[str, Tensor], bool]


def first_names(model: nn.Module, *, frozen: bool) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, each) for name, each in model.named_parameters() if frozen or each.requires_grad)


def homes(model: nn.Module) -> dict[str, tuple[nn.Module, list[nn.Module]]]:
    """The module that holds each parameter, and all modules on the way to it below the root, it among them."""
    found = {}
    for name, _ in model.named_parameters(remove_duplicate=False):
        path = name.split(".")[:-1]
        way = [model.get_submodule(".".join(path[: depth + 1])) for depth in range(len(path))]
        found[name] = (way[-1] if way else model, way)
    return found


def by_name_and_shape(spares: Spares, *, frozen: bool = False) -> Retold:
    """A codebase that asks for nothing but names and shapes."""
    return lambda model, base: {
        name: (0.0 if spares(name, each) else base,) for name, each in first_names(model, frozen=frozen)
    }


def has(*parts: str) -> Spares:
    return lambda name, _: any(part in name for part in parts)


def flat(_: str, tensor: Tensor) -> bool:
    return tensor.dim() == 1


def dotted_bias(name: str, _: Tensor) -> bool:
    return name.rsplit(".", maxsplit=1)[-1] == "bias" and "." in name


def either(*tests: Spares) -> Spares:
    return lambda name, tensor: any(test(name, tensor) for test in tests)


def declared(model: nn.Module, hook: str = "no_weight_decay") -> set[str]:
    method: Any = getattr(model, hook, None)
    return set(method()) if method else set()


def torchvision(*, swin: bool) -> Retold:
    norms = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, _InstanceNorm, nn.LocalResponseNorm)
    keys = {"bias", "class_token", "position_embedding", "relative_position_bias_table"} if swin else set()

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        home = homes(model)
        return {
            name: (0.0 if name.split(".")[-1] in keys or isinstance(home[name][0], norms) else base,)
            for name, _ in first_names(model, frozen=False)
        }

    return rule


def hf_older(parts: tuple[str, ...], *, fold: bool) -> Retold:
    """transformers before 4.53: listed classes on the way to a parameter, and parts of its name."""
    listed = {
        "ChameleonRMSNorm",
        "GraniteMoeRMSNorm",
        "IdeficsRMSNorm",
        "LlamaRMSNorm",
        "LongT5LayerNorm",
        "MegaSequenceNorm",
        "MoshiRMSNorm",
        "NemotronLayerNorm1P",
        "OlmoeRMSNorm",
        "Pix2StructLayerNorm",
        "Pop2PianoLayerNorm",
        "RecurrentGemmaRMSNorm",
        "SwitchTransformersLayerNorm",
        "T5LayerNorm",
        "ZambaRMSNorm",
    }

    def is_listed(module: nn.Module) -> bool:
        ours = (this for this in type(module).__mro__ if this.__module__.startswith("transformers.models."))
        return isinstance(module, nn.LayerNorm) or any(this.__name__ in listed for this in ours)

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        home = homes(model)
        return {
            name: (
                0.0
                if any(map(is_listed, home[name][1])) or any(part in (name.lower() if fold else name) for part in parts)
                else base,
            )
            for name, _ in first_names(model, frozen=False)
        }

    return rule


def by_owner(
    classes: tuple[type, ...], spares: Spares = lambda *_: False, *, frozen: bool = False, above: bool = False
) -> Retold:
    """A codebase that asks for the class of the module that holds a parameter, or of any module on the way."""

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        home = homes(model)
        return {
            name: (
                0.0
                if any(isinstance(one, classes) for one in (home[name][1] if above else home[name][:1]))
                or spares(name, each)
                else base,
            )
            for name, each in first_names(model, frozen=frozen)
        }

    return rule


def maskrcnn(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    return {name: (0.0, 2.0) if "bias" in name else (base, 1.0) for name, _ in first_names(model, frozen=False)}


def gpt_lists(*, frozen: bool, norms: tuple[type, ...]) -> Retold:
    """minGPT and OLMo: two lists that every parameter must be in exactly one of."""

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        wanted = {name for name, _ in first_names(model, frozen=frozen)}
        tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - wanted
        if frozen and tied:
            raise KeyError(f"minGPT looks tied names up among the first ones: {sorted(tied)}")
        yes, no = set(), set()
        for place, module in model.named_modules():
            for inner, _ in module.named_parameters():
                name = f"{place}.{inner}" if place else inner
                if name not in wanted:
                    continue
                if inner.endswith("bias"):
                    no.add(name)
                elif inner.endswith("weight") and isinstance(module, nn.Linear):
                    yes.add(name)
                elif inner.endswith("weight") and isinstance(module, (*norms, nn.Embedding)):
                    no.add(name)
        if yes & no or wanted != yes | no:
            raise RefusesError(f"not in exactly one list: {sorted((yes & no) | (wanted ^ (yes | no)))}")
        return {name: (base if name in yes else 0.0,) for name in wanted}

    return rule


def nanochat(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    parts: dict[str, tuple[float, str]] = {
        "lm_head": (0.01, "adamw"),
        "transformer.wte": (0.001, "adamw"),
        "value_embeds": (0.01, "adamw"),
        "resid_lambdas": (0.05, "adamw"),
        "x0_lambdas": (0.0, "adamw"),
        "smear_gate": (0.0, "adamw"),
        "smear_lambda": (0.0, "adamw"),
        "backout_lambda": (0.0, "adamw"),
        "transformer.h": (base, "muon"),
    }
    answers: dict[str, tuple[Any, ...]] = {}
    for name, _ in model.named_parameters():
        known = [value for part, value in parts.items() if name == part or name.startswith(part + ".")]
        if not known:
            raise RefusesError(f"{name} is in no group")
        answers[name] = (known[0][0], 1.0, known[0][1])
    return answers


def swin(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    names, words = declared(model), declared(model, "no_weight_decay_keywords")
    test = either(flat, dotted_bias, lambda name, _: name in names, has(*words))
    return by_name_and_shape(test)(model, base)


def with_layers(
    spares: Callable[[nn.Module], Spares], rate: float, layer: Callable[[str, int], int], top: int | None = None
) -> Retold:
    """A codebase whose learning rates fall with depth; `layer` takes a name and the number behind the last block."""

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        last = blocks(model) + 1 if top is None else top
        test = spares(model)
        layers = {name: layer(name, last) for name, _ in first_names(model, frozen=False)}
        if max(layers.values(), default=0) > last:
            raise IndexError(f"a layer beyond the last, {last}")
        return {
            name: (0.0 if test(name, each) else base, rate ** (last - layers[name]))
            for name, each in first_names(model, frozen=False)
        }

    return rule


def blocks(model: nn.Module) -> int:
    """How many blocks a model has by its names: their highest number and one."""
    numbers = [int(found[1]) for name, _ in model.named_parameters() if (found := re.match(r"blocks\.(\d+)", name))]
    return max(numbers, default=-1) + 1


def vit_layer(first: tuple[str, ...], last_prefix: str = "\0") -> Callable[[str, int], int]:
    def layer(name: str, last: int) -> int:
        if name in first or name.startswith("patch_embed"):
            return 0
        if name.startswith("blocks") and not name.startswith(last_prefix):
            return int(name.split(".")[1]) + 1
        return last

    return layer


def beit_spares(model: nn.Module) -> Spares:
    names = declared(model)
    return either(flat, dotted_bias, lambda name, _: name in names)


def mae_spares(model: nn.Module) -> Spares:
    names = declared(model)
    return either(flat, lambda name, _: name in names)


def convnext_layer(name: str, last: int) -> int:
    match name.split("."):
        case ["downsample_layers", stage, *_]:
            return {"0": 0, "1": 2, "2": 3, "3": 12}[stage]
        case ["stages", "0" | "1" as stage, *_]:
            return int(stage) + 1
        case ["stages", "2", block, *_]:
            return 3 + int(block) // 3
        case ["stages", "3", *_]:
            return 12
    return last


def dinov2(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    """Blocks are numbered by their names; the codebase counts `model.blocks`, so others are beyond it."""
    numbers = {
        name: int(found[1])
        for name, _ in model.named_parameters()
        if "residual." not in name and (found := re.search(r"blocks\.(?:\d+\.)?(\d+)\.", name))
    }
    top = max(numbers.values(), default=-1) + 2
    spares = either(dotted_bias, has("norm", "gamma"))
    answers = {}
    for name, each in first_names(model, frozen=False):
        first = any(part in name for part in ("pos_embed", "patch_embed", "mask_token", "cls_token", "register_tokens"))
        layer = 0 if first else numbers[name] + 1 if name in numbers else top
        scale = 0.9 ** (top - layer) * (0.2 if "patch_embed" in name else 1.0)
        answers[name] = (0.0 if spares(name, each) else base, scale)
    return answers


def yolov5(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    norms = tuple(value for name, value in vars(nn).items() if "Norm" in name)
    home = homes(model)

    def spares(name: str) -> bool:
        leaf = name.rsplit(".", maxsplit=1)[-1]
        return leaf == "bias" or (leaf == "weight" and isinstance(home[name][0], norms))

    return {name: (0.0 if spares(name) else base,) for name, _ in first_names(model, frozen=True)}


def gpt_neox(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    norms = {
        "LayerNorm",
        "RMSNorm",
        "ScaleNorm",
        "TELayerNorm",
        "TERMSNorm",
        "MixedFusedLayerNorm",
        "MixedFusedRMSNorm",
    }
    home = homes(model)
    return {
        name: (
            0.0
            if type(home[name][0]).__name__ in norms
            or name.split(".")[-1] == "bias"
            or getattr(each, "_no_weight_decay", False)
            else base,
        )
        for name, each in first_names(model, frozen=True)
    }


def flash_attention(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    names, words = declared(model), declared(model, "no_weight_decay_keywords")
    classes = (
        nn.Embedding,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
        nn.BatchNorm3d,
        nn.SyncBatchNorm,
        nn.GroupNorm,
        nn.InstanceNorm1d,
        nn.InstanceNorm2d,
        nn.InstanceNorm3d,
        nn.LayerNorm,
        nn.LocalResponseNorm,
    )
    home = homes(model)
    answers = {}
    for name, each in first_names(model, frozen=False):
        owner, way = home[name]
        asked = name in names or any(word in name for word in words) or getattr(each, "_no_weight_decay", False)
        bias = name.split(".")[-1].endswith("bias")
        inside = isinstance(owner, classes) or any(isinstance(one, classes) for one in way)
        if isinstance(owner, nn.Linear) and inside and not asked and not bias:
            raise AssertionError(f"{name} is in both lists")
        answers[name] = (0.0 if asked or bias or inside else base,)
    return answers


def slowfast(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    return by_owner((_NormBase,), has(*declared(model)))(model, base)


def muon(body: Spares) -> Retold:
    return lambda model, base: {
        name: (base, 1.0, "muon" if body(name, each) else "adamw") for name, each in first_names(model, frozen=True)
    }


def bare_bias(name: str, _: Tensor) -> bool:
    return name.endswith("bias")


_TORCH_NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)

RETOLD_RULES: dict[str, Retold] = {
    "torch-default": by_name_and_shape(lambda *_: False, frozen=True),
    "torchvision": torchvision(swin=False),
    "torchvision-swin": torchvision(swin=True),
    "hf-trainer-4.49": hf_older(("bias", "layernorm", "rmsnorm"), fold=True),
    "hf-trainer-4.48": hf_older(("bias",), fold=False),
    "hf-no-trainer": by_name_and_shape(has("bias", "layer_norm.weight"), frozen=True),
    "detectron2": by_owner(
        (
            nn.BatchNorm1d,
            nn.BatchNorm2d,
            nn.BatchNorm3d,
            nn.SyncBatchNorm,
            nn.GroupNorm,
            nn.InstanceNorm1d,
            nn.InstanceNorm2d,
            nn.InstanceNorm3d,
            nn.LayerNorm,
            nn.LocalResponseNorm,
        )
    ),
    "maskrcnn-benchmark": maskrcnn,
    "mingpt": gpt_lists(frozen=True, norms=(nn.LayerNorm,)),
    "nanogpt": by_name_and_shape(lambda _, tensor: tensor.dim() < 2),
    "nanochat": nanochat,
    "swin": swin,
    "mae": with_layers(mae_spares, 0.75, vit_layer(("cls_token", "pos_embed"))),
    "beit": with_layers(beit_spares, 0.9, vit_layer(("cls_token", "mask_token", "pos_embed"))),
    "convnext": with_layers(beit_spares, 0.8, convnext_layer, top=13),
    "convnext-v2": lambda model, base: by_name_and_shape(
        either(beit_spares(model), lambda name, _: name.endswith((".gamma", ".beta")))
    )(model, base),
    "dino": by_name_and_shape(either(flat, dotted_bias)),
    "dinov2": dinov2,
    "dinov3": by_name_and_shape(either(bare_bias, has("norm", "gamma", "fourier_w"))),
    "open-clip": by_name_and_shape(either(lambda _, tensor: tensor.dim() < 2, has("bn", "ln", "bias", "logit_scale"))),
    "simclr": by_name_and_shape(has("bias", "bn")),
    "yolov5": yolov5,
    "nemo": by_name_and_shape(has("bias")),
    "deepspeed-chat": by_name_and_shape(
        lambda name, _: any(
            part in name.lower()
            for part in ("bias", "layer_norm.weight", "layernorm.weight", "norm.weight", "ln_f.weight")
        )
    ),
    "gpt-neox": gpt_neox,
    "flash-attention": flash_attention,
    "olmo": gpt_lists(frozen=False, norms=(nn.LayerNorm,)),
    "olmo-core": by_name_and_shape(lambda name, _: name == "embeddings.weight"),
    "bert": by_name_and_shape(has("LayerNorm", "layer_norm", "bias")),
    "tf-resnet": by_owner((_BatchNorm,)),
    "gluon-no-wd": lambda model, base: {
        name: (
            0.0
            if any(part in name for part in ("bias", "beta", "gamma"))
            or (name.endswith("weight") and isinstance(owner, _TORCH_NORMS))
            else base,
        )
        for name, _ in first_names(model, frozen=False)
        for owner in [homes_of(model, name)]
    },
    "basecls-vit": by_owner(_TORCH_NORMS, has("pos_embed", "cls_token", "bias"), frozen=True),
    "slowfast": slowfast,
    "keller-muon": muon(lambda name, tensor: name.startswith("body.") and tensor.dim() >= 2),
    "moonlight-muon": muon(
        lambda name, tensor: tensor.dim() >= 2 and "embed_tokens" not in name and "lm_head" not in name
    ),
}


def homes_of(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])
