"""What loading a saved state would do, held against what torch does with it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from decay_audit.cli import app

SCRIPT = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)


def groups(decayed, spared):
    return [{"params": decayed, "weight_decay": 0.1}, {"params": spared, "weight_decay": 0.0}]


def now(model):
    return torch.optim.AdamW(groups([model.fc.weight, model.norm.weight], [model.fc.bias, model.norm.bias]), lr=1)


def one_group(model):
    return torch.optim.AdamW(model.parameters(), lr=1, weight_decay=0.1)


def swapped(model):
    return torch.optim.AdamW(groups([model.norm.weight, model.fc.weight], [model.fc.bias, model.norm.bias]), lr=1)


def stronger(model):
    optimizer = now(model)
    optimizer.param_groups[0]["weight_decay"] = 0.3
    return optimizer
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def save(folder: Path, factory: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec((folder / "train.py").read_text(), names)
    model: nn.Module = names["Net"]()  # type: ignore[operator]
    named = {id(tensor): name for name, tensor in model.named_parameters()}
    optimizer: torch.optim.Optimizer = names[factory](model)  # type: ignore[operator]
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    state = optimizer.state_dict()
    for group, live in zip(state["param_groups"], optimizer.param_groups, strict=True):
        group["param_names"] = [named[id(tensor)] for tensor in live["params"]]
    torch.save({"model": model.state_dict(), "optimizer": state}, folder / "last.pt")
    return state


def check(factory: str) -> str:
    arguments = ["train.py", "--optimizer", f"train.py:{factory}", "--checkpoint", "last.pt", "--rules", "no-bias"]
    return CliRunner().invoke(app, ["check", *arguments]).stdout


def test_the_same_groups_resume_without_a_finding(folder: Path) -> None:
    save(folder, "now")
    assert "DA601" not in check("now")


def test_groups_of_other_sizes_are_what_torch_refuses(folder: Path) -> None:
    state = save(folder, "one_group")
    assert "torch would refuse this state: 1 group of 4 parameters were saved, AdamW has 2 groups" in check("now")
    assert "decay-audit migrate CHECKPOINT --to EXPRESSION --model train.py --output NEW" in check("now")
    names: dict[str, object] = {}
    exec(SCRIPT, names)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        names["now"](names["Net"]()).load_state_dict(state)  # type: ignore[operator]


def test_the_same_sizes_in_another_order_are_what_torch_accepts_and_swaps(folder: Path) -> None:
    state = save(folder, "swapped")
    assert "torch would accept this state and give 2 parameters the state and settings of another" in check("now")
    names: dict[str, object] = {}
    exec(SCRIPT, names)
    names["now"](names["Net"]()).load_state_dict(state)  # type: ignore[operator]


def test_a_coefficient_that_resuming_would_set_back_is_da103_with_its_origin(folder: Path) -> None:
    save(folder, "now")
    said = check("stronger")
    assert "loading this state would set weight_decay of group 0 back to 0.1, from 0.3" in said


def test_a_checkpoint_without_optimizer_state_is_an_error_with_a_way_out(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(4, 4)}, folder / "last.pt")
    result = CliRunner().invoke(app, ["check", "train.py", "--checkpoint", "last.pt"])
    assert result.exit_code == 2
    assert "holds no optimizer state" in result.stderr


def test_states_of_other_shapes_in_a_file_beside_the_model_are_found(folder: Path) -> None:
    state: Any = save(folder, "one_group")
    first, second, *others = state["param_groups"][0]["param_names"]
    state["param_groups"][0]["param_names"] = [second, first, *others]
    torch.save({"model": torch.load("last.pt")["model"], "optimizer": state}, "last.pt")
    assert "DA601 error   saved state of AdamW does not fit 2 parameters at its positions" in check("one_group")
