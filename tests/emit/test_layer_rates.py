"""Learning rates that fall from layer to layer, as emitted code: executed on the model, and on other depths."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import timm.optim
import torch
from torch import nn
from typer.testing import CliRunner

import decay_audit
from decay_audit.cli import app
from decay_audit.emit import verify, write_code
from decay_audit.rulesets.layer_decay import write_number
from tests.emit.plans import ruff_complaints

Matcher = Mapping[str, Any]
VIT: Matcher = {
    "stem": r"^cls_token|pos_embed|patch_embed",
    "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))],
}
NORM_ALONE: Matcher = {"stem": r"^cls_token|pos_embed|patch_embed", "blocks": r"^blocks\.(\d+)", "norm": r"^norm"}


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)


class Vit(nn.Module):
    """A vision transformer as timm writes it."""

    def __init__(self, depth: int = 2, matcher: Matcher = VIT) -> None:
        super().__init__()
        self.matcher = matcher
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.patch_embed = nn.Sequential(nn.Conv2d(3, 4, 2))
        self.blocks = nn.Sequential(*(Block(4) for _ in range(depth)))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed", "cls_token"}

    def group_matcher(self, *, coarse: bool = False) -> Matcher:
        assert not coarse
        return self.matcher


def function(code: str) -> Callable[..., list[dict[str, Any]]]:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    result: Callable[..., list[dict[str, Any]]] = namespace["param_groups"]
    return result


def rates(groups: list[dict[str, Any]], model: nn.Module) -> dict[str, tuple[float, float]]:
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize(
    ("rules", "matcher"),
    [("beit", VIT), ("mae", VIT), ("timm-layer-decay", VIT), ("timm-layer-decay", NORM_ALONE)],
)
@pytest.mark.parametrize(("depth", "other"), [(3, 5), (1, 4)])
def test_code_for_one_depth_gives_the_plan_of_another(rules: str, matcher: Matcher, depth: int, other: int) -> None:
    code = write_code(decay_audit.plan(Vit(depth, matcher), rules), lr=1e-3)
    assert "def layer_id(" in code
    for model in (Vit(depth, matcher), Vit(other, matcher)):
        verify(code, decay_audit.plan(model, rules), model)


def test_the_function_that_numbers_layers_reads_as_a_person_would_write_it() -> None:
    code = write_code(decay_audit.plan(Vit(), "timm-layer-decay"), lr=1e-3)
    assert (
        r'''
def layer_id(name: str, last: int) -> int:
    """Number the layer of a parameter by its name, from 0 at the input."""
    if match := re.search(r"^blocks\.(\d+)\.", name):
        return int(match[1]) + 1
    if re.search(r"^(cls_token|pos_embed|patch_embed)\b", name):
        return 0
    if re.search(r"^norm\b", name):
        return last - 1
    return last
'''
        in code
    )


def test_rates_and_coefficients_are_arguments_and_groups_stand_by_layer() -> None:
    model = Vit(2)
    groups = function(write_code(decay_audit.plan(model, "beit")))(model, 8.0, weight_decay=0.3, layer_decay=0.5)
    answers = rates(groups, model)
    assert len(answers) == len(list(model.parameters())) == sum(len(group["params"]) for group in groups)
    assert answers["cls_token"] == (1.0, 0.0)  # 8 * 0.5 ** 3
    assert answers["patch_embed.0.weight"] == (1.0, 0.3)
    assert answers["blocks.0.qkv.weight"] == (2.0, 0.3)
    assert answers["blocks.1.norm.bias"] == (4.0, 0.0)
    assert answers["head.weight"] == (8.0, 0.3)
    assert [group["lr"] for group in groups] == sorted(group["lr"] for group in groups)


def test_compiled_and_frozen_parameters_are_treated_as_in_the_plan() -> None:
    model = Vit(3)
    model.blocks[0].requires_grad_(requires_grad=False)
    code = write_code(decay_audit.plan(model, "beit"))
    verify(code, decay_audit.plan(model, "beit"), model)
    make = function(code)
    compiled = torch.compile(model, backend="eager")
    assert rates(make(compiled, 1.0), model) == rates(make(model, 1.0), model)
    assert not any(name.startswith("blocks.0.") for name in rates(make(model, 1.0), model))


def test_pairs_of_names_and_parameters_are_in_the_groups() -> None:
    model = Vit()
    groups = function(write_code(decay_audit.plan(model, "beit"), named=True))(model, 1.0)
    assert {name: p for group in groups for name, p in group["params"]} == dict(model.named_parameters())


RULESET = r"""
schema: 1
name: ours
weight_decay: 0.1
default: {decay: true}
layer_decay:
  rate: 0.5
  layers:
    - {when: {name_regex: [patch, 'token"']}, layer: 1}
    - {when: {name_regex: '^blocks\.(\d+)\.norm'}, layer: '3+\1//2'}
    - {when: {name_regex: 'blocks'}, layer: 2}
  default: 7
