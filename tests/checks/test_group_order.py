"""A saved state in another order of groups, with names and without; and names that changed in the same order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from decay_audit import api
from decay_audit.checks.codes import Finding
from decay_audit.checks.resume import check_resume
from decay_audit.model.observations import Optimizer, ParamGroup

SHAPES = dict.fromkeys(("a", "b", "c", "d"), (8, 8))
SCRIPT = """
import torch
from torch import nn

model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))


def in_order(model):
    groups = [{"params": [model[0].weight], "weight_decay": 0.1}, {"params": [model[1].weight], "weight_decay": 0.01}]
    return torch.optim.AdamW(groups, lr=1e-3)


def reversed_order(model):
    groups = [{"params": [model[1].weight], "weight_decay": 0.01}, {"params": [model[0].weight], "weight_decay": 0.1}]
    return torch.optim.AdamW(groups, lr=1e-3)


def stronger(model):
    groups = [{"params": [model[0].weight], "weight_decay": 0.2}, {"params": [model[1].weight], "weight_decay": 0.01}]
    return torch.optim.AdamW(groups, lr=1e-3)
"""


def optimizer(*groups: tuple[float, Sequence[str]], origin: str = "live", without_names: bool = False) -> Optimizer:
    return Optimizer(
        name="optimizer",
        type="AdamW",
        origin="checkpoint" if origin == "checkpoint" else "live",
        groups=tuple(
            ParamGroup(
                weight_decay=weight_decay,
                parameters=tuple(names),
                hyperparameters={"weight_decay": weight_decay},
                shapes=((8, 8),) * len(names) if without_names else (),
            )
            for weight_decay, names in groups
        ),
    )


def found(live: Sequence[str], saved: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Compare one group of named parameters with what was saved."""
    findings: Sequence[Finding] = check_resume(
        [optimizer((0.1, live)), optimizer((0.1, saved), origin="checkpoint")], SHAPES
    )
    return [(finding.code, finding.parameters) for finding in findings]


def test_two_names_that_changed_places_are_swapped() -> None:
    assert found(["b", "a", "c"], ["a", "b", "c"]) == [("DA601", ("b", "a"))]


def test_three_names_that_go_round_are_swapped() -> None:
    assert found(["b", "c", "a"], ["a", "b", "c"]) == [("DA601", ("b", "c", "a"))]


def test_modules_that_were_renamed_in_the_same_order_are_not_swapped() -> None:
    assert found(["x", "y"], ["a", "b"]) == []


def test_modules_whose_numbers_moved_by_one_are_renamed_and_not_swapped() -> None:
    assert found(["b", "c", "d"], ["a", "b", "c"]) == []


def test_a_swap_beside_a_renamed_module_is_found() -> None:
    assert found(["b", "a", "x"], ["a", "b", "c"]) == [("DA601", ("b", "a"))]


def check(folder: Path, factory: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    monkeypatch.chdir(folder)
    request = api.Request(target="train.py", optimizer=f"train.py:{factory}", checkpoint="last.pt", rules="no-bias")
    found = api.run(request).findings
    return [finding for finding in found if finding.code == "DA601" or finding.message.startswith("loading this state")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    saved = AdamW(groups(model, [0, 1]), lr=1e-3)
    for index, tensor in enumerate(model.parameters()):
        tensor.grad = torch.full_like(tensor, float(index + 1))
    saved.step()
    torch.save({"model": model.state_dict(), "optimizer": saved.state_dict()}, tmp_path / "last.pt")
    return tmp_path


def groups(model: nn.Sequential, order: Sequence[int]) -> list[dict[str, object]]:
    coefficients = {0: 0.1, 1: 0.01}
    return [{"params": [*model[index].parameters()], "weight_decay": coefficients[index]} for index in order]


def test_groups_of_equal_shapes_in_another_order_are_swapped_though_no_name_was_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = check(folder, "reversed_order", monkeypatch)
    assert (finding.code, finding.severity) == ("DA601", "error")
    assert finding.parameters == ("1.weight", "0.weight")
    assert finding.fix.startswith("make the groups in the order in which they were saved")
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    resumed = AdamW(groups(model, [1, 0]), lr=1e-3)
    resumed.load_state_dict(torch.load(folder / "last.pt")["optimizer"])  # torch says nothing
    assert resumed.state[model.get_parameter("1.weight")]["exp_avg"][0, 0] == pytest.approx(
        0.1
    )  # of the first layer's gradient, 1


def test_the_same_groups_in_the_same_order_are_quiet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(folder, "in_order", monkeypatch) == []


def test_a_coefficient_that_no_group_was_saved_with_is_another_coefficient_and_no_other_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [finding.code for finding in check(folder, "stronger", monkeypatch)] == ["DA103"]


ATTENTION = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, *names):
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(8, 8, bias=False))


def same(): return Attention("query", "key", "value")
def reordered(): return Attention("value", "query", "key")
def adamw(model): return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
def named(model): return torch.optim.AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.1)
"""


@pytest.mark.parametrize("factory", ["adamw", "named"])
def test_a_model_whose_modules_were_put_in_another_order_is_found_where_no_name_was_saved(
    factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "attention.py").write_text(ATTENTION)
    scope: dict[str, Any] = {}
    exec(ATTENTION, scope)
    model = scope["same"]()
    saved = scope[factory](model)
    for index, tensor in enumerate(model.parameters()):
        tensor.grad = torch.full_like(tensor, float(index + 1))
    saved.step()
    torch.save({"model": model.state_dict(), "optimizer": saved.state_dict()}, tmp_path / "last.pt")

    def found(target: str) -> list[Finding]:
        optimizer = f"attention.py:{factory}"
        request = api.Request(target=f"attention.py:{target}", optimizer=optimizer, checkpoint="last.pt")
        return [finding for finding in api.run(request).findings if finding.code == "DA601"]

    assert found("same") == []
    (finding,) = found("reordered")
    assert finding.severity == ("warning" if factory == "adamw" else "error")
    assert "give value.weight the state of query.weight" in finding.message or factory == "named"
    resumed_model = scope["reordered"]()
    resumed = scope[factory](resumed_model)
    resumed.load_state_dict(torch.load(tmp_path / "last.pt")["optimizer"])  # torch says nothing
    moment = resumed.state[resumed_model.value.weight]["exp_avg"][0, 0]
    assert moment == pytest.approx(0.1)  # of the query's gradient, 1
