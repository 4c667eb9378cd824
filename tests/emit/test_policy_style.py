"""`emit --style policy`: the ruleset itself as a function, which gives the groups of the plan on any model."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import nn

import decay_audit
from decay_audit.emit import verify, write_code
from decay_audit.errors import DecayAuditError

BASE = 0.5
REFUSED = {
    "beit": "learning rates by layer",
    "maskrcnn-benchmark": "scales learning rates",
    "moonlight-muon": "several optimizers",
    "no-norm-no-bias": "`role` is known only after an audit",
    "open-clip": "declares as keyword_suffixes, patterns and submodules",
}
PRESETS = tuple(
    name
    for line in (
        "basecls-vit bert convnext-v2 deepspeed-chat detectron2 dino fastai flash-attention gluon-no-wd gpt-neox",
        "hf-no-trainer hf-trainer-4.48 hf-trainer lightly megatron-qk-norm mmengine nanogpt nemo olmo-core simclr",
        "open-clip-3.3 pytorch-optimizer slowfast swin timm torch-default torchvision-swin torchvision",
        "ultralytics yolov5",
    )
    for name in line.split()
)


class Gain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, 4))
        self.bias_table = nn.Parameter(torch.ones(3, 4))


class Net(nn.Module):
    """Norms, norms inside of norms, tokens, tied and frozen parameters, and what the model declares."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.embed_tokens = nn.Embedding(5, 4)
        self.conv = nn.Conv2d(3, 4, 3, groups=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.group_norm = nn.GroupNorm(2, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.gain = Gain()
        self.LayerNorm = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))
        self.lm_head = nn.Linear(4, 5)
        self.lm_head.weight = self.embed_tokens.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        vars(self.frozen.bias)["_no_weight_decay"] = True
        self.logit_scale = nn.Parameter(torch.ones(()))

    def no_weight_decay(self) -> set[str]:
        return {"cls_token", "gain.*"}

    def no_weight_decay_keywords(self) -> set[str]:
        return {"bias_table"}


MODELS: dict[str, Callable[[], nn.Module]] = {
    "net": Net,
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    "plain": lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.PReLU(4), nn.Linear(4, 2)),
}


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return {name: make() for name, make in MODELS.items()}


@pytest.mark.parametrize("rules", PRESETS)
def test_a_policy_that_was_written_for_one_model_gives_the_plan_of_every_other(
    rules: str, models: dict[str, nn.Module]
) -> None:
    code = write_code(decay_audit.plan(models["plain"], rules, BASE), style="policy")
    for model in models.values():
        verify(code, decay_audit.plan(model, rules, BASE), model)


@pytest.mark.parametrize(("rules", "reason"), REFUSED.items())
def test_a_ruleset_that_needs_an_audit_is_refused_with_the_reason(
    rules: str, reason: str, models: dict[str, nn.Module]
) -> None:
    plan = decay_audit.plan(models["plain"] if rules != "beit" else models["transformer"], "timm", BASE)
    ruleset = decay_audit.load_rules(rules)
    with pytest.raises(DecayAuditError) as failure:
        write_code(replace(plan, ruleset=ruleset), style="policy")
    assert reason in failure.value.message
    assert "--style rule" in failure.value.hint


@pytest.mark.parametrize(
    ("shape", "test", "spared"),
    [
        ("[4]", "p.shape == (4,)", {"0.bias", "1.weight", "1.bias", "2.weight"}),
        ("[]", "p.shape == ()", set[str]()),
        ("[null, 4]", "p.ndim == 2 and p.shape[1] == 4", {"0.weight", "3.weight"}),
        ("[[2], [2, 4]]", "p.shape == (2,) or p.shape == (2, 4)", {"3.weight", "3.bias"}),
    ],
)
def test_a_condition_on_the_shape_is_written_as_a_test(
    shape: str, test: str, spared: set[str], models: dict[str, nn.Module], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "schema: 1\nname: ours\nweight_decay: 0.5\nrules:\n"
        f"  - {{name: spared, when: {{shape: {shape}}}, decay: false}}\n"
        "default: {decay: true}\n"
    )
    code = write_code(decay_audit.plan(models["plain"], str(rules), BASE), style="policy")
    assert f"if {test}:" in code
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    names = {p: name for name, p in models["plain"].named_parameters()}
    groups = namespace["param_groups"](models["plain"])
    assert {names[p] for group in groups if not group["weight_decay"] for p in group["params"]} == spared
    verify(code, decay_audit.plan(models["net"], str(rules), BASE), models["net"])


def test_a_condition_without_a_test_is_refused_as_that_and_not_as_unknown(
    models: dict[str, nn.Module], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "schema: 1\nname: ours\nweight_decay: 0.5\nrules:\n  - {name: halves, when: {dtype: float16}, decay: false}\n"
        "default: {decay: true}\n"
    )
    with pytest.raises(DecayAuditError, match="this style has no test for its condition `dtype`"):
        write_code(decay_audit.plan(models["plain"], str(rules), BASE), style="policy")


def test_a_base_of_zero_asks_for_a_coefficient(models: dict[str, nn.Module]) -> None:
    with pytest.raises(DecayAuditError, match="base coefficient of hf-trainer is 0"):
        write_code(decay_audit.plan(models["plain"], "hf-trainer"), style="policy")


def test_policies_pass_mypy_strict_and_read_as_a_person_would_write_them(
    models: dict[str, nn.Module], tmp_path: Path
) -> None:
    codes = {rules: write_code(decay_audit.plan(models["net"], rules, BASE), style="policy") for rules in PRESETS}
    assert """        if p.ndim <= 1:
            no_decay.append(p)  # vectors
        elif name.endswith(".bias"):
            no_decay.append(p)  # biases
        elif any(fnmatchcase(name, pattern) for pattern in declared):
            no_decay.append(p)  # model-declares
        else:
            decay.append(p)
""" in codes["timm"]
    pytest.importorskip("mypy")
    for rules, code in codes.items():
        (tmp_path / f"policy_{rules.replace('-', '_').replace('.', '_')}.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=skip", "--disable-error-code=misc"]
    result = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
