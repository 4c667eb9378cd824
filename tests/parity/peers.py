"""The codebases: for each preset a function that says what its source does with a model.

Those of `CALLED` call the codebase itself. Those of `REIMPLEMENTED` cannot be installed, and the tests implement
their rules again.
"""

import contextlib
import importlib
import importlib.metadata
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from tests.parity.reimplemented import REIMPLEMENTED_RULES
from tests.process_group import process_group


class Answer(NamedTuple):
    """What becomes of one parameter."""

    weight_decay: float
    lr_scale: float = 1.0
    use: str | None = None

    def __str__(self) -> str:
        rate = "" if self.lr_scale == 1.0 else f" with lr x{self.lr_scale:.4g}"
        return f"{self.weight_decay:g}{rate}{f' by {self.use}' if self.use else ''}"


Answers = dict[str, Answer]


class Peer(NamedTuple):
    """A codebase's rule.

    Attributes:
        ask: gives the answer for each parameter that the codebase hands to an optimizer, by its first name.
        needs: the distribution that must be installed; "" for a rule that is implemented again.
        lr: learning rates are compared, too.
        use: the optimizers are compared, too.
    """

    ask: Callable[[nn.Module, float], Answers]
    needs: str = ""
    lr: bool = False
    use: bool = False


def _of(module: str, name: str) -> Any:
    """Something of a codebase, imported when it is asked for."""
    return getattr(importlib.import_module(module), name)


def missing(peer: Peer) -> bool:
    """Whether the distribution that the peer needs is not installed."""
    try:
        return bool(peer.needs and not importlib.metadata.version(peer.needs))
    except importlib.metadata.PackageNotFoundError:
        return True


