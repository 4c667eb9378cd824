"""Optimizer classes that a project writes itself: own keys, several optimizers in one, and steps of their own."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.checks.codes import Finding

HOUSE = """
schema: 1
name: house
extends: no-norm-no-bias
weight_decay: 0.1
optimizer:
  - {when: {role: linear_weight, name: "1.*"}, use: muon}
  - {use: adamw}
"""


class OwnKey(torch.optim.Optimizer):
    """Decoupled decay under a key of its own."""

    def __init__(self, groups: Iterable[Any], lr: float = 1e-3, **defaults: float) -> None:
        super().__init__(groups, {"lr": lr, "l2": 0.1, **defaults})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["l2"]).sub_(parameter.grad, alpha=group["lr"])


class InOne(torch.optim.Optimizer):
    """One optimizer that steps two others, and has the groups of both."""

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        self.first, self.second = first, second
        self.param_groups = first.param_groups + second.param_groups
        self.state, self.defaults = {}, {}  # type: ignore[assignment]

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        self.first.step()
        self.second.step()


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Embedding(8, 8), nn.Linear(8, 8), nn.LayerNorm(8))


def matrices(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]


def vectors(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.ndim < 2]


def findings(model: nn.Module, optimizer: object, rules: str = "no-norm-no-bias") -> dict[str, Finding]:
    report = decay_audit.audit(model, optimizer, rules=rules, weight_decay=0.1, measure=True)
    return {finding.code: finding for finding in report.findings}


def test_a_coefficient_under_a_key_of_its_own_contradicts_no_declaration(model: nn.Module) -> None:
    split = OwnKey([{"params": matrices(model)}, {"params": vectors(model), "l2": 0.0}])
    assert findings(model, split).keys() == {"DA507"}


def test_a_step_that_decays_norms_by_a_key_of_its_own_is_found_with_a_way_out(model: nn.Module) -> None:
    found = findings(model, OwnKey(model.parameters()))
    assert found.keys() == {"DA101", "DA507"}
    assert found["DA101"].fix == "the groups have no weight_decay: read what step() of OwnKey does with them"


def test_a_coefficient_of_0_that_a_step_does_not_follow_is_found(model: nn.Module) -> None:
    split = OwnKey([{"params": matrices(model)}, {"params": vectors(model), "l2": 0.0}], weight_decay=0.0)
    assert findings(model, split)["DA503"].severity == "warning"


class AsAttribute(torch.optim.Optimizer):
    """Takes the coefficient out of the groups and keeps it as an attribute."""

    def __init__(self, groups: Iterable[Any], lr: float = 1e-2, weight_decay: float = 0.1, *, needs_key: bool) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self.own, self.needs_key = weight_decay, needs_key
        for group in self.param_groups:
            del group["weight_decay"]

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            rate = group["lr"] * (group["weight_decay"] if self.needs_key else self.own)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - rate * (parameter.ndim > 1)).sub_(parameter.grad, alpha=group["lr"])


@pytest.mark.parametrize("needs_key", [True, False])
def test_a_key_that_the_measured_step_does_not_need_is_not_missing(model: nn.Module, *, needs_key: bool) -> None:
    found = findings(model, AsAttribute(model.parameters(), needs_key=needs_key))
    assert found.keys() == ({"DA208", "DA507"} if needs_key else {"DA507"})


class WithNoise(torch.optim.Optimizer):
    """Langevin dynamics: noise moves all tensors, also those that do not decay."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(parameter.grad, alpha=group["lr"])
                parameter.add_(torch.randn_like(parameter), alpha=1e-3 * group["lr"] ** 0.5)


@pytest.mark.parametrize("decays_norms", [True, False])
def test_noise_is_no_decay(model: nn.Module, *, decays_norms: bool) -> None:
    vector_group: dict[str, Any] = {"params": vectors(model), "weight_decay": 0.1 if decays_norms else 0.0}
    groups: list[dict[str, Any]] = [{"params": matrices(model)}, vector_group]
    found = findings(model, WithNoise(groups, {"lr": 1e-2, "weight_decay": 0.1}))
    assert found.keys() == ({"DA101", "DA507"} if decays_norms else {"DA507"})


@pytest.mark.parametrize("embedding_in_muon", [True, False])
def test_of_two_optimizers_in_one_each_has_its_own_groups(
    model: nn.Sequential, tmp_path: Any, *, embedding_in_muon: bool
) -> None:
    (tmp_path / "house.yaml").write_text(HOUSE)
    embedding, linear = matrices(model)
    muon = [linear, embedding] if embedding_in_muon else [linear]
    adamw = [] if embedding_in_muon else [{"params": [embedding], "weight_decay": 0.1}]
    both = InOne(
        torch.optim.Muon(muon, lr=0.02, weight_decay=0.1),
        torch.optim.AdamW([*adamw, {"params": vectors(model), "weight_decay": 0.0}]),
    )
    found = findings(model, both, str(tmp_path / "house.yaml")).get("DA104")
    if not embedding_in_muon:
        assert found is None
        return
    assert found is not None
    assert found.parameters == ("0.weight",)
    assert found.message == "1 embedding is in the muon groups of InOne; house gives it to adamw"


def decay_by_hand(optimizer: torch.optim.Optimizer, *_: object) -> None:
    with torch.no_grad():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.mul_(0.999)


@pytest.mark.parametrize("registers", [True, False])
def test_a_function_that_runs_at_each_step_may_decay_what_the_groups_do_not(
    model: nn.Module, *, registers: bool
) -> None:
    optimizer = torch.optim.AdamW([{"params": matrices(model)}, {"params": vectors(model)}], weight_decay=0.0)
    if registers:
        optimizer.register_step_post_hook(decay_by_hand)
    by_choice = decay_audit.audit(model, optimizer)
    messages = [finding.message for finding in by_choice.findings if finding.code == "DA401"]
    assert messages[0].startswith("no group has a coefficient; decay_by_hand" if registers else "nothing decays")
    report = decay_audit.audit(model, optimizer, weight_decay=0.1)
    (finding,) = [finding for finding in report.findings if finding.code == "DA401"]
    assert finding.severity == ("warning" if registers else "error")
    assert ("decay_by_hand, which runs at each step, may decay weights" in finding.message) is registers
    assert any("runs decay_by_hand at each step" in note for note in report.optimizers[0].notes) is registers
