"""Which parameters can be multiplied by 2 without a change of the output, against models where theory tells it."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import decay_audit
from decay_audit import api, reports
from decay_audit.api.request import Request
from decay_audit.model.choices import Format
from decay_audit.model.parameters import Scaling, ScalingEffect
from decay_audit.optimizers import live
from decay_audit.optimizers.horizon.equilibrium import rotation
from decay_audit.sources import invariance, trace


def measured(model: nn.Module, shape: str | None = None) -> dict[str, Scaling]:
    return dict(invariance.measure(model, trace.make_example_inputs(model, shape)).scaling)


def names(model: nn.Module, effect: ScalingEffect, shape: str | None = None) -> set[str]:
    return {name for name, scaling in measured(model, shape).items() if scaling.effect == effect}


class Rms(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))  # as gains that start at zero

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize in float32 with a literal eps, as much code does."""
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * (1 + self.weight)


class Block(nn.Module):
    """A transformer block: `pre`, `post` (the norms of OLMo2) or `qk` (those of Qwen3)."""

    def __init__(self, kind: str, size: int = 16) -> None:
        super().__init__()
        self.kind = kind
        self.q, self.k, self.v, self.o = (nn.Linear(size, size, bias=kind == "biases") for _ in range(4))
        self.up, self.gate, self.down = nn.Linear(size, 24), nn.Linear(size, 24), nn.Linear(24, size)
        self.up.bias = self.gate.bias = self.down.bias = None  # type: ignore[assignment]
        self.first, self.second, self.q_norm, self.k_norm = (Rms(size) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x if self.kind == "post" else self.first(x)
        q, k = self.q(h), self.k(h)
        if self.kind in ("post", "qk"):
            q, k = self.q_norm(q), self.k_norm(k)
        attended = self.o(functional.scaled_dot_product_attention(q, k, self.v(h), is_causal=True, dropout_p=0.5))
        x = x + (self.first(attended) if self.kind == "post" else attended)
        h = x if self.kind == "post" else self.second(x)
        h = self.down(functional.silu(self.gate(h)) * self.up(h))
        return torch.add(x, self.second(h) if self.kind == "post" else h)


class Decoder(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.blocks = nn.Sequential(Block(kind), Block(kind))
        self.norm, self.head = Rms(16), nn.Linear(16, 50, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = functional.dropout(self.norm(self.blocks(self.embed(ids))), 0.1, self.training)
        return torch.mm(x[0], self.head.weight.T)


def of_blocks(*leaves: str) -> set[str]:
    return {f"blocks.{index}.{leaf}" for index in range(2) for leaf in leaves}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pre", set()),  # Llama: no weight stands alone in front of a norm
        ("post", of_blocks(*(f"{name}.weight" for name in ("q", "k", "v", "o", "up", "down")))),  # OLMo2: not the gate
        ("qk", of_blocks("q.weight", "k.weight")),  # Qwen3
    ],
)
def test_the_norms_of_a_transformer_decide_which_of_its_weights_are_scale_invariant(
    kind: str, expected: set[str]
) -> None:
    assert names(Decoder(kind), "scale-invariant", "int64:1x8") == expected


def test_the_bias_of_keys_is_inert_and_those_of_queries_and_values_are_not() -> None:
    found = measured(Decoder("biases"), "int64:1x8")
    assert {name for name, scaling in found.items() if scaling.effect == "inert"} == of_blocks("k.bias")
    assert {found[name].effect for name in of_blocks("q.bias", "v.bias", "o.bias", "k.weight")} == {"sensitive"}


@cache
def small_resnet() -> nn.Module:
    def conv(inputs: int, outputs: int, groups: int = 1) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, groups=groups), nn.BatchNorm2d(outputs), nn.ReLU())

    return nn.Sequential(
        conv(3, 8),
        conv(8, 8, 4),
        nn.Dropout2d(0.5),
        conv(8, 12),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def test_convolutions_before_batch_norm_are_scale_invariant_and_their_biases_inert() -> None:
    found = measured(small_resnet(), "1x3x8x8")
    assert [name for name, scaling in found.items() if scaling.effect == "scale-invariant"] == [
        f"{index}.0.weight" for index in (0, 1, 3)
    ]
    assert [name for name, scaling in found.items() if scaling.effect == "inert"] == [
        f"{index}.0.bias" for index in (0, 1, 3)
    ]


def test_of_the_matrices_of_resnet18_all_but_the_last_are_scale_invariant() -> None:
    from torchvision.models import resnet18

    with torch.device("meta"):
        model = resnet18()
    found = measured(model)
    matrices = [name for name, parameter in model.named_parameters() if parameter.dim() > 1]
    assert (len(matrices), [name for name in matrices if found[name].effect != "scale-invariant"]) == (
        21,
        ["fc.weight"],
    )
    assert {found[name].effect for name in found if name not in matrices} == {"sensitive"}


def test_of_the_matrices_of_timms_regnetx_all_but_the_last_are_scale_invariant() -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model("regnetx_002")
    found = measured(model)
    matrices = [name for name, parameter in model.named_parameters() if parameter.dim() > 1]
    assert len(matrices) == 45
    assert [name for name in matrices if found[name].effect != "scale-invariant"] == ["head.fc.weight"]


@pytest.mark.parametrize("name", ["vit", "convnext", "gpt2", "bert", "llama"])
def test_no_weight_of_these_models_is_scale_invariant(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    make = {
        "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=32, patch_size=8)),
        "convnext": lambda: transformers.ConvNextModel(
            transformers.ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], image_size=32)
        ),
        "gpt2": lambda: transformers.GPT2Model(transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=99)),
        "bert": lambda: transformers.BertModel(transformers.BertConfig(**sizes, vocab_size=99)),
        "llama": lambda: transformers.LlamaModel(transformers.LlamaConfig(**sizes, vocab_size=99)),
    }
    model = make[name]()
    found = measured(model)
    assert not [one for one, scaling in found.items() if scaling.effect == "scale-invariant"]
    inert = {one for one, scaling in found.items() if scaling.effect == "inert"}
    assert inert == {one for one in found if one.endswith(("key.bias", "k_proj.bias"))}


