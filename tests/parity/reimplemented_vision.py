"""Codebases of vision that cannot be installed, implemented again in our own words, on live modules."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from tests.parity.reimplementing import (
    Reimplementation,
    Spares,
    by_name_and_shape,
    by_owner,
    declared,
    dotted_bias,
    either,
    first_names,
    flat,
    has,
    homes,
)


def torchvision(*, swin: bool) -> Reimplementation:
    norms = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, _InstanceNorm, nn.LocalResponseNorm)
    keys = {"bias", "class_token", "position_embedding", "relative_position_bias_table"} if swin else set()

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        home = homes(model)
        return {
            name: (0.0 if name.split(".")[-1] in keys or isinstance(home[name][0], norms) else base,)
            for name, _ in first_names(model, frozen=False)
        }

    return rule


def maskrcnn(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    return {name: (0.0, 2.0) if "bias" in name else (base, 1.0) for name, _ in first_names(model, frozen=False)}


def swin(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    names, words = declared(model), declared(model, "no_weight_decay_keywords")
    test = either(flat, dotted_bias, lambda name, _: name in names, has(*words))
    return by_name_and_shape(test)(model, base)


def with_layers(
    spares: Callable[[nn.Module], Spares], rate: float, layer: Callable[[str, int], int], top: int | None = None
) -> Reimplementation:
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
    """How many blocks MAE and BEiT count; a model without a list of them is none of theirs."""
    lists: Any = model.blocks
    return len(lists)


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


def dino_layers(spares: Spares, tokens: tuple[str, ...], *, looks_into_backbone: bool) -> Reimplementation:
    """DINOv2 and DINOv3: as many layers as the model has blocks, and numbers from any name that speaks of blocks."""

    def rule(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
        top = blocks_of(model, looks_into_backbone) + 1
        chunks = looks_into_backbone and getattr(model, "chunked_blocks", False)
        answers = {}
        for name, each in first_names(model, frozen=False):
            counts = top > 1 or name.startswith("backbone")
            dotted = tuple(f".{token}" for token in tokens)
            first = any(token in name for token in (tokens if top > 1 else dotted))
            layer = 0 if first else number_of_block(name, chunks=chunks, inner=top == 1, top=top)
            scale = 0.9 ** (top - layer) if counts else 1.0
            answers[name] = (0.0 if spares(name, each) else base, scale * (0.2 if "patch_embed" in name else 1.0))
        return answers

    return rule


def blocks_of(model: nn.Module, looks_into_backbone: bool) -> int:
    """How many blocks DINOv2 and DINOv3 count: those at the top, or DINOv2 those of a backbone there."""
    count: Any = getattr(model, "n_blocks", None) if looks_into_backbone else None
    if isinstance(count, int):
        return count
    lists: Any = getattr(model, "blocks", None)
    inner: Any = getattr(model, "backbone", None)
    if lists is None and looks_into_backbone and inner is not None:
        lists = inner.blocks
    return 0 if lists is None else len(lists)


def number_of_block(name: str, *, chunks: bool, inner: bool, top: int) -> int:
    """The layer of a block by the first number behind `.blocks.`, or else behind `blocks.`; one more than that."""
    if ".blocks." in name and ".residual." not in name:
        return int(name.split(".blocks.")[1].split(".", maxsplit=1)[0]) + 1
    if inner or "blocks." not in name or "residual." in name:
        return top
    behind = name.split("blocks.")[1].split(".")
    return int(behind[1] if chunks else behind[0]) + 1


def yolov5(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    norms = tuple(value for name, value in vars(nn).items() if "Norm" in name)
    home = homes(model)

    def spares(name: str) -> bool:
        leaf = name.rsplit(".", maxsplit=1)[-1]
        return leaf == "bias" or (leaf == "weight" and isinstance(home[name][0], norms))

    return {name: (0.0 if spares(name) else base,) for name, _ in first_names(model, frozen=True)}


def slowfast(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    return by_owner((_NormBase,), has(*declared(model)))(model, base)


def open_clip(model: nn.Module, base: float) -> dict[str, tuple[Any, ...]]:
    """Each module is asked for names, patterns and ends of names, all relative to itself."""
    spared = set()
    for place, module in model.named_modules():
        names = declared(module)
        patterns = [*declared(module, "no_weight_decay_patterns")]
        patterns += [f"*{word}" for word in declared(module, "no_weight_decay_keywords")]
        for inner, _ in module.named_parameters():
            if inner in names or any(fnmatchcase(inner, pattern) for pattern in patterns):
                spared.add(f"{place}.{inner}" if place else inner)
    return by_name_and_shape(lambda name, tensor: tensor.dim() <= 1 or name in spared)(model, base)
