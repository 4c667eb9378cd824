"""The optimizer columns: one for each class, marked where a check would find something."""

from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import nn

import decay_audit
from decay_audit import api, reports
from decay_audit.api import Request
from decay_audit.reports import columns
from decay_audit.roles.words import CONFIDENCES
from tests.reports import samples


def shown(optimizer: object, model: nn.Module) -> dict[str, list[str]]:
    report = decay_audit.audit(model, optimizer, weight_decay=0.1)
    return {
        title: [cell(decision) for decision in report.plan.decisions] for title, cell in columns.columns(report).items()
    }


def test_an_optimizer_for_each_parameter_takes_one_column() -> None:
    model = nn.Linear(3, 2)
    each = [torch.optim.SGD([tensor], lr=0.1, weight_decay=0.1) for tensor in model.parameters()]
    assert shown(each, model)["SGD"] == ["0.1", "0.1 !"]


def test_optimizers_of_two_classes_leave_each_others_parameters_blank() -> None:
    model = nn.Linear(3, 2)
    both = [torch.optim.SGD([model.weight], lr=0.1, weight_decay=0.1), torch.optim.AdamW([model.bias], weight_decay=0)]
    columns = shown(both, model)
    assert (columns["SGD"], columns["AdamW"]) == (["0.1", ""], ["", "-"])


def test_a_parameter_that_an_unnamed_position_may_hold_is_not_called_absent(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))
    first, *others = model.parameters()
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [first], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
    request = Request(target=str(tmp_path / "run.pt"))
    report = api.run(request)
    cell = columns.columns(report)["saved AdamW"]
    assert [cell(decision) for decision in report.plan.decisions] == ["unknown", "unknown", "0.1", "0.1 !"]


@pytest.mark.parametrize(("weight_decay", "cell"), [(0.1 + 1e-9, "0.100000001"), (0.1001, "0.1001 !")])
def test_a_coefficient_is_marked_where_a_check_would_find_it(weight_decay: float, cell: str) -> None:
    model = nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)
    assert shown(optimizer, model)["AdamW"] == [cell]
    codes = {finding.code for finding in decay_audit.audit(model, optimizer, weight_decay=0.1).findings}
    assert ("DA103" in codes) == cell.endswith("!")


def test_a_measured_cell_says_what_a_step_does_only_where_the_group_says_something_else() -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for tensor in group["params"]:
                    if tensor.grad is not None:
                        tensor.data.mul_(1 - 2 * group["lr"] * group["weight_decay"] * (tensor.ndim == 2))

    model = nn.Linear(3, 2)
    for make, cells in ((torch.optim.SGD, ["0.1", "0.1 !"]), (Twice, ["0.1: 0.2", "0.1: -"])):
        optimizer = make(model.parameters(), lr=0.1, weight_decay=0.1)
        report = decay_audit.audit(model, optimizer, weight_decay=0.1, measure=True)
        cell = columns.columns(report)[make.__name__]
        assert [cell(decision) for decision in report.plan.decisions] == cells
        text = reports.render(report)
        assert ("! differs from" in text) == any("!" in text for text in cells)
        assert ("a measured step" in text) == any(":" in text for text in cells)
    adam = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    assert "0.1: sign" in reports.render(decay_audit.audit(model, adam, measure=True))


def test_blocks_that_each_declare_their_own_parameter_fold() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.ones(4, 1, 1))

        def no_weight_decay(self) -> set[str]:
            return {"temperature"}

    model = nn.Sequential(*(Scaled() for _ in range(3)))
    text = reports.render(decay_audit.audit(model))
    assert "{0-2}.temperature  x3" in text
    assert "declared in a submodule's no_weight_decay()" in text


def test_a_tied_parameter_is_selected_by_any_of_its_names() -> None:
    model = nn.ModuleDict({"wte": nn.Embedding(3, 2), "head": nn.Linear(2, 3)})
    model["head"].weight = model["wte"].weight
    report = reports.filter_parameters(decay_audit.audit(model), globs=["head.weight"])
    assert [decision.name for decision in report.plan.decisions] == ["wte.weight"]


@pytest.mark.parametrize(
    ("types", "hint"),
    [(("torch.nn.Module",), "decay-audit explain TARGET NAME shows the evidence"), ((), "--model TARGET adds them")],
)
def test_one_legend_line_explains_the_marks_of_uncertain_roles(types: tuple[str, ...], hint: str) -> None:
    bare = samples.report(
        samples.classified(f"{confidence}.weight", (4, 4), "linear_weight", "linear", confidence)
        for confidence in CONFIDENCES
    )
    parameters = tuple(replace(each, owner=replace(each.owner, types=types)) for each in bare.inventory.parameters)
    text = reports.render(replace(bare, inventory=replace(bare.inventory, parameters=parameters)))
    assert [line.strip() for line in text.splitlines() if hint in line] == [
        f"~ a likely role, ? a guess: {'a checkpoint has no classes; ' if not types else ''}{hint}"
    ]
    assert all(f"linear weight{mark}  " in text for mark in ("  ", " ~", " ?"))


def test_a_report_without_uncertain_roles_has_no_legend() -> None:
    text = reports.render(samples.report([samples.classified("fc.weight", (4, 4), "linear_weight", "linear")]))
    assert "likely" not in text
