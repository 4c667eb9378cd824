"""`compare: product`: recipes that scale lr and weight_decay against each other, as muP does, held against torch."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.checks.codes import Finding

WIDTH = 8
"""By how much wider the model is than the one whose settings were tuned."""
RULES = """
schema: 1
name: mup
extends: no-norm-no-bias
weight_decay: 0.1
compare: product
"""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read_in = nn.Linear(3, 16)
        self.hidden = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "mup.yaml"
    path.write_text(RULES)
    return path


def optimizer_of(net: Net, make: Any = torch.optim.AdamW, *, hidden: float = 0.1 * WIDTH, **more: Any) -> Any:
    """muP for a width of 8 times the base: the hidden matrix learns at lr / 8."""
    vectors = [net.read_in.bias, net.hidden.bias, *net.norm.parameters()]
    return make(
        [
            {"params": [net.read_in.weight], "weight_decay": 0.1},
            {"params": [net.hidden.weight], "weight_decay": hidden, "lr": 1e-2 / WIDTH},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=1e-2,
        **more,
    )


def findings(net: Net, optimizer: Any, rules: Path | str, weight_decay: float | None = None) -> list[Finding]:
    report = decay_audit.audit(net, optimizer, rules=rules, weight_decay=weight_decay)
    return [finding for finding in report.findings if finding.code == "DA103"]


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("weight_decay", [None, 0.1])
def test_scaled_settings_that_remove_the_same_part_are_no_finding(
    make: Any, weight_decay: float | None, rules: Path
) -> None:
    net = Net()
    assert findings(net, optimizer_of(net, make), rules, weight_decay) == []


def test_scaled_settings_shrink_both_matrices_alike_in_torch() -> None:
    net = Net()
    weights = (net.read_in.weight, net.hidden.weight)
    before = [weight.detach().clone() for weight in weights]
    optimizer = optimizer_of(net)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kept = [(weight / value).mean().item() for weight, value in zip(weights, before, strict=True)]
    assert kept[0] == pytest.approx(kept[1], rel=1e-6)


def test_a_coefficient_that_was_not_scaled_is_found_and_the_fix_mends_it(rules: Path) -> None:
    net = Net()
    (finding,) = findings(net, optimizer_of(net, hidden=0.1), rules, 0.1)
    assert finding.severity == "error"
    assert finding.parameters == ("hidden.weight",)
    assert finding.message == "1 weight is decayed with lr x weight_decay 1.25e-4, not 1e-3"
    fix = re.fullmatch(r"set weight_decay=([\d.]+) where lr is 0.00125", finding.fix)
    assert fix is not None, finding.fix
    assert findings(net, optimizer_of(net, hidden=float(fix[1])), rules, 0.1) == []


def test_a_base_coefficient_that_no_group_has_is_found(rules: Path) -> None:
    net = Net()
    (finding,) = findings(net, optimizer_of(net), rules, 0.3)
    assert set(finding.parameters) == {"read_in.weight", "hidden.weight"}


def test_without_the_key_the_same_settings_are_a_note_that_names_it() -> None:
    net = Net()
    (finding,) = findings(net, optimizer_of(net), "no-norm-no-bias", 0.1)
    assert finding.severity == "note"
    assert "compare: product" in finding.fix


def test_a_schedule_that_has_begun_does_not_count(rules: Path) -> None:
    net = Net()
    optimizer = optimizer_of(net)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=10)
    assert findings(net, optimizer, rules, 0.1) == []
    optimizer.step()
    schedule.step()
    assert findings(net, optimizer, rules, 0.1) == []


def test_a_ruleset_keeps_the_key_of_the_one_that_it_extends(tmp_path: Path, rules: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"schema: 1\nname: own\nextends: {rules.name}\n")
    net = Net()
    assert findings(net, optimizer_of(net), own, 0.1) == []
