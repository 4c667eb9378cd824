"""The page of a report says what decay comes to over the run, for each group and for each parameter."""

import re
from typing import Any

import torch
from torch import nn

import decay_audit
from decay_audit import reports
from decay_audit.reports import Format


def page(steps: int | None) -> str:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    groups: list[dict[str, Any]] = [
        {"params": [model[0].weight]},
        {"params": [model[0].bias, *model[1].parameters()], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-4)
    return reports.render(decay_audit.audit(model, optimizer, steps=steps, no_trace=True), Format.HTML)


def test_the_page_has_what_is_kept_and_the_time_scale_of_each_parameter() -> None:
    text = page(1000)  # torch keeps 60.8 % of the weight: tests/optimizers/test_horizon.py steps it
    titles = re.findall(r"<th[^>]*>([^<]+)", text)
    assert "kept" in titles
    assert "remembers" in titles
    cells = [cell.strip() for cell in re.findall(r"<td[^>]*>([^<]*)", text)]
    assert "60.8 %" in cells
    assert "100 %" in cells
    assert "1,991 steps" in cells
    assert "decay alone keeps 60.8 % of a weight" in text
    assert "over a run of 1,000 steps: lr 0.1" in text


def test_without_the_length_of_the_run_the_page_says_nothing_of_it() -> None:
    text = page(None)
    assert ">kept<" not in text
    assert "decay alone keeps" not in text
