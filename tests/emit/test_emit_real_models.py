"""The emitted code for real models and awkward ones, through reading, naming and deciding."""

import copy
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit import Plan, emit, load_rules
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import CodeStyle
from tests.emit import plans
from tests.menagerie import EMPTY, MENAGERIE

ROOT = Path(__file__).parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "rules").glob("*.yaml"))
ANSWERING = [preset for preset in PRESETS if load_rules(preset).default]  # the rest knows its own models only


MODEL_STYLES = sorted({*get_args(CodeStyle)} - {"policy"})
"""The styles that write any plan of one model; `policy` writes some rulesets as functions of any model."""
SCRIPTED = ("scripted", "traced")
"""Models whose modules are no instances of their classes any more."""


@pytest.mark.parametrize("style", MODEL_STYLES)
@pytest.mark.parametrize("name", sorted(set(MENAGERIE) - EMPTY))
def test_executed_code_equals_the_plan_for_every_awkward_model(name: str, style: CodeStyle) -> None:
    model = MENAGERIE[name]()
    _assert_code_equals_plan(model, decay_audit.plan(model, "no-norm-no-bias", 0.05), style, name not in SCRIPTED)


@pytest.mark.parametrize("style", MODEL_STYLES)
@pytest.mark.parametrize("preset", ANSWERING)
def test_executed_code_equals_the_plan_of_every_preset(preset: str, style: CodeStyle) -> None:
    model = MENAGERIE["declaring"]()
    plan = decay_audit.plan(model, preset, 0.05)
    code = emit.write_code(plan, style=style)
    emit.verify(code, plan, model)
    scaled = {"lr": 0.1} if any(group.lr_scale != 1.0 for group in plan.groups()) else {}
    groups = _run(code)["param_groups"](model, **scaled)
    assert {id(tensor) for group in groups for tensor in group["params"]} == set(map(id, model.parameters()))


def test_code_for_the_example_splits_it_as_arithmetic_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    model: nn.Module = importlib.import_module("resnext29").resnext29_8x64d()
    plan = decay_audit.plan(model)
    namespace = _run(emit.write_code(plan, target="resnext29.py", optimizer="SGD", lr=0.1, settings=["momentum=0.9"]))
    decayed, spared = namespace["make_optimizer"](model).param_groups
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(decayed["params"]) == len(convolutions) + 1 == 32
    assert {tensor.ndim for tensor in decayed["params"]} == {4, 2}
    assert {tensor.ndim for tensor in spared["params"]} == {1}
    assert len(spared["params"]) == 63
    assert (decayed["momentum"], decayed["lr"], spared["weight_decay"]) == (0.9, 0.1, 0.0)


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")], ids=["data_parallel", "compiled"]
)
@pytest.mark.parametrize("name", ["bare", "declaring", "small", "tied", "odd_names"])
def test_code_for_a_bare_model_and_for_a_wrapped_one_is_the_same(
    name: str, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    bare = MENAGERIE[name]()
    wrapped = wrap(copy.deepcopy(bare))
    code = emit.write_code(decay_audit.plan(bare))
    assert emit.write_code(decay_audit.plan(wrapped)) == code
    emit.verify(code, decay_audit.plan(wrapped), wrapped)


def test_real_models_are_written_as_ruff_formats_them_whatever_the_preset(tmp_path: Path) -> None:
    for preset in ANSWERING:
        for name in ("declaring", "tied", "odd_names", "frozen", "transformer"):
            plan = decay_audit.plan(MENAGERIE[name](), preset)
            (tmp_path / f"{name}_{preset.replace('-', '_').replace('.', '_')}.py").write_text(emit.write_code(plan))
            code = emit.write_code(plan, optimizer="SGD", lr=1e-3, settings=["momentum=0.9", "nesterov=True"])
            (tmp_path / f"{name}_{preset.replace('-', '_').replace('.', '_')}_sgd.py").write_text(code)
    assert plans.ruff_complaints(tmp_path) == ""


def _assert_code_equals_plan(model: nn.Module, plan: Plan, style: CodeStyle, known_classes: bool) -> None:
    if not plan.groups():
        with pytest.raises(DecayAuditError, match="frozen"):
            emit.write_code(plan)
        return
    code = emit.write_code(plan, style=style, optimizer="SGD", lr=0.1, known_classes=known_classes)
    emit.verify(code, plan, model)
    groups = _run(code)["param_groups"](model)
    grouped = [tensor for group in groups for tensor in group["params"]]
    assert len(grouped) == len({id(tensor) for tensor in grouped})
    assert {id(tensor) for tensor in grouped} == {id(tensor) for tensor in model.parameters() if tensor.requires_grad}


def _run(code: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace
