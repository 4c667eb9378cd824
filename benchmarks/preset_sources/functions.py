"""How to call the definitions of a repository on a model: their namespace becomes the coefficient of each parameter.

Each function passes the arguments that the codebase's own training script passes by default. Knows no preset or file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from tests.parity.peers import Answer, Answers

Names = Mapping[str, Any]
"""The definitions of a source file, by name."""
Ask = Callable[[Names, nn.Module, float], Answers]
"""Takes these definitions, a model and a base coefficient; returns the answer for each parameter."""

LR = 0.125
"""A learning rate by which the rates of groups can be divided without rounding."""


def from_groups(model: nn.Module, groups: Iterable[Mapping[str, Any]], base: float) -> Answers:
    """Read param groups. A group without a coefficient has the base; a tensor in several groups is in the first."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    answers: Answers = {}
    for group in groups:
        members = [group["params"]] if isinstance(group["params"], torch.Tensor) else group["params"]
        rate = group.get("lr_scale", group["lr"] / LR if group.get("lr") else 1.0)
        for parameter in members:
            answers.setdefault(names[id(parameter)], Answer(group.get("weight_decay", base), rate))
    return answers


def declared_names(model: nn.Module, method: str = "no_weight_decay") -> Iterable[str]:
    """Call the method by which a model names what does not decay; the result is empty if it has no such method."""
    declare: Any = getattr(model, method, set)
    names: Iterable[str] = declare()
    return names


def beit(names: Names, model: nn.Module, base: float) -> Answers:
    blocks: Any = model.blocks
    count = len(blocks)
    assigner = names["LayerDecayValueAssigner"]([0.9 ** (count + 1 - layer) for layer in range(count + 2)])
    groups = names["get_parameter_groups"](
        model, base, declared_names(model), assigner.get_layer_id, assigner.get_scale
    )
    return from_groups(model, groups, base)


def convnext(names: Names, model: nn.Module, base: float) -> Answers:
    assigner = names["LayerDecayValueAssigner"]([0.8 ** (13 - layer) for layer in range(14)])
    groups = names["get_parameter_groups"](
        model, base, declared_names(model), assigner.get_layer_id, assigner.get_scale
    )
    return from_groups(model, groups, base)


def convnext_v2(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["get_parameter_groups"](model, base, declared_names(model)), base)


def swin(names: Names, model: nn.Module, base: float) -> Answers:
    keywords = declared_names(model, "no_weight_decay_keywords")
    return from_groups(model, names["set_weight_decay"](model, declared_names(model), keywords), base)


def mae(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["param_groups_lrd"](model, base, declared_names(model), 0.75), base)


def dino(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["get_params_groups"](model), base)


def dino_multipliers(function: str) -> Ask:
    """Make the function for DINOv2 and DINOv3, whose groups have multipliers."""

    def ask(names: Names, model: nn.Module, base: float) -> Answers:
        groups = names[function](model, lr_decay_rate=0.9, patch_embed_lr_mult=0.2)
        return from_groups(model, _multiplied(groups, base), base)

    return ask


def _multiplied(groups: Iterable[Mapping[str, Any]], base: float) -> Iterator[dict[str, Any]]:
    for group in groups:
        yield {
            "params": group["params"],
            "weight_decay": base * group["wd_multiplier"],
            "lr_scale": group["lr_multiplier"],
        }


def detectron2(names: Names, model: nn.Module, base: float) -> Answers:
    groups = names["get_default_optimizer_params"](model, weight_decay=base, weight_decay_norm=0.0)
    return from_groups(model, groups, base)


def maskrcnn(names: Names, model: nn.Module, base: float) -> Answers:
    solver = SimpleNamespace(BASE_LR=LR, WEIGHT_DECAY=base, BIAS_LR_FACTOR=2, WEIGHT_DECAY_BIAS=0, MOMENTUM=0.9)
    return from_groups(model, names["make_optimizer"](SimpleNamespace(SOLVER=solver), model).param_groups, base)


