"""Sixty models, each split for SGD, for AdamW, and for Muon with AdamW; and the code without decay-audit."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

import decay_audit
from decay_audit import emit
from decay_audit.model.choices import CodeStyle
from tests.menagerie import EMPTY, MENAGERIE

TIMM = sorted(timm.list_models("test_*"))[:20]
SCRIPTED = ("scripted", "traced")
TORCHVISION = ["alexnet", "mobilenet_v2", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0"]
MODELS = [*sorted(set(MENAGERIE) - EMPTY - {*SCRIPTED, "all_frozen"}), *TIMM, *TORCHVISION]

MUON = """
schema: 1
name: muon-for-matrices
weight_decay: 0.1
rules:
  - {name: matrices, when: {role: [conv_weight, linear_weight, embedding]}, decay: true}
default: {decay: false}
optimizer:
  - {when: {role: linear_weight, ndim: 2}, use: muon}
  - {use: adamw}
"""


@cache
def build(name: str) -> nn.Module:
    if name in MENAGERIE:
        return MENAGERIE[name]()
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name) if name in TIMM else torchvision.models.get_model(name, weights=None)
    return model


def test_there_are_sixty_models() -> None:
    assert len(MODELS) >= 60


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("name", MODELS)
def test_one_optimizer_holds_each_trainable_parameter_once_with_the_decay_of_the_plan(
    name: str, optimizer: str
) -> None:
    model = build(name)
    plan = decay_audit.plan(model, weight_decay=0.05)
    namespace: dict[str, object] = {}
    exec(emit.write_code(plan, optimizer=optimizer, lr=0.1), namespace)
    built_optimizer = namespace["make_optimizer"](model)  # type: ignore[operator]
    assert type(built_optimizer) is getattr(torch.optim, optimizer)
    names = {id(p): name for name, p in model.named_parameters()}
    decays = [(names[id(p)], group["weight_decay"]) for group in built_optimizer.param_groups for p in group["params"]]
    planned = [
        (decision.classified.parameter.raw_name, decision.weight_decay)
        for decision in plan.decisions
        if decision.grouped
    ]
    assert sorted(decays) == sorted(planned)


@pytest.mark.parametrize("name", MODELS)
def test_muon_takes_the_matrices_and_adamw_the_rest(name: str, tmp_path: Path) -> None:
    (tmp_path / "muon.yaml").write_text(MUON)
    model = build(name)
    plan = decay_audit.plan(model, tmp_path / "muon.yaml")
    code = emit.write_code(plan, optimizer="AdamW", lr=1e-3)
    emit.verify(code, plan, model)


SCRIPT = """
import sys

sys.modules["decay_audit"] = None  # importing it raises
{code}

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1))
made = make_optimizer(model)
optimizers = [*made.values()] if isinstance(made, dict) else [made]
losses = []
for _ in range(5):
    loss = (model(torch.ones(3, 4)) - 1).square().mean()
    model.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0]
print([(len(group["params"]), group["weight_decay"]) for optimizer in optimizers for group in optimizer.param_groups])
"""


@pytest.mark.parametrize(
    ("style", "rules", "optimizer", "groups"),
    [
        ("rule", "no-norm-no-bias", "AdamW", "[(2, 0.05), (4, 0.0)]"),
        ("names", "no-norm-no-bias", "SGD", "[(2, 0.05), (4, 0.0)]"),
        ("rule", "moonlight-muon", "AdamW", "[(2, 0.05), (4, 0.05)]"),
    ],
)
def test_five_steps_of_the_pasted_code_run_without_decay_audit(
    style: CodeStyle, rules: str, optimizer: str, groups: str, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1))
    code = emit.write_code(decay_audit.plan(model, rules, 0.05), style=style, optimizer=optimizer, lr=0.01)
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(code=f"import torch\nfrom torch import nn\n{code}"))
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, f"{groups}\n"), result.stderr
