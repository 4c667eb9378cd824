"""Code whose groups fit a checkpoint: the order that keeps its positions, and what any other order does."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from decay_audit.cli import app

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.norm = nn.Linear(3, 3), nn.LayerNorm(3)

    def forward(self, x):
        return self.norm(self.body(x))
"""
EMIT = ["emit", "net.py:Net", "--optimizer", "AdamW", "--lr", "0.1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(*, spared_first: bool = False, one_group: bool = False) -> tuple[nn.Module, torch.optim.Optimizer]:
    space: dict[str, Any] = {}
    exec(NET, space)
    model: nn.Module = space["Net"]()
    parameters = [*model.parameters()]
    decayed = {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 1e-4}
    spared = {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}
    groups = [{"params": parameters}] if one_group else [spared, decayed] if spared_first else [decayed, spared]
    optimizer = torch.optim.AdamW(groups)
    model(torch.rand(2, 3)).square().sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
    return model, optimizer


def run(*options: str) -> Any:
    return CliRunner().invoke(app, [*EMIT, *options])


@pytest.mark.parametrize("style", ["rule", "names"])
@pytest.mark.parametrize("spared_first", [True, False])
def test_a_saved_state_loads_unchanged_into_groups_in_the_order_of_its_checkpoint(
    style: str, spared_first: bool
) -> None:
    model, optimizer = save(spared_first=spared_first)
    result = run("--keep-order-of", "last.pt", "--checkpoint", "last.pt", "--style", style)
    assert result.exit_code == 0, result.stderr
    assert "last.pt: this state loads unchanged" in result.stderr
    space: dict[str, Any] = {"__name__": "emitted"}
    exec(result.stdout, space)
    resumed: torch.optim.Optimizer = space["make_optimizer"](model)
    resumed.load_state_dict(torch.load("last.pt")["optimizer"])
    assert [group["weight_decay"] for group in resumed.param_groups] == ([0, 1e-4] if spared_first else [1e-4, 0])
    for parameter in model.parameters():
        assert resumed.state[parameter]["exp_avg"].equal(optimizer.state[parameter]["exp_avg"])


def test_another_order_is_said_with_the_option_that_mends_it() -> None:
    save(spared_first=True)
    result = run("--checkpoint", "last.pt")
    assert "last.pt: torch would refuse this state: it has 2 groups of 3 + 1 parameters" in result.stderr
    assert "--keep-order-of last.pt makes groups into which it loads unchanged" in result.stderr


def test_where_no_order_fits_the_command_is_printed_that_moves_the_state() -> None:
    model, optimizer = save(one_group=True)
    refused = run("--keep-order-of", "last.pt")
    assert refused.exit_code == 2
    assert "no order of these groups fits last.pt: torch would refuse this state" in refused.stderr
    result = run("--checkpoint", "last.pt")
    Path("groups.py").write_text(result.stdout)
    command = shlex.split(result.stderr[result.stderr.index("decay-audit migrate") :])
    moved = CliRunner().invoke(app, command[1:])
    assert moved.exit_code == 0, moved.stderr
    space: dict[str, Any] = {"__name__": "groups"}
    exec(result.stdout, space)
    resumed: torch.optim.Optimizer = space["make_optimizer"](model)
    resumed.load_state_dict(torch.load("last-migrated.pt")["optimizer"])
    for parameter in model.parameters():
        assert resumed.state[parameter]["exp_avg"].equal(optimizer.state[parameter]["exp_avg"])
