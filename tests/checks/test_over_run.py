"""Findings on a whole run: DA801 and DA802, each beside the run that does not have it."""

from typing import Any

import pytest
import torch
from torch import nn

import decay_audit

RUN_CODES = {"DA801", "DA802"}


def test_a_test_of_a_script_may_ask_for_decay_that_acts() -> None:
    net = torch.nn.Linear(2, 2, bias=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-5, weight_decay=0.01)
    with pytest.raises(decay_audit.DecayAssertionError, match="DA801"):
        decay_audit.assert_decay(net, optimizer, steps=3000, fail_on="note")
    decay_audit.assert_decay(net, optimizer, steps=30_000_000, fail_on="note")


def findings(optimizer: str, **options: Any) -> dict[str, decay_audit.Finding]:
    """Audit a small model under the ruleset's own groups, so that only the run can be remarkable."""
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    name, settings = optimizer.split(" ", 1)
    groups = decay_audit.param_groups(model, weight_decay=float(settings.split("weight_decay=")[1]))
    arguments = dict(word.split("=") for word in settings.split() if not word.startswith("weight_decay"))
    made = getattr(torch.optim, name)(groups, **{key: float(value) for key, value in arguments.items()})
    report = decay_audit.audit(model, made, **options)
    return {finding.code: finding for finding in report.findings if finding.code in RUN_CODES}


def test_a_fine_tune_with_a_tiny_lr_decays_nothing_and_a_long_run_does() -> None:
    found = findings("AdamW lr=2e-5 weight_decay=0.01", steps=3000)
    assert found.keys() == {"DA801"}
    assert found["DA801"].severity == "note"
    assert found["DA801"].parameters == ("0.weight",)  # what does not decay is not named
    assert "keeps 99.94 %" in found["DA801"].message  # (1 - 2e-7) ** 3000 = 0.99940
    assert not findings("AdamW lr=6e-4 weight_decay=0.1", steps=600_000, epoch_steps=5000)


def test_momentum_counts_when_decay_is_called_negligible() -> None:
    assert findings("SGD lr=0.1 weight_decay=1e-5", steps=5000).keys() == {"DA801"}  # 0.005
    assert "DA801" not in findings("SGD lr=0.1 momentum=0.9 weight_decay=1e-5", steps=5000)  # 0.05


def test_decay_that_forgets_within_an_epoch_is_noted_and_one_of_some_epochs_is_not() -> None:
    found = findings("AdamW lr=1e-2 weight_decay=0.5", steps=50_000, epoch_steps=1000)  # 200 steps
    assert found.keys() == {"DA802"}
    assert "200 steps" in found["DA802"].message
    assert not findings("AdamW lr=1e-3 weight_decay=0.5", steps=50_000, epoch_steps=1000)  # 2000 steps
    assert not findings("AdamW lr=1e-2 weight_decay=0.5", steps=50_000)  # what an epoch is, is not known


def test_decay_that_is_slower_than_the_run_is_noted_and_in_a_longer_run_is_not() -> None:
    found = findings("AdamW lr=1e-3 weight_decay=0.1", steps=5000)  # 10,000 steps
    assert found.keys() == {"DA802"}
    assert "10,000 steps" in found["DA802"].message
    assert not findings("AdamW lr=1e-3 weight_decay=0.1", steps=20_000)


@pytest.mark.parametrize("optimizer", ["AdamW lr=2e-5 weight_decay=0.01", "AdamW lr=1e-2 weight_decay=0.5"])
def test_without_the_length_of_the_run_nothing_is_said_of_it(optimizer: str) -> None:
    assert not findings(optimizer)


def test_what_is_not_known_is_no_finding() -> None:
    assert not findings("Adam lr=2e-5 weight_decay=0.01", steps=3000)


def test_groups_with_the_same_effect_share_a_finding() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    optimizer = torch.optim.AdamW(
        [{"params": part.parameters(), "lr": lr} for part, lr in zip(model, (1e-6, 1e-5), strict=True)],
        weight_decay=0.1,
    )
    report = decay_audit.audit(model, optimizer, steps=1000)
    (finding,) = [finding for finding in report.findings if finding.code == "DA801"]
    assert finding.parameters == ("0.weight", "1.weight")
    assert finding.where == "groups 0 and 1 of AdamW"
    assert "99.9 % to 99.99 %" in finding.message
