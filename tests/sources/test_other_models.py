"""An optimizer holds several models' parameters: `--with` names the others."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app

SCRIPT = """
import torch
from torch import nn


class Centres(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 16))
        self.norm = nn.LayerNorm(16)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 16)


centres = Centres()


def groups(*decayed, spared):
    return [{"params": list(decayed), "weight_decay": 0.1}, {"params": list(spared), "weight_decay": 0.0}]


def sound(model):
    spared = [model.fc.bias, *centres.norm.parameters()]
    return torch.optim.SGD(groups(model.fc.weight, centres.weight, spared=spared), lr=0.1)


def broken(model):
    decayed = [model.fc.weight, *centres.parameters()]
    return torch.optim.SGD(groups(*decayed, spared=[model.fc.bias]), lr=0.1)


def inside(model):
    loss = Centres()
    first = torch.optim.SGD(groups(model.fc.weight, spared=[model.fc.bias]), lr=0.1)
    return [first, torch.optim.SGD(groups(loss.weight, spared=loss.norm.parameters()), lr=0.01)]


def without(model):
    return torch.optim.SGD(groups(model.fc.weight, spared=[model.fc.bias]), lr=0.1)
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)


def check(factory: str, *others: str) -> tuple[int, list[tuple[str, list[str]]], list[str]]:
    """The exit code, the findings, and the names that were audited."""
    words = [word for other in others for word in ("--with", other)]
    arguments = ["check", "train.py:Backbone", "--optimizer", f"train.py:{factory}", *words, "--format", "json"]
    result = CliRunner().invoke(app, arguments)
    report: dict[str, Any] = json.loads(result.stdout)
    findings = [(finding["code"], finding["parameters"]) for finding in report["findings"]]
    return result.exit_code, findings, [parameter["name"] for parameter in report["parameters"]]


@pytest.mark.parametrize("other", ["centres", "train.py:centres", "Centres"])
def test_the_other_module_is_audited_with_the_model(other: str) -> None:
    prefix = other.rpartition(":")[2]
    names = [f"{prefix}.weight", f"{prefix}.norm.weight", f"{prefix}.norm.bias"]
    assert check("sound", other) == (0, [], ["fc.weight", "fc.bias", *names])
    assert check("broken", other)[:2] == (1, [("DA101", names[1:])])


def test_without_the_option_its_tensors_are_foreign() -> None:
    code, findings, names = check("broken")
    assert (code, [found for found, _ in findings], names) == (0, ["DA203"], ["fc.weight", "fc.bias"])


def test_a_module_that_is_made_with_the_optimizer_is_named_by_its_class() -> None:
    assert check("inside", "Centres")[:2] == (0, [])
    result = CliRunner().invoke(app, ["check", "train.py:Backbone", "--optimizer", "train.py:inside"])
    assert "fix: audit both: add --with Centres;" in result.stdout


def test_a_module_that_no_optimizer_holds_is_missing() -> None:
    assert check("without", "centres")[:2] == (
        1,
        [("DA201", ["centres.weight", "centres.norm.weight", "centres.norm.bias"])],
    )


def test_the_model_itself_is_not_listed_twice() -> None:
    assert check("without", "model.fc")[2] == ["fc.weight", "fc.bias"]


def test_what_is_not_a_module_is_an_error_with_a_way_out() -> None:
    result = CliRunner().invoke(
        app, ["check", "train.py:Backbone", "--optimizer", "train.py:sound", "--with", "groups"]
    )
    assert result.exit_code == 2
    assert "error: --with groups gives a function, not a torch.nn.Module" in result.output


def printed(factory: str) -> str:
    words = ["check", "train.py:Backbone", "--optimizer", f"train.py:{factory}", "--with", "centres"]
    return CliRunner().invoke(app, [*words, "--weight-decay", "0.1"]).stdout


@pytest.mark.parametrize(("factory", "code"), [("broken", "DA101 error"), ("without", "DA201 error")])
def test_a_finding_on_the_other_module_offers_no_command_for_the_model(factory: str, code: str) -> None:
    assert code in printed(factory)
    assert "decay-audit emit" not in printed(factory)


def test_a_finding_on_the_model_alone_offers_the_command_for_it() -> None:
    swapped = SCRIPT.replace("spared = [model.fc.bias,", "spared = [model.fc.weight,")
    Path("train.py").write_text(swapped.replace("groups(model.fc.weight, centres", "groups(model.fc.bias, centres"))
    assert "fix: decay-audit emit train.py:Backbone " in printed("sound")
