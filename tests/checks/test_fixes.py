"""What a finding advises works: its command runs, and what comes of it is free of the finding."""

import json
import re
import shlex
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app

FILE = """
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.norm, self.head = nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 2)


    class Ignores(torch.optim.Optimizer):
        def __init__(self, params, lr=0.1, weight_decay=0.0):
            super().__init__(params, dict(lr=lr, weight_decay=weight_decay))

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad, alpha=-group["lr"])


    class Decays(Ignores):
        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.mul_(1 - group["lr"] * group["weight_decay"]).add_(p.grad, alpha=-group["lr"])


    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))


    def split(model, weight_decay=0.1, key="weight_decay"):
        parameters = list(model.parameters())
        return [{"params": [p for p in parameters if p.ndim > 1], key: weight_decay},
                {"params": [p for p in parameters if p.ndim == 1], key: 0.0}]

    def one_group(model):
        return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)

    def one_group_of_a_class_of_the_file(model):
        return Decays(model.parameters(), weight_decay=0.1)

    def inverted(model):
        weights, vectors = split(model)
        groups = [{**weights, "weight_decay": 0.0}, {**vectors, "weight_decay": 0.1}]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    def forgotten(model):
        return torch.optim.AdamW(split(model.body), lr=1e-3)

    def ignored(model):
        return Ignores(split(model))

    def no_decay_in_the_class(model):
        return torch.optim.LBFGS(model.parameters())

    def matrices_only(model):
        return torch.optim.Muon([p for p in model.parameters() if p.ndim == 2], lr=0.02)

    def two_optimizers(model):
        vectors = [p for p in model.parameters() if p.ndim < 2]
        return [matrices_only(model), torch.optim.AdamW(vectors, weight_decay=0.0)]

    def another_coefficient(model):
        return torch.optim.AdamW(split(model, 0.2), lr=1e-3)

    def misspelled_key(model):
        return torch.optim.AdamW(split(model, key="weight_decay_rate"), lr=1e-3)

    def adam(model):
        return torch.optim.Adam(split(model), lr=1e-3)

    def adam_decoupled(model):
        return torch.optim.Adam(split(model), lr=1e-3, decoupled_weight_decay=True)

    def adamw(model):
        return torch.optim.AdamW(split(model), lr=1e-3)

    def with_a_loss(model):
        return [torch.optim.SGD(split(model), lr=0.1), torch.optim.SGD(split(Loss()), lr=0.1)]

    def replaced_before(model):
        model.head = nn.Linear(16, 4)
        return torch.optim.AdamW(split(model), lr=1e-3)

    def replaced_afterwards(model):
        optimizer = torch.optim.AdamW(split(model), lr=1e-3)
        model.head = nn.Linear(16, 4)
        return optimizer
"""

runner = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text(dedent(FILE))
    monkeypatch.chdir(tmp_path)


def findings(optimizer: str, *options: str) -> dict[str, dict[str, Any]]:
    """Findings of `check` by code."""
    words = ["check", "net.py:Net", "--optimizer", optimizer, "-w", "0.1", "--format", "json", *options]
    result = runner.invoke(app, words)
    assert result.exit_code in (0, 1), result.output
    return {found["code"]: found for found in json.loads(result.stdout)["findings"]}


EMITTED = {
    "one_group": "DA101",
    "one_group_of_a_class_of_the_file": "DA101",
    "inverted": "DA402",
    "forgotten": "DA201",
    "ignored": "DA401",
    "no_decay_in_the_class": "DA401",
}


@pytest.mark.parametrize(("factory", "code"), EMITTED.items(), ids=EMITTED)
def test_the_command_of_a_fix_writes_groups_without_the_finding(factory: str, code: str) -> None:
    fix = findings(f"net.py:{factory}")[code]["fix"]["text"]
    command = shlex.split(fix[fix.index("decay-audit") :])
    written = runner.invoke(app, [*command[1:], "--output", "fixed.py"])
    assert written.exit_code == 0, written.output
    assert "--lr 1" not in fix  # that of LBFGS, which would ruin a run with AdamW
    after = findings("fixed.py:make_optimizer")
    assert {*after} <= {"DA507"}


def test_what_muon_refuses_goes_to_a_second_optimizer() -> None:
    fix = findings("net.py:matrices_only")["DA201"]["fix"]["text"]
    assert fix == "give them to a second optimizer, such as AdamW, and return both: Muon takes matrices only"
    assert {*findings("net.py:two_optimizers")} <= {"DA501"}


@pytest.mark.parametrize("option", ["", "--with Loss"])
def test_the_option_that_a_fix_names_audits_the_other_module_too(option: str) -> None:
    found = findings("net.py:with_a_loss", *option.split())
    assert ("DA203" in found) == (not option)
    if not option:
        assert "add --with Loss;" in found["DA203"]["fix"]["text"]


def test_a_module_that_with_would_make_anew_is_refused_with_the_name_that_works() -> None:
    words = ["check", "net.py:Net", "--optimizer", "net.py:with_a_loss", "--with", "Loss()"]
    result = runner.invoke(app, words)
    assert result.exit_code == 2
    assert "--with Loss() makes a new module" in result.stderr
    assert "by its class (--with Loss)" in result.stderr


def test_a_coefficient_that_differs_goes_away_by_either_way_of_the_fix() -> None:
    assert findings("net.py:another_coefficient")["DA103"]["fix"]["text"] == (
        "set weight_decay=0.1, or audit with --weight-decay 0.2"
    )
    assert not findings("net.py:another_coefficient", "-w", "0.2")
    assert not findings("net.py:adamw")


def test_a_key_gets_the_name_that_the_class_reads() -> None:
    assert findings("net.py:misspelled_key")["DA208"]["fix"]["text"] == "call the key weight_decay"
    assert not findings("net.py:adamw")


def test_adam_is_decoupled_by_either_way_of_the_fix() -> None:
    fix = findings("net.py:adam")["DA502"]["fix"]["text"]
    assert fix == "use the decoupled form: AdamW with these groups, or decoupled_weight_decay=True"
    assert not findings("net.py:adam_decoupled")
    assert not findings("net.py:adamw")


def test_an_optimizer_that_is_made_after_the_layers_are_final_holds_them() -> None:
    fix = findings("net.py:replaced_afterwards")["DA203"]["fix"]["text"]
    assert fix == "create the optimizer from the model that is trained, after its layers are final"
    assert not findings("net.py:replaced_before")


@pytest.mark.parametrize("rules", ["no-norm-no-bias", "beit"])
def test_every_command_that_a_fix_of_this_file_prints_can_be_run(rules: str) -> None:
    """A finding's command is pasted as it stands: exit code 2 would mean that it cannot be done."""
    factories = re.findall(r"^def (\w+)\(model\)", dedent(FILE), flags=re.MULTILINE)
    commands: set[str] = set()
    for factory in factories:
        for found in findings(f"net.py:{factory}", "--rules", rules).values():
            text = (found["fix"] or {}).get("text", "")
            commands |= {*re.findall(r"decay-audit (?:emit|check|migrate)[^;]*", text)}
    assert len(factories) > 15
    assert commands
    for command in sorted(commands):
        written = runner.invoke(app, [*shlex.split(command)[1:], "--output", "fixed.txt"])
        assert written.exit_code in (0, 1), f"{command}: {written.output}"
