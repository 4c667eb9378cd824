"""Parameters that the first forward pass makes are found by the trace, and no other change of the model alarms."""

from pathlib import Path
from textwrap import dedent

import pytest
import torch
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.sources.module import read
from decay_audit.sources.trace import make_example_inputs, trace, with_uses

FILE = """
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Quantized(nn.Linear):
        def forward(self, x):
            if not hasattr(self, "step"):
                self.step = nn.Parameter(2 * self.weight.detach().abs().mean() / 7 ** 0.5)
            return F.linear(x, torch.round(self.weight / self.step) * self.step, self.bias)


    class Ready(Quantized):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.step = nn.Parameter(torch.ones(()))


    class Harmless(nn.Linear):
        def forward(self, x):
            if not hasattr(self, "seen"):
                self.register_buffer("seen", torch.zeros(3))
                self.alias = self.weight
                self.fixed = nn.Parameter(torch.zeros(2), requires_grad=False)
                self.hidden = x
            self.weight.data = self.weight.data.clamp(-1, 1)
            self.bias.data.mul_(0.5)
            self.seen += 1
            return super().forward(x)


    class Replaced(nn.Linear):
        def forward(self, x):
            if not hasattr(self, "scaled"):
                self.scaled, self.weight = True, nn.Parameter(self.weight.detach() / 2)
            return super().forward(x)


    class Net(nn.Module):
        def __init__(self, kind=Quantized):
            super().__init__()
            self.a, self.b = kind(16, 16), kind(16, 4)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))


    def late(): return Net()
    def ready(): return Net(Ready)
    def harmless(): return Net(Harmless)
    def replaced(): return Net(Replaced)


    def make_optimizer(model):
        return torch.optim.SGD([
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 1e-4},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ], lr=0.1)

    def after_a_pass(model):
        model(torch.randn(2, 16))
        return make_optimizer(model)
"""

runner = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(dedent(FILE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(model: str, optimizer: str = "make_optimizer", *more: str) -> tuple[int, str]:
    command = ["check", f"net.py:{model}", "--optimizer", f"net.py:{optimizer}", "--trace", "2x16", *more]
    result = runner.invoke(app, command)
    return result.exit_code, result.stdout


def test_parameters_that_the_first_pass_makes_are_in_no_optimizer() -> None:
    code, text = check("late")
    assert code == 1
    assert "DA209 error   2 parameters appear in the first forward pass, after the optimizer was made" in text
    assert "{a,b}.step" in text or "a.step, b.step" in text


def test_parameters_that_the_first_pass_puts_in_the_place_of_others_are_in_no_optimizer() -> None:
    code, text = check("replaced")
    assert code == 1
    assert "DA209 error   2 parameters appear in the first forward pass, after the optimizer was made" in text
    assert "{a,b}.weight" in text or "a.weight, b.weight" in text


@pytest.mark.parametrize(("model", "optimizer"), [
    ("ready", "make_optimizer"),
    ("harmless", "make_optimizer"),
    ("late", "after_a_pass"),
])  # fmt: skip
def test_parameters_that_are_there_in_time_and_other_changes_do_not_alarm(model: str, optimizer: str) -> None:
    assert "DA209" not in check(model, optimizer)[1]


@pytest.mark.parametrize("format_", ["text", "tree", "json", "markdown", "csv", "sarif", "github"])
def test_every_format_can_name_a_parameter_that_is_not_in_the_table(format_: str) -> None:
    assert check("late", "make_optimizer", "--format", format_)[0] == 1


def test_the_model_is_left_as_it_was(folder: Path) -> None:
    class Late(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not hasattr(self, "scale"):
                self.scale = torch.nn.Parameter(torch.ones(3))
            return super().forward(x) * self.scale.sum()

    model = torch.nn.Sequential(Late(4, 2))
    compiled = torch.compile(model)
    assert isinstance(compiled, torch.nn.Module)
    inventory = with_uses(read(compiled), trace(compiled, make_example_inputs(compiled, "2x4", {})))
    assert [(each.name, each.shape) for each in inventory.made_in_forward] == [("0.scale", (3,))]
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert not hasattr(model[0], "scale")
