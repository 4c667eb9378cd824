"""Published recipes under the default ruleset: the optimizer that a library makes for its own models, audited.

`python -m benchmarks.recipes` writes docs/recipes.md. Each recipe calls the library that it is named after, or makes
groups by the rule that the codebase publishes in one line (`ndim >= 2` of nanoGPT and Megatron-LM).
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import decay_audit
from benchmarks import torchvision_schemas
from decay_audit.checks.codes import Finding

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
BASE = 0.05

Make = Callable[[nn.Module], Any]


class Recipe(NamedTuple):
    """A model, and an optimizer that a library makes for it. Frozen parameters are left out, as these libraries do.

    Attributes:
        why: why its errors are correct; "" if it must have none.
    """

    optimizer: str
    model: str
    build: Callable[[], nn.Module]
    make: Make
    why: str = ""


def _timm_model(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model: nn.Module = import_module("timm").create_model(name)
        return model

    return build


def _timm(opt: str) -> Make:
    return lambda model: import_module("timm.optim").create_optimizer_v2(model, opt=opt, lr=1e-3, weight_decay=BASE)


_SMALL: Mapping[str, Mapping[str, Any]] = {
    "Llama": {"num_key_value_heads": 4},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "T5": {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4},
    "Mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    "Rwkv": {"attention_hidden_size": 32},
    "CLIP": {},
    "Wav2Vec2": {"conv_dim": (32, 32), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_feat_extract_layers": 2},
    "Gemma2": {"num_key_value_heads": 2, "head_dim": 8},
    "Mixtral": {"num_key_value_heads": 2, "num_local_experts": 2},
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 96},
    "DebertaV2": {"pos_att_type": ["p2c", "c2p"], "relative_attention": True},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64, "vocab_size": 96},
    "Dinov2": {"image_size": 32, "patch_size": 8},
    "Swinv2": {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "image_size": 32},
    "ConvNextV2": {"hidden_sizes": [8, 16, 32, 32], "depths": [1, 1, 1, 1]},
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 96},
    "RecurrentGemma": {"lru_width": 32, "num_hidden_layers": 3},
    "Whisper": {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "vocab_size": 96,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0),
    },
}
_OWN_SIZES = ("GPT2", "T5", "Bloom", "XLNet", "Swinv2", "ConvNextV2", "Mamba", "Whisper")
"""Models whose configuration has other names for its sizes than the common ones."""
_COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 96,
}


def _transformers_model(name: str, suffix: str = "Model") -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        transformers = import_module("transformers")
        config_class = getattr(transformers, f"{name}Config")
        if name == "CLIP":
            config = config_class(
                text_config=dict(_COMMON), vision_config={**_COMMON, "image_size": 32, "patch_size": 8}
            )
        else:
            common = {} if name in _OWN_SIZES else _COMMON
            config = config_class(**{**common, **_SMALL.get(name, {})})
        model: nn.Module = getattr(transformers, f"{name}{suffix}")(config)
        return model

    return build


def _trainer(model: nn.Module) -> torch.optim.Optimizer:
    """Make AdamW as Trainer.create_optimizer does, by the names that its own method returns."""
    decayed = set(import_module("transformers").Trainer.get_decay_parameter_names(None, model))
    return _split(model, lambda name, _: name in decayed)


def _rank(model: nn.Module) -> torch.optim.Optimizer:
    return _split(model, lambda _, parameter: parameter.ndim >= 2)


def _megatron(model: nn.Module) -> torch.optim.Optimizer:
    return _split(model, lambda name, parameter: parameter.ndim > 1 and not name.endswith(".bias"))


def _everything(model: nn.Module) -> torch.optim.Optimizer:
    return _split(model, lambda _name, _parameter: True)


def _split(model: nn.Module, decays: Callable[[str, nn.Parameter], bool]) -> torch.optim.Optimizer:
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in ((name, each) for name, each in model.named_parameters() if each.requires_grad):
        groups[decays(name, parameter)].append(parameter)
    param_groups = [
        {"params": members, "weight_decay": BASE if decayed else 0.0} for decayed, members in groups.items() if members
    ]
    return torch.optim.AdamW(param_groups, lr=1e-3)


def _torchvision_model(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model: nn.Module = import_module("torchvision.models").get_model(name, weights=None)
        return model

    return build


def _torchvision(model: nn.Module) -> torch.optim.Optimizer:
    """Make SGD as the reference script does with `--norm-weight-decay 0`, by torchvision's own function."""
    norms, others = import_module("torchvision.ops._utils").split_normalization_params(model)
    groups = [{"params": others, "weight_decay": BASE}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.SGD([group for group in groups if group["params"]], lr=0.1, momentum=0.9)


def _lightly(model: nn.Module) -> torch.optim.Optimizer:
    """Make groups of the two lists, as lightly's own examples do."""
    decayed, spared = import_module("lightly.models.utils").get_weight_decay_parameters([model])
    groups = [{"params": decayed, "weight_decay": BASE}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)


def _mmengine(model: nn.Module) -> torch.optim.Optimizer:
    """Make AdamW with the `paramwise_cfg` of most of mmengine's configurations for images."""
    constructor = import_module("mmengine.optim").DefaultOptimWrapperConstructor(
        {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3, "weight_decay": BASE}},
        paramwise_cfg={"norm_decay_mult": 0.0, "bias_decay_mult": 0.0, "flat_decay_mult": 0.0},
    )
    optimizer: torch.optim.Optimizer = constructor(model).optimizer
    return optimizer


