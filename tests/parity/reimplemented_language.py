"""Codebases of language models that cannot be installed, implemented again in our own words, on live modules."""

from typing import Any

from torch import nn

from tests.parity.reimplementing import (
    RefusesError,
    Reimplementation,
    Spares,
    declared,
    first_names,
    homes,
)


def hf_older(parts: tuple[str, ...], *, fold: bool) -> Reimplementation:
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


def gpt_lists(*, frozen: bool, norms: tuple[type, ...]) -> Reimplementation:
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
        inside = isinstance(owner, classes) or any(isinstance(module, classes) for module in way)
        if isinstance(owner, nn.Linear) and inside and not asked and not bias:
            raise AssertionError(f"{name} is in both lists")
        answers[name] = (0.0 if asked or bias or inside else base,)
    return answers


def muon(body: Spares) -> Reimplementation:
    return lambda model, base: {
        name: (base, 1.0, "muon" if body(name, each) else "adamw") for name, each in first_names(model, frozen=True)
    }