def from_groups(model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> Answers:
    """The answers that param groups give; a tensor in several groups counts with its first."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    answers: Answers = {}
    for group in groups:
        for parameter in group["params"]:
            answer = Answer(group["weight_decay"], group.get("lr_scale", 1.0))
            answers.setdefault(names[id(parameter)], answer)
    return answers


def spared(model: nn.Module, base: float, without: Iterable[torch.Tensor], *, frozen: bool = True) -> Answers:
    """The answers where a codebase names the tensors that do not decay."""
    none = {id(tensor) for tensor in without}
    return {
        name: Answer(0.0 if id(parameter) in none else base)
        for name, parameter in model.named_parameters()
        if frozen or parameter.requires_grad
    }


def _timm(model: nn.Module, base: float) -> Answers:
    param_groups_weight_decay = _of("timm.optim", "param_groups_weight_decay")

    return from_groups(model, param_groups_weight_decay(model, base, no_weight_decay_list=_declared(model)))


def _timm_layer_decay(model: nn.Module, base: float) -> Answers:
    param_groups_layer_decay = _of("timm.optim", "param_groups_layer_decay")

    groups = param_groups_layer_decay(model, base, no_weight_decay_list=_declared(model), layer_decay=0.75)
    return from_groups(model, groups)


def _declared(model: nn.Module) -> set[str]:
    hook: Any = getattr(model, "no_weight_decay", set)
    return set(hook())


def _hf_trainer(model: nn.Module, base: float) -> Answers:
    trainer = _of("transformers", "Trainer")

    decayed = set(trainer.get_decay_parameter_names(None, model))
    return {
        name: Answer(base if name in decayed else 0.0)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


MMENGINE_LR = 0.125


def mmengine(**paramwise: Any) -> Callable[[nn.Module, float], Answers]:
    def ask(model: nn.Module, base: float) -> Answers:
        constructor = _of("mmengine.optim", "DefaultOptimWrapperConstructor")(
            {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": MMENGINE_LR, "weight_decay": base}},
            paramwise_cfg={**paramwise, "bypass_duplicate": True},
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            wrapper = constructor(model)
        groups = wrapper.optimizer.param_groups
        return from_groups(model, [{**group, "lr_scale": group["lr"] / MMENGINE_LR} for group in groups])

    return ask


def _pytorch_optimizer(model: nn.Module, base: float) -> Answers:
    return from_groups(model, _of("pytorch_optimizer", "get_optimizer_parameters")(model, base))


def _fastai(model: nn.Module, base: float) -> Answers:
    return spared(model, base, _of("fastai.torch_core", "norm_bias_params")(model))


def _lightly(model: nn.Module, base: float) -> Answers:
    _, without = _of("lightly.models.utils", "get_weight_decay_parameters")([model])
    return spared(model, base, without)


def _ultralytics(model: nn.Module, base: float) -> Answers:
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())  # it writes settings where it is imported
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer_class = _of("ultralytics.engine.trainer", "BaseTrainer")
        trainer = trainer_class.__new__(trainer_class)  # without what a trainer sets up and its optimizer does not need
        optimizer = trainer_class.build_optimizer(trainer, model, name="AdamW", decay=base)
    return from_groups(model, optimizer.param_groups)


def _megatron(*, decay_qk_norms: bool = False) -> Callable[[nn.Module, float], Answers]:
    def ask(model: nn.Module, base: float) -> Answers:
        place = "megatron.core.optimizer"
        config = _of(f"{place}.optimizer_config", "OptimizerConfig")(
            optimizer="adam", lr=0.1, weight_decay=base, apply_wd_to_qk_layernorm=decay_qk_norms, min_lr=0.0
        )
        overrides = _of(place, "get_standard_config_overrides")(config)
        with process_group():  # Megatron gathers its groups from all ranks
            groups = _of(place, "_get_param_groups")([model], config, overrides)
        return from_groups(model, [{**group, "weight_decay": base * group["wd_mult"]} for group in groups])

    return ask


def _torchtitan(model: nn.Module, base: float) -> Answers:
    place = "torchtitan.components.optimizer.optimizer"
    config = _of(place, "default_adamw")(weight_decay=base)
    groups, _ = _of(place, "OptimizersContainer")._build_param_groups(model, config.param_groups, {})
    return from_groups(model, [group for each in groups.values() for group in each])


def _reimplemented(
    rule: Callable[[nn.Module, float], Mapping[str, tuple[Any, ...]]],
) -> Callable[[nn.Module, float], Answers]:
    return lambda model, base: {name: Answer(*answer) for name, answer in rule(model, base).items()}


CALLED: dict[str, Peer] = {
    "timm": Peer(_timm, "timm"),
    "timm-layer-decay": Peer(_timm_layer_decay, "timm", lr=True),
    "hf-trainer": Peer(_hf_trainer, "transformers"),
    "mmengine": Peer(mmengine(norm_decay_mult=0, bias_decay_mult=0, flat_decay_mult=0), "mmengine-lite"),
    "mmengine-depthwise": Peer(
        mmengine(norm_decay_mult=0, bias_decay_mult=0, flat_decay_mult=0, dwconv_decay_mult=0), "mmengine-lite"
    ),
    "pytorch-optimizer": Peer(_pytorch_optimizer, "pytorch-optimizer"),
    "fastai": Peer(_fastai, "fastai"),
    "lightly": Peer(_lightly, "lightly"),
    "ultralytics": Peer(_ultralytics, "ultralytics"),
    "megatron": Peer(_megatron(), "megatron-core"),
    "megatron-qk-norm": Peer(_megatron(decay_qk_norms=True), "megatron-core"),
    "torchtitan": Peer(_torchtitan, "torchtitan"),
}
REIMPLEMENTED: dict[str, Peer] = {
    name: Peer(
        _reimplemented(rule),
        lr=name in ("mae", "beit", "convnext", "dinov2", "dinov3", "maskrcnn-benchmark"),
        use=name in MUON,
    )
    for MUON in [("keller-muon", "moonlight-muon", "nanochat")]
    for name, rule in REIMPLEMENTED_RULES.items()
}
PEERS = {**CALLED, **REIMPLEMENTED}
HOUSE = ("no-norm-no-bias", "no-bias", "muon", "muon-stacked")
"""Policies of this project's own, which no codebase could be compared with."""