def mingpt(names: Names, model: nn.Module, base: float) -> Answers:
    config = SimpleNamespace(weight_decay=base, learning_rate=LR, betas=(0.9, 0.95))
    return from_groups(model, names["configure_optimizers"](model, config).param_groups, base)


def nanogpt(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["configure_optimizers"](model, base, LR, (0.9, 0.95), "cpu").param_groups, base)


def nanochat(names: Names, model: nn.Module, base: float) -> Answers:
    if not hasattr(model, "resid_lambdas"):
        raise AttributeError("not nanochat's model")
    model.config = SimpleNamespace(n_embd=768)  # type: ignore[assignment]
    groups = names["setup_optimizer"](model, weight_decay=base).param_groups
    name_of = {id(tensor): name for name, tensor in model.named_parameters()}
    return {
        name_of[id(tensor)]: Answer(group["weight_decay"], 1.0, group["kind"])
        for group in groups
        for tensor in group["params"]
    }


def yolov5(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["smart_optimizer"](model, "SGD", LR, 0.9, base).param_groups, base)


def slowfast(names: Names, model: nn.Module, base: float) -> Answers:
    solver = SimpleNamespace(
        LAYER_DECAY=1.0, ZERO_WD_1D_PARAM=False, WEIGHT_DECAY=base, LARS_ON=False, OPTIMIZING_METHOD="sgd",
        BASE_LR=LR, MOMENTUM=0.9, DAMPENING=0.0, NESTEROV=True,
    )  # fmt: skip
    config = SimpleNamespace(SOLVER=solver, NUM_GPUS=1, BN=SimpleNamespace(WEIGHT_DECAY=0.0))
    return from_groups(model, names["construct_optimizer"](model, config).param_groups, base)


def gpt_neox(names: Names, model: nn.Module, base: float) -> Answers:
    groups = names["get_params_for_weight_decay_optimization"](model, SimpleNamespace(weight_decay=base))
    return from_groups(model, groups, base)


def olmo(names: Names, model: nn.Module, base: float) -> Answers:
    optimizer = SimpleNamespace(decay_norm_and_bias=False, decay_embeddings=False)
    config = SimpleNamespace(max_grad_norm=1.0, max_grad_norm_ratio=None, optimizer=optimizer)
    return from_groups(model, names["get_param_groups"](config, model), base)


def deepspeed_chat(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["get_optimizer_grouped_parameters"](model, base, lora_lr=LR), base)


def nemo(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(
        model, names["_extract_model_params_for_optim"](model, base, lambda name, _: "bias" in name), base
    )


def bert(names: Names, model: nn.Module, base: float) -> Answers:
    optimizer = SimpleNamespace(weight_decay_rate=base, exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"])
    return {
        name: Answer(base if names["_do_use_weight_decay"](optimizer, name) else 0.0)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def simclr(names: Names, model: nn.Module, base: float) -> Answers:
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return from_groups(model, names["exclude_from_wt_decay"](None, trained, base), base)


def moonlight(names: Names, model: nn.Module, base: float) -> Answers:
    groups: dict[str, Any] = {}
    namespace = names["get_optimizer"].__globals__
    namespace["Muon"] = lambda **arguments: groups.update(arguments)
    names["get_optimizer"]("muon", model, LR, base)
    name_of = {id(tensor): name for name, tensor in model.named_parameters()}
    return {
        name_of[id(tensor)]: Answer(groups["wd"], 1.0, use)
        for use in ("muon", "adamw")
        for tensor in groups[f"{use}_params"]
    }


def open_clip(names: Names, model: nn.Module, base: float) -> Answers:
    exclude = names["make_wd_exclude"](model)
    return {
        name: Answer(0.0 if exclude(name, parameter) else base)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def flash_attention(names: Names, model: nn.Module, base: float) -> Answers:
    config = _Config(weight_decay=base)
    return from_groups(model, names["group_parameters_for_optimizer"](model, config), base)


class _Config(dict[str, float]):
    """A mapping whose keys are attributes, too."""

    def __getattr__(self, name: str) -> float:
        return self[name]
