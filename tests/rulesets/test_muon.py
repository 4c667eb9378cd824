"""The presets for Muon: which parameters it gets in models that are written in different ways."""

from collections.abc import Callable

import pytest
import torch
from timm.models import create_model
from torch import nn

import decay_audit
from decay_audit.rulesets.plan import Decision


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(8, 24), nn.Linear(8, 8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(8), Attention()
        self.ln_2, self.mlp = nn.LayerNorm(8), nn.ModuleDict({"c_fc": nn.Linear(8, 32), "c_proj": nn.Linear(32, 8)})


class NanoGPT(nn.Module):
    """The modules of nanoGPT's GPT, whose head is tied to the embedding unless `tied` is false."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(50, 8),
            "wpe": nn.Embedding(16, 8),
            "h": nn.ModuleList([Block(), Block()]),
            "ln_f": nn.LayerNorm(8),
        })  # fmt: skip
        self.lm_head = nn.Linear(8, 50, bias=False)
        if tied:
            self.transformer["wte"].weight = self.lm_head.weight


class Experts(nn.Module):
    """A layer with stacked experts, as transformers' Mixtral has them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4, bias=False)
        self.gate_up_proj = nn.Parameter(torch.randn(4, 32, 8))
        self.down_proj = nn.Parameter(torch.randn(4, 8, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.gate(x).softmax(-1)
        gate, up = torch.einsum("td,ehd->teh", x, self.gate_up_proj).chunk(2, -1)
        return torch.einsum("teh,edh,te->td", gate * up, self.down_proj, weights)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "nanoGPT": lambda: NanoGPT(tied=True),
    "nanoGPT-untied": lambda: NanoGPT(tied=False),
    "vit": lambda: create_model("vit_tiny_patch16_224", depth=2),
    "convnext": lambda: create_model("convnext_atto", depths=(1, 1, 1, 1)),
    "resnet": lambda: create_model("resnet10t"),
    "lstm": lambda: nn.LSTM(8, 8),
    "experts": lambda: nn.Sequential(Experts(), nn.Linear(8, 8)),
}


def plan(model: nn.Module, rules: str) -> dict[str, Decision]:
    return {decision.name: decision for decision in decay_audit.plan(model, rules).decisions}


def taken(model: nn.Module, rules: str) -> set[str]:
    return {name for name, decision in plan(model, rules).items() if decision.use == "muon"}


@pytest.mark.parametrize("name", MODELS)
def test_torchs_muon_accepts_all_that_the_preset_gives_it(name: str) -> None:
    model = MODELS[name]()
    if names := taken(model, "muon"):
        torch.optim.Muon([model.get_parameter(name) for name in names])


@pytest.mark.parametrize("name", ["nanoGPT", "nanoGPT-untied"])
def test_muon_gets_the_matrices_of_hidden_layers_and_no_embedding_or_head(name: str) -> None:
    hidden = {f"{owner}.weight" for owner in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}
    assert taken(MODELS[name](), "muon") == {f"transformer.h.{index}.{weight}" for index in (0, 1) for weight in hidden}


def test_muon_gets_the_matrices_of_a_vision_transformers_blocks() -> None:
    hidden = {f"{owner}.weight" for owner in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert taken(MODELS["vit"](), "muon") == {f"blocks.{index}.{weight}" for index in (0, 1) for weight in hidden}


@pytest.mark.parametrize("name", MODELS)
def test_biases_and_norms_are_spared_and_matrices_decay(name: str) -> None:
    for decision in plan(MODELS[name](), "muon").values():
        if decision.classified.role in ("bias", "norm_weight", "norm_bias"):
            assert (decision.weight_decay, decision.use) == (0.0, "adamw")
        if decision.use == "muon":
            assert decision.weight_decay == 0.1


def test_stacked_experts_are_for_adamw_in_muon_and_for_muon_in_muon_stacked() -> None:
    stacked = {"0.gate_up_proj", "0.down_proj"}
    assert not stacked & taken(MODELS["experts"](), "muon")
    assert stacked <= taken(MODELS["experts"](), "muon-stacked")


def test_muon_stacked_gets_the_convolutions_but_those_of_the_image_and_the_depthwise_ones() -> None:
    model = MODELS["convnext"]()
    depthwise = {name for name in plan(model, "muon") if "conv_dw.weight" in name}
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim == 4} - depthwise
    assert taken(model, "muon-stacked") == matrices - {"stem.0.weight"}


def lora() -> nn.Module:
    """A linear layer with a LoRA adapter, as peft names it."""
    return nn.ModuleDict({
        "base_layer": nn.Linear(8, 8),
        "lora_A": nn.ModuleDict({"default": nn.Linear(8, 2, bias=False)}),
        "lora_B": nn.ModuleDict({"default": nn.Linear(2, 8, bias=False)}),
    })  # fmt: skip


def test_the_factors_of_lora_are_for_adamw() -> None:
    assert taken(nn.ModuleDict({"q_proj": lora()}), "muon") == {"q_proj.base_layer.weight"}


def wrongly_routed(model: nn.Module, for_muon: Callable[[str, nn.Parameter], bool]) -> list[str]:
    """The parameters of DA104 where Muon and AdamW share the parameters so."""
    named = dict(model.named_parameters())
    muon = [name for name, parameter in named.items() if for_muon(name, parameter)]
    optimizers = (
        torch.optim.Muon([named[name] for name in muon], weight_decay=0.1),
        torch.optim.AdamW([named[name] for name in named if name not in muon], weight_decay=0.1),
    )
    findings = decay_audit.audit(model, optimizers, rules="muon").findings
    return [name for finding in findings if finding.code == "DA104" for name in finding.parameters]


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (NanoGPT(tied=False), ["transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"]),
        (nn.ModuleDict({"q_proj": lora()}), ["q_proj.lora_A.default.weight", "q_proj.lora_B.default.weight"]),
    ],
    ids=["nanoGPT", "lora"],
)
def test_muon_with_every_matrix_is_da104_and_muon_with_the_hidden_ones_is_not(
    model: nn.Module, wrong: list[str]
) -> None:
    assert wrongly_routed(model, lambda _, parameter: parameter.ndim == 2) == wrong
    assert wrongly_routed(model, lambda name, parameter: parameter.ndim == 2 and name not in wrong) == []
