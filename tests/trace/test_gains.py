"""Where decay pulls a gain, and what it scales: from the trace, compared with what the model's own code computes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

import decay_audit
from decay_audit import api
from decay_audit.api import Request
from decay_audit.cli.main import app
from decay_audit.model.parameters import Fed, Parameter
from decay_audit.sources.trace import make_example_inputs, trace, with_uses


def traced(model: nn.Module, shape: str) -> Mapping[str, Parameter]:
    inventory = decay_audit.read(model, no_trace=True)
    found = with_uses(inventory, trace(model, make_example_inputs(model, shape)))
    return {parameter.name: parameter for parameter in found.parameters}


class Gain(nn.Module):
    """x times a function of a parameter."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function
        self.gain = nn.Parameter(torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.gain
        factors: dict[str, Callable[[], torch.Tensor]] = {
            "w": lambda: w,
            "1 + w": lambda: 1.0 + w,
            "w + 1, cast": lambda: w.double().add(1).float(),
            "1 - w": lambda: 1 - w,
            "ones + w": lambda: torch.ones(4) + w,
            "2 * (1 + w)": lambda: 2 * (1 + w),
            "exp": lambda: torch.exp(w),
            "-exp": lambda: -torch.exp(w),
            "2 * sigmoid": lambda: 2 * torch.sigmoid(w),
            "tanh": lambda: torch.tanh(w),
            "softplus": lambda: functional.softplus(w),
        }
        factor: torch.Tensor = factors[self.function]()
        return x * factor


FUNCTIONS = ["w", "1 + w", "w + 1, cast", "1 - w", "ones + w", "2 * (1 + w)", "exp", "-exp", "2 * sigmoid", "tanh"]


@pytest.mark.parametrize("function", [*FUNCTIONS, "softplus"])
def test_a_gain_rests_at_what_the_model_multiplies_with_when_the_parameter_is_zero(function: str) -> None:
    model = Gain(function)
    factor = model(torch.ones(1, 4))[0, 0].item()
    assert traced(model, "1x4")["gain"].rests_at == pytest.approx(factor)


def test_a_gain_added_to_values_that_differ_has_no_known_place_to_rest() -> None:
    class Grid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (torch.arange(4) + self.gain)

    assert traced(Grid(), "1x4")["gain"].rests_at is None


class GemmaNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normalized = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return normalized * (1.0 + self.weight.float())


class Block(nn.Module):
    """Attention with normalized queries, then layer scale, then an MLP, in a residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.q_norm = GemmaNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.gamma = nn.Parameter(torch.ones(8))
        self.mlp = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm1(x)
        mixed = functional.scaled_dot_product_attention(self.q_norm(self.q(h)), self.k(h), self.v(h))
        x = x + self.gamma * self.o(mixed)
        result: torch.Tensor = x + self.mlp(self.norm2(x))
        return result


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        result: torch.Tensor = self.head(self.norm(x).mean(1))
        return result


class Residual(nn.Module):
    """A block of ResNet: the last gain is added to the shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.shortcut = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        h = functional.relu(h + self.shortcut(x))
        result: torch.Tensor = self.fc(h.mean((2, 3)))
        return result


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (
            Transformer(),
            "1x5x6",
            {
                "blocks.0.norm1.weight": ("linear",),
                "blocks.1.norm2.weight": ("linear",),
                "blocks.0.q_norm.weight": (),
                "blocks.1.gamma": ("residual",),
                "norm.weight": ("head",),
                "head.weight": (),
            },
        ),
        (
            Residual(),
            "1x3x8x8",
            {
                "bn1.weight": ("linear",),
                "bn2.weight": ("residual",),
                "shortcut.1.weight": ("residual",),
                "conv1.weight": (),
            },
        ),
        (nn.TransformerEncoderLayer(8, 2, batch_first=True), "1x5x8", {"norm1.weight": ("linear", "residual")}),
    ],
    ids=["transformer", "ResNet", "post-norm"],
)
def test_a_gain_feeds_the_layer_or_the_addition_that_its_data_reaches_next(
    model: nn.Module, shape: str, expected: dict[str, tuple[Fed, ...]]
) -> None:
    found = traced(model, shape)
    assert {name: tuple(sorted(found[name].feeds or ())) for name in expected} == expected


MODEL = """
import torch
from torch import nn
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))
    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1.0 + self.weight)
net = nn.Sequential(nn.Linear(6, 8), Norm(), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 3))
"""
RULES = """
schema: 1
name: gains
weight_decay: 0.1
rules:
  - {name: unit, when: {rests_at: 1}, decay: true}
  - {name: last, when: {feeds: head}, decay: true}
default: {decay: false}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "gains.yaml").write_text(RULES)
    return tmp_path


def test_rules_decide_by_where_a_gain_rests_and_what_it_feeds(files: Path) -> None:
    request = Request(target=f"{files}/net.py:net", rules=str(files / "gains.yaml"), trace="1x6")
    report = api.run(request)
    decayed = {decision.name: decision.rule for decision in report.plan.decisions if decision.decays}
    assert decayed == {"1.weight": "unit", "3.weight": "last"}
    assert "DA306" not in {finding.code for finding in report.findings}


def test_without_a_trace_such_rules_are_named_with_the_option_that_helps(files: Path) -> None:
    request = Request(target=f"{files}/net.py:net", rules=str(files / "gains.yaml"), no_trace=True)
    findings = [finding for finding in api.run(request).findings if finding.code == "DA306"]
    assert len(findings) == 2
    assert all("--trace" in finding.fix for finding in findings)


def test_explain_and_json_say_where_a_gain_rests(files: Path) -> None:
    target = f"{files}/net.py:net"
    screen = CliRunner().invoke(app, ["explain", target, "1.weight", "--trace=1x6"]).stdout
    assert "rests at 1: where the parameter is 0, the model uses 1" in " ".join(screen.split())
    screen = CliRunner().invoke(app, ["explain", target, "3.weight", "--trace=1x6"]).stdout
    assert "rests at 0: decay pulls it to 0" in screen
    assert "feeds the layer that computes the output (traced)" in screen
    document = json.loads(CliRunner().invoke(app, ["inspect", target, "--trace=1x6", "-f", "json"]).stdout)
    records = {record["name"]: (record["rests_at"], record["feeds"]) for record in document["parameters"]}
    assert records["1.weight"] == (1.0, ["linear"])
    assert records["3.weight"] == (0.0, ["head"])