def _fastai(model: nn.Module) -> Any:  # noqa: ANN401 - fastai's optimizers are not torch's
    """Make the optimizer as a Learner does with `wd_bn_bias=False`, its default."""
    learner_class = import_module("fastai.learner").Learner
    learner = learner_class(import_module("fastai.data.core").DataLoaders(), model, loss_func=nn.MSELoss(), wd=BASE)
    learner.create_opt()
    return learner.opt


_WHY = {"Mamba2": "the last norm is called `norm_f`, which no pattern of the Trainer spares: its gain decays"}
_BIASES = "its split is by norm layers: biases of other layers decay"
_ALL = "one group of model.parameters(): biases and norms decay"
_TIMM_ADAMW = [
    "vit_tiny_patch16_224",
    "deit3_small_patch16_224",
    "beit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
    "convnext_tiny",
    "resnet18",
    "mixer_s32_224",
    "efficientnet_b0",
    "maxvit_tiny_tf_224",
    "cait_xxs24_224",
    "mobilenetv3_small_100",
    "levit_128s",
    "swinv2_tiny_window8_256",
    "eva02_tiny_patch14_224",
]
_TRAINER = (
    ("Llama", "ForCausalLM"),
    ("Bert", "ForMaskedLM"),
    ("T5", "ForConditionalGeneration"),
    ("GPT2", "LMHeadModel"),
)
_TRAINER_MODELS = ("Mamba2", "Rwkv", "CLIP", "Wav2Vec2", "ViT", "Roberta", "Qwen2")

RECIPES: tuple[Recipe, ...] = (
    *(Recipe("timm create_optimizer_v2, adamw", name, _timm_model(name), _timm("adamw")) for name in _TIMM_ADAMW),
    Recipe("timm create_optimizer_v2, sgd", "resnet50", _timm_model("resnet50"), _timm("sgd")),
    Recipe("timm create_optimizer_v2, rmsproptf", "mnasnet_100", _timm_model("mnasnet_100"), _timm("rmsproptf")),
    Recipe(
        "timm create_optimizer_v2, lion", "vit_tiny_patch16_224", _timm_model("vit_tiny_patch16_224"), _timm("lion")
    ),
    *(
        Recipe(
            "transformers Trainer",
            f"{name}{suffix}",
            _transformers_model(name, suffix),
            _trainer,
            _WHY.get(name, ""),
        )
        for name, suffix in (*_TRAINER, *((name, "Model") for name in _TRAINER_MODELS))
    ),
    *(
        Recipe("nanoGPT's split (ndim >= 2)", f"{name}{suffix}", _transformers_model(name, suffix), _rank)
        for name, suffix in (
            ("GPT2", "LMHeadModel"),
            ("Llama", "ForCausalLM"),
            ("CLIP", "Model"),
            ("Mamba2", "Model"),
            ("Rwkv", "Model"),
            ("Wav2Vec2", "Model"),
        )
    ),
    *(
        Recipe("Megatron-LM's split (1-D and biases)", f"{name}{suffix}", _transformers_model(name, suffix), _megatron)
        for name, suffix in (("GPT2", "LMHeadModel"), ("Llama", "ForCausalLM"), ("Wav2Vec2", "Model"))
    ),
    *(
        Recipe("torchvision split_normalization_params", name, _torchvision_model(name), _torchvision, _BIASES)
        for name in ("resnet18", "mobilenet_v3_small", "vit_b_16", "swin_t")
    ),
    *(
        Recipe("lightly get_weight_decay_parameters", name, _timm_model(name), _lightly)
        for name in ("resnet50", "vit_tiny_patch16_224")
    ),
    *(
        Recipe("mmengine DefaultOptimWrapperConstructor", name, _timm_model(name), _mmengine)
        for name in ("resnet50", "swin_tiny_patch4_window7_224")
    ),
    *(
        Recipe("fastai Learner.create_opt", name, _timm_model(name), _fastai)
        for name in ("resnet18", "vit_tiny_patch16_224")
    ),
    *(
        Recipe("torch.optim, model.parameters()", name, _timm_model(name), _everything, _ALL)
        for name in ("resnet18", "vit_tiny_patch16_224")
    ),
)


