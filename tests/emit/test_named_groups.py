"""`emit --named`: the groups hold names, so that torch saves them with the state of the optimizer."""

from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import decay_audit
from decay_audit.cli import app
from decay_audit.emit import verify, write_code
from decay_audit.model.choices import CodeStyle


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 3).requires_grad_(False))


@pytest.mark.parametrize("style", ["rule", "names", "policy"])
@pytest.mark.parametrize("rules", ["timm", "torch-default"])
def test_a_saved_state_has_the_names_of_its_parameters(style: CodeStyle, rules: str) -> None:
    model = net()
    plan = decay_audit.plan(model, rules, 0.1)
    code = write_code(plan, style=style, named=True)
    verify(code, plan, model)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    optimizer = torch.optim.AdamW(namespace["param_groups"](model))
    names = {p: name for name, p in model.named_parameters()}
    for group, saved in zip(optimizer.param_groups, optimizer.state_dict()["param_groups"], strict=True):
        assert saved["param_names"] == [names[p] for p in group["params"]]
    saved_names = [name for group in optimizer.param_groups for name in group["param_names"]]
    assert sorted(saved_names) == sorted(decision.name for decision in plan.decisions if decision.grouped)


def test_without_the_option_the_groups_hold_parameters_alone() -> None:
    assert "(name, p)" not in write_code(decay_audit.plan(net(), "timm", 0.1))


def test_frameworks_that_make_the_groups_refuse_it() -> None:
    result = CliRunner().invoke(app, ["emit", "torch.nn:Linear(2, 2)", "--named", "--for", "timm"])
    assert (result.exit_code, "--named" in result.stderr) == (2, True)