def test_torch_agrees_on_each_answer_for_batch_norm() -> None:
    torch.manual_seed(0)
    model = small_resnet().double().train()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-40
            nn.init.uniform_(module.bias)  # at zero, the gain in front of it would be scale-invariant, too
        elif isinstance(module, nn.Dropout2d):
            module.p = 0.0
    for name, scaling in measured(model, "1x3x8x8").items():
        parameter = model.get_parameter(name)
        with torch.no_grad():
            before = model(images)
            parameter.mul_(2)
            after = model(images)
            parameter.div_(2)
        assert torch.allclose(before, after, rtol=1e-9, atol=1e-12) == (scaling.effect != "sensitive"), name


class Awkward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normalized = nn.utils.parametrizations.weight_norm(nn.Linear(5, 8))
        self.norm = nn.BatchNorm1d(8)
        self.gain = nn.Parameter(torch.zeros(8))  # hides the branch until it is trained
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4))
        self.unused = nn.Linear(3, 3)
        self.register_buffer("table", torch.arange(8.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.mul(self.spectral(self.gain * self.norm(self.normalized(x)) + self.table), 1)


def test_reparametrized_weights_and_gains_of_zero_are_measured_and_unused_weights_are_not() -> None:
    model = Awkward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = {name: scaling.effect for name, scaling in measured(model, "1x5").items()}
    assert found["normalized.parametrizations.weight.original1"] == "scale-invariant"
    assert found["normalized.parametrizations.weight.original0"] == "scale-invariant"  # its sign counts
    assert found["normalized.bias"] == "inert"
    assert found["spectral.parametrizations.weight.original"] == "scale-invariant"
    assert found["gain"] == "sensitive"
    assert found["unused.weight"] == "not measured"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert torch.get_default_dtype() == torch.float32


def test_what_prevents_a_measurement_is_its_reason() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError("no such path")

    (scaling,) = measured(Broken(), "1x3").values()
    assert scaling == Scaling(effect="not measured", reason="the forward pass raised NotImplementedError: no such path")
    with torch.device("meta"):
        large = nn.Linear(100_000, 100_000)
    assert "too many for float64" in measured(large, "1x100000")["weight"].reason
    lazy = nn.LazyLinear(3)
    assert measured(lazy, "1x3")["weight"].reason == "lazy parameters have no shape yet"


def test_findings_explanations_and_json_say_what_follows() -> None:
    model = small_resnet()
    decay = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    report = decay_audit.audit(model, decay, invariance="1x3x8x8")
    messages = [(one.code, one.message) for one in report.findings if one.code in ("DA804", "DA805")]
    assert messages == [
        ("DA804", "3 weights are scale-invariant: decay sets their learning rate, not the output's size"),
        ("DA805", "3 biases are inert: the output does not depend on their values"),
    ]
    spared = decay_audit.audit(model, torch.optim.SGD(model.parameters(), lr=0.1), invariance="1x3x8x8")
    assert any("spared: their norm only grows" in one.message for one in spared.findings)
    (rotation,) = api.explain("0.0.weight", report).rotations
    assert rotation.radians == pytest.approx((2 * 0.1 * 5e-4 / 1.9) ** 0.5)
    without = decay_audit.audit(model, decay)
    assert not [one for one in without.findings if one.code in ("DA804", "DA805")]
    assert all(decision.classified.parameter.scaling is None for decision in without.plan.decisions)


def test_sgd_turns_a_scale_invariant_weight_by_the_angle_of_the_formula_in_equilibrium() -> None:
    torch.manual_seed(0)
    for make in (
        lambda weight: torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.02),
        lambda weight: torch.optim.AdamW([weight], lr=1e-2, weight_decay=0.4, betas=(0.9, 0.99)),
    ):
        weight = nn.Parameter(torch.randn(500, dtype=torch.float64) * 0.3)
        optimizer = make(weight)
        angles = []
        for step in range(2500):
            noise = torch.randn_like(weight)
            before = weight.detach().clone()
            orthogonal = noise - before * (noise @ before) / (before @ before)
            weight.grad = orthogonal / before.norm()  # the gradient of a scale-invariant function
            optimizer.step()
            if step > 2000:
                angles.append(torch.acos(functional.cosine_similarity(before, weight.detach(), dim=0)).item())
        (read,) = live.observe((("optimizer", optimizer),), {id(weight): "w"}, None).optimizers
        expected = rotation(read, read.groups[0])
        assert expected is not None
        assert sum(angles) / len(angles) == pytest.approx(expected, rel=0.1)


def test_a_model_that_was_built_without_values_is_built_again_where_buffers_need_them(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.norm = nn.Linear(6, 8, bias=False), nn.LayerNorm(8)\n"
        "        self.register_buffer('table', torch.linspace(1, 2, 8))\n"
        "    def forward(self, x):\n"
        "        return self.norm(self.a(x)) * self.table\n"
    )
    report = api.run(Request(target=str(file), invariance="1x6"))
    weight = report.plan.decisions[0].classified.parameter
    assert (report.inventory.built_on, weight.name, weight.scaling) == (
        "meta",
        "a.weight",
        Scaling(effect="scale-invariant"),
    )
    text = reports.render_explanation(api.explain("a.weight", report), reports.Options())
    assert "scale-invariant: the output of the model stays the same" in " ".join(text.split())
    (record, *_) = json.loads(reports.render(report, Format.JSON, reports.Options()))["parameters"]
    assert (record["scale_invariant"], record["inert"], record["scaling_note"]) == (True, False, "")


def test_a_rule_may_decide_by_scale_invariance_and_is_named_where_that_was_not_measured(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "schema: 1\nname: x\ntitle: y\nweight_decay: 0.1\n"
        "rules: [{name: free, when: {scale_invariant: true}, decay: false}]\ndefault: {decay: true}\n"
    )
    model = small_resnet()
    measured_report = decay_audit.audit(model, rules=rules, invariance="1x3x8x8")
    spared = [decision.name for decision in measured_report.plan.decisions if not decision.decays]
    assert spared == [f"{index}.0.{leaf}" for index in (0, 1, 3) for leaf in ("weight", "bias")]
    assert any(one.code == "DA306" for one in decay_audit.audit(model, rules=rules).findings)
