"""What a coefficient does in a step, for optimizers of torch: DA503 and DA504."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import decay_audit

SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer, float], object]] = {
    "OneCycleLR": lambda optimizer, peak: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=100),
    "LinearLR": lambda optimizer, _: torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1e-4),
    "LambdaLR": lambda optimizer, _: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 1000),
}


@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_peak_of_torchs_schedules_decides_whether_a_product_vanishes(scheduler: str, *, measure: bool) -> None:
    for peak, vanishes in ((0.1, False), (1e-3, True)):
        model = nn.Linear(4, 4, bias=False, dtype=torch.bfloat16)
        optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.1)
        SCHEDULERS[scheduler](optimizer, peak)
        assert optimizer.param_groups[0]["lr"] < peak / 10
        report = decay_audit.audit(model, optimizer, weight_decay=0.1, measure=measure)
        assert ("DA504" in {finding.code for finding in report.findings}) is vanishes


@pytest.mark.parametrize("key", ["stochastic_rounding", "kahan_sum", "bf16_stochastic_round"])
def test_a_known_class_that_compensates_rounding_loses_no_product(key: str) -> None:
    for compensates in (False, True):
        model = nn.Linear(4, 4, bias=False, dtype=torch.bfloat16)
        optimizer = torch.optim.AdamW([{"params": [model.weight], key: compensates}], lr=1e-3, weight_decay=0.1)
        report = decay_audit.audit(model, optimizer, weight_decay=0.1)
        assert ("DA504" in {finding.code for finding in report.findings}) is not compensates


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": 0.9, "weight_decay": 5e-4},
        {"momentum": 0.9, "weight_decay": 5e-3},
        {"momentum": 0.9, "weight_decay": 5e-3, "nesterov": True},
        {"momentum": 0.9, "weight_decay": 5e-3, "dampening": 0.9},
        {"momentum": 0.99, "weight_decay": 5e-4},
    ],
    ids=str,
)
def test_what_rounding_undoes_is_judged_by_many_steps_as_torch_takes_them(settings: dict[str, float]) -> None:
    model = nn.Linear(8, 8, bias=False, dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **settings)  # type: ignore[arg-type]
    report = decay_audit.audit(model, optimizer, measure=True)
    before = model.weight.detach().clone()
    model.weight.grad = torch.zeros_like(model.weight)
    for _ in range(200):
        optimizer.step()
    never_moves = before.equal(model.weight.detach())
    assert ("DA504" in {finding.code for finding in report.findings}) is never_moves
