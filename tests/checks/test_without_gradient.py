"""What decays though no gradient reaches it; torch itself is asked whether it does."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

import decay_audit
from decay_audit.checks.codes import Finding
from decay_audit.optimizers.find import find
from decay_audit.optimizers.live import observe
from decay_audit.rulesets import load
from decay_audit.sources.trace import make_example_inputs, trace, with_uses
from tests.checks.optimizer_findings import check_optimizers

prune: Any = torch_prune  # it has no annotations


class TwoHeads(nn.Module):
    def __init__(self, *, used: bool) -> None:
        super().__init__()
        self.body, self.head, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 2), nn.Linear(4, 2)
        self.used = used

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        logits: Tensor = self.head(hidden)
        return logits + self.second(hidden) if self.used else logits


def found(model: nn.Module, optimizer: torch.optim.Optimizer, traced_shape: str = "") -> list[Finding]:
    if traced_shape:
        inventory = decay_audit.read(model)
        inventory = with_uses(inventory, trace(model, make_example_inputs(model, traced_shape, {})))
        live = observe(find(optimizer), {id(parameter): name for name, parameter in model.named_parameters()})
        plan = decay_audit.plan(inventory, load("no-norm-no-bias"))
        findings: Iterable[Finding] = check_optimizers(plan, live.optimizers, live.observations)
    else:
        findings = decay_audit.audit(model, optimizer, weight_decay=0.1).findings
    return [finding for finding in findings if finding.code == "DA210"]


def split(model: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {"params": [parameter for parameter in model.parameters() if (parameter.ndim > 1) is matrix], "weight_decay": c}
        for matrix, c in ((True, 0.1), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=0.1)


@pytest.mark.parametrize("used", [True, False])
def test_a_head_that_the_forward_pass_never_touches_decays_under_gradients_of_zero(*, used: bool) -> None:
    model = TwoHeads(used=used)
    findings = found(model, split(model), "2x4")
    assert [(finding.severity, finding.parameters) for finding in findings] == (
        [] if used else [("note", ("second.weight",))]
    )
    assert found(model, split(model)) == []  # without a trace nothing is known
    before, optimizer = model.second.weight.detach().clone(), split(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert torch.allclose(model.second.weight, before * (1 - 0.1 * 0.1)) is not used


@pytest.mark.parametrize("weight_decay", [0.1, 0.0])
def test_pruned_elements_decay_on(weight_decay: float) -> None:
    model: Any = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 2, bias=False))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=weight_decay)
    findings = found(model, optimizer)
    assert [finding.parameters for finding in findings] == ([("0.weight_orig",)] if weight_decay else [])
    before, mask = model[0].weight_orig.detach().clone(), model[0].weight_mask.bool()
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    assert model[0].weight_orig[~mask].equal(before[~mask]) is (not weight_decay)


def test_permanent_pruning_is_no_pruning() -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.remove(model[0], "weight")
    assert found(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1)) == []