examples: [{name: a.weight, shape: [2, 2], decay: true}]
"""


def test_arithmetic_and_a_fixed_last_layer_are_written(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(RULESET)
    plan = decay_audit.plan(Vit(6), str(tmp_path / "ours.yaml"))
    code = write_code(plan, lr=0.1)
    assert "        return 3 + int(match[1]) // 2\n" in code
    for depth in (1, 6, 12):  # in the last, a block is above layer 7
        model = Vit(depth)
        verify(code, decay_audit.plan(model, str(tmp_path / "ours.yaml")), model)
    assert write_number("last", "{}") == "last"


def test_the_last_layer_of_the_ruleset_counts_in_a_model_that_has_no_parameter_in_it(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(RULESET)
    model = nn.ModuleDict({"blocks": Vit(2).blocks})
    plan = decay_audit.plan(model, str(tmp_path / "ours.yaml"))
    verify(write_code(plan, lr=0.1), plan, model)


BY_ROLE = "lr_scale:\n  - {when: {role: norm_weight}, times: 2.0}\n"


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("rules", "like", "reason"),
    [
        ("beit", "", ""),
        ("by_role.yaml", "", "ours cannot be a function of layers: `lr_scale` asks for `role`"),
        ("by_role.yaml", "sgd", "ours cannot be a function of layers: `lr_scale` asks for `role`"),
        ("by_owner.yaml", "", "a layer rule asks for `name_regex` and `owner`"),
    ],
)
def test_layers_that_are_no_function_of_names_are_listed_with_the_reason(
    rules: str, like: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("by_role.yaml").write_text(RULESET.replace("layer_decay:", BY_ROLE + "layer_decay:", 1))
    Path("by_owner.yaml").write_text(RULESET.replace("name_regex: 'blocks'", "name_regex: 'blocks', owner: '*Linear'"))
    options = ["--like", f"tests.emit.test_layer_rates:{like}"] if like else []
    result = CliRunner().invoke(app, ["emit", "tests.emit.test_layer_rates:Vit(4)", "--rules", rules, *options])
    assert result.exit_code == 0, result.stderr
    assert reason in result.stderr
    assert ("for this model only" in result.stderr) is bool(reason)
    assert ("def layer_id(" in result.stdout) is not bool(reason)
    assert ('"blocks.0.norm.weight"' in result.stdout) is bool(reason)


@pytest.mark.parametrize(
    ("name", "other_name"),
    [
        ("test_resnet", "resnet26"),
        ("convnext_atto", "convnext_tiny"),
        ("swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224"),
    ],
)
def test_models_without_one_list_of_blocks_are_numbered_by_timms_function(name: str, other_name: str) -> None:
    with torch.device("meta"):
        model, other = timm.create_model(name), timm.create_model(other_name)
    code = write_code(decay_audit.plan(decay_audit.read(model, no_trace=True), "timm-layer-decay", 0.1))
    assert len(code.splitlines()) < 50
    timm_optim: Any = timm.optim
    sizes: list[Any] = [model, other]
    for other_size in sizes:
        spared = other_size.no_weight_decay() if hasattr(other_size, "no_weight_decay") else ()
        groups = timm_optim.param_groups_layer_decay(other_size, 0.1, spared, layer_decay=0.75)
        expected = [group | {"lr": group["lr_scale"]} for group in groups]
        assert rates(function(code)(other_size, 1.0), other_size) == rates(expected, other_size)


def test_an_inner_wrapper_does_not_move_a_parameter_to_another_layer() -> None:
    model: Any = timm.create_model("test_resnet")
    make = function(write_code(decay_audit.plan(decay_audit.read(model, no_trace=True), "timm-layer-decay")))
    before = {id(p): group["lr"] for group in make(model, 1.0) for p in group["params"]}
    model.layer2[0] = torch.compile(model.layer2[0], backend="eager")
    wrapped = nn.DataParallel(model)
    assert {id(p): group["lr"] for group in make(wrapped, 1.0) for p in group["params"]} == before


@pytest.mark.parametrize("rules", ["dinov2", "dinov3"])
def test_a_ruleset_that_also_scales_rates_by_name_is_a_function(rules: str) -> None:
    code = write_code(decay_audit.plan(Vit(3), rules), lr=1e-3)
    assert '        scale = 0.2 if "patch_embed" in bare_name else 1.0\n' in code
    assert 'and "residual." not in name:' in code
    model = Vit(6)
    verify(code, decay_audit.plan(model, rules), model)
    groups = function(code)(model, 1.0, layer_decay=0.5)
    assert rates(groups, model)["patch_embed.0.weight"][0] == 0.2 * 0.5**7
    assert rates(groups, model)["head.weight"][0] == 1.0


@pytest.mark.parametrize("depth", [2, 4])
def test_the_groups_are_those_of_timm_on_both_depths(depth: int) -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=3)
    make = function(write_code(decay_audit.plan(model, "timm-layer-decay", 0.1)))
    other: Any = timm.create_model("vit_tiny_patch16_224", depth=depth)
    timm_optim: Any = timm.optim
    groups = timm_optim.param_groups_layer_decay(other, 0.1, other.no_weight_decay(), layer_decay=0.75)
    expected = [group | {"lr": group["lr_scale"]} for group in groups]
    assert rates(make(other, 1.0), other) == rates(expected, other)


def test_a_file_that_has_a_function_of_that_name_is_refused(tmp_path: Path) -> None:
    text = "import torch\n\n\ndef layer_id(): ...\n\n\ndef make(model):\n"
    call = "    return torch.optim.AdamW(model.parameters(), lr=0.1)\n"
    (tmp_path / "train.py").write_text(text + call)
    (tmp_path / "other.py").write_text(text.replace("layer_id", "number") + call)
    command = ["emit", "tests.emit.test_layer_rates:Vit(2)", "--rules", "beit", "--diff"]
    refused, shown = (CliRunner().invoke(app, [*command, str(tmp_path / name)]) for name in ("train.py", "other.py"))
    assert (refused.exit_code, shown.exit_code) == (2, 0), shown.stderr
    assert "the name `layer_id` is in use" in refused.stderr
    assert "+def layer_id(name: str, last: int) -> int:" in shown.stdout


def test_the_code_passes_mypy_strict_and_ruff(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(RULESET.replace("patch,", f"patch, {'x' * 90},"))
    for rules in ("beit", "dinov2", "timm-layer-decay", str(tmp_path / "ours.yaml")):
        code = write_code(decay_audit.plan(Vit(4), rules), optimizer="AdamW", lr=1e-3)
        (tmp_path / f"layers_{Path(rules).stem.replace('-', '_')}.py").write_text(code)
    assert ruff_complaints(tmp_path) == ""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=skip", "--disable-error-code=misc"]
    result = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stdout
