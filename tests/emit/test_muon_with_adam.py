"""Code for the classes that contain Muon and Adam: a key of each group selects one of them."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from decay_audit.cli import app

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.body, self.lm_head = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9, bias=False)
"""
CLASS = """
import torch

KEYS = {True: {"params", "lr", "momentum", "weight_decay", "use_muon"},
        False: {"params", "lr", "betas", "eps", "weight_decay", "use_muon"}}


class SingleDeviceMuonWithAuxAdam(torch.optim.Optimizer):
    \"\"\"Takes groups as the class of Keller Jordan's package does: with defaults, and without unknown keys.\"\"\"

    def __init__(self, param_groups):
        for group in param_groups:
            adam = dict(lr=3e-4, betas=(0.9, 0.95), eps=1e-10)
            defaults = dict(lr=0.02, momentum=0.95) if group["use_muon"] else adam
            group.update({**defaults, "weight_decay": 0, **group})
            assert group.keys() == KEYS[group["use_muon"]]
        super().__init__(param_groups, {})
"""
HAS_PACKAGE = importlib.util.find_spec("muon") is not None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "fake_muon.py").write_text(CLASS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def emit(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["emit", "net.py:Net", "--rules", "muon", *arguments])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("style", ["rule", "names"])
@pytest.mark.parametrize(
    "package",
    ["fake_muon", pytest.param("muon", marks=pytest.mark.skipif(not HAS_PACKAGE, reason="muon is not installed"))],
)
def test_one_optimizer_has_all_groups_and_each_has_its_own_settings(style: str, package: str) -> None:
    path = f"{package}:SingleDeviceMuonWithAuxAdam"
    settings = ("--set", "muon.lr=0.05", "--set", "adamw.betas=(0.8, 0.9)")
    result = emit("--optimizer", path, "--style", style, "--lr", "0.001", "--set", "muon.momentum=0.5", *settings[2:])
    assert result.exit_code == 0, result.stderr
    space: dict[str, Any] = {"__name__": "emitted"}
    exec(result.stdout, space)
    import net  # type: ignore[import-not-found]

    model: nn.Module = net.Net()
    optimizer: torch.optim.Optimizer = space["make_optimizer"](model)
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    groups = {tuple(name_of[parameter] for parameter in group["params"]): group for group in optimizer.param_groups}
    assert {names: (group["use_muon"], group["weight_decay"]) for names, group in groups.items()} == {
        ("wte.weight", "lm_head.weight"): (False, 0.1),
        ("body.weight",): (True, 0.1),
        ("body.bias",): (False, 0.0),
    }
    assert groups["body.weight",]["momentum"] == 0.5
    assert groups["body.bias",]["betas"] == (0.8, 0.9)
    assert {group["lr"] for group in groups.values()} == {0.001}


@pytest.mark.usefixtures("folder")
def test_a_class_of_two_algorithms_needs_a_ruleset_that_names_them() -> None:
    result = emit("--optimizer", "fake_muon:SingleDeviceMuonWithAuxAdam", "--rules", "no-bias")
    assert result.exit_code == 2
    assert "SingleDeviceMuonWithAuxAdam contains muon and Adam, and the ruleset names no optimizer" in result.stderr
    assert "--rules muon" in result.stderr


@pytest.mark.usefixtures("folder")
def test_tensors_that_torchs_muon_refuses_are_an_error_with_a_way_out(folder: Path) -> None:
    (folder / "net.py").write_text(NET + "\n        self.conv = nn.Conv2d(4, 4, 3)\n")
    result = emit("--optimizer", "Muon", "--rules", "muon-stacked")
    assert result.exit_code == 2
    assert "Muon only supports 2D parameters" in result.stderr
    assert "--rules muon gives it no others" in result.stderr
    assert emit("--optimizer", "Muon").exit_code == 0