_TIMM_HELD_APART = (
    "xcit_nano_12_p16_224",
    "coat_lite_tiny",
    "davit_tiny",
    "focalnet_tiny_srf",
    "fastvit_t8",
    "pit_ti_224",
    "edgenext_xx_small",
    "nf_resnet26",
    "convmixer_768_32",
    "vit_base_patch16_siglip_224",
    "convnextv2_atto",
    "visformer_tiny",
)
_TRAINER_HELD_APART = {
    "Gemma2": "",
    "Mixtral": "",
    "Bloom": "",
    "DebertaV2": "",
    "Dinov2": "",
    "Mamba": _WHY["Mamba2"],
    "Whisper": "",
    "Swinv2": "names with `bias` are spared: so are the linear layers of `continuous_position_bias_mlp`",
    "ConvNextV2": "the gain of its norm is called `grn.weight`, which no pattern of the Trainer spares",
}
_RANK_HELD_APART = {
    "Dinov2": "",
    "Whisper": "",
    "XLNet": "`r_r_bias`, `r_s_bias` and `r_w_bias` have two dimensions: biases decay",
    "RecurrentGemma": "the biases of its gates have two dimensions: biases decay",
}
_VISION_HELD_APART = ("densenet121", "shufflenet_v2_x0_5", "r3d_18", "raft_small")

HELD_APART: tuple[Recipe, ...] = (
    *(Recipe("timm create_optimizer_v2, adamw", name, _timm_model(name), _timm("adamw")) for name in _TIMM_HELD_APART),
    *(
        Recipe("transformers Trainer", f"{name}Model", _transformers_model(name), _trainer, why)
        for name, why in _TRAINER_HELD_APART.items()
    ),
    *(
        Recipe("nanoGPT's split (ndim >= 2)", f"{name}Model", _transformers_model(name), _rank, why)
        for name, why in _RANK_HELD_APART.items()
    ),
    *(Recipe("nanoGPT's split (ndim >= 2)", name, _torchvision_model(name), _rank) for name in _VISION_HELD_APART),
)
"""Recipes that were chosen and run after the default ruleset was finished."""


def audit(recipe: Recipe) -> tuple[Finding, ...]:
    """Make the model and its optimizer, and audit them under the default ruleset."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        model = recipe.build()
        return decay_audit.audit(model, recipe.make(model)).findings


def main() -> None:
    """Write the page."""
    library = torchvision_schemas.define()
    rows, rows_held_apart = list(_rows(RECIPES)), list(_rows(HELD_APART))
    del library
    lines = [*_introduction(len(rows)), *_HEADER, *rows, "", *_held_apart(len(rows_held_apart)), *_HEADER]
    PAGE.write_text("\n".join([*lines, *rows_held_apart, ""]), "utf-8")


def _introduction(count: int) -> Iterator[str]:
    yield "# Recipes under the default ruleset"
    yield ""
    yield f"{count} published recipes: the optimizer that a library makes, on its own models, under `no-norm-no-bias`."
    yield "An error is correct if a bias or norm decays, or a weight does not; every row with errors says why."
    yield "Notes are on what the ruleset is lenient about, or, for DA502, on the optimizer's class."
    yield "`python -m benchmarks.recipes` writes this page."
    yield ""


def _held_apart(count: int) -> Iterator[str]:
    yield "## Held apart"
    yield ""
    yield f"{count} more recipes, chosen and run after the ruleset was finished. Nothing was changed for them."
    yield ""


_HEADER = (
    "| optimizer | model | errors | warnings | notes | why the errors are correct |",
    "| --- | --- | --- | --- | --- | --- |",
)


def _rows(recipes: Iterable[Recipe]) -> Iterator[str]:
    for recipe in recipes:
        findings = audit(recipe)
        counts = [_codes(findings, severity) for severity in ("error", "warning", "note")]
        print(recipe.optimizer, recipe.model, *counts, flush=True)
        yield f"| {recipe.optimizer} | `{recipe.model}` | {' | '.join(counts)} | {recipe.why} |"


def _codes(findings: tuple[Finding, ...], severity: str) -> str:
    counts: dict[str, int] = {}
    for finding in findings:
        if finding.severity == severity:
            counts[finding.code] = counts.get(finding.code, 0) + len(finding.parameters)
    return ", ".join(f"{code} on {count}" if count else code for code, count in counts.items()) or "-"


if __name__ == "__main__":
    main()
