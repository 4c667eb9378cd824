"""Configurations of other codebases become rulesets that decide as the codebase does."""

import fnmatch
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from torch import nn

from decay_audit import roles, rulesets
from decay_audit.errors import RulesError
from decay_audit.rulesets.importing import SOURCES, Imported, import_rules
from decay_audit.rulesets.importing.read_config import read as read_values
from decay_audit.rulesets.plan import decide
from decay_audit.sources.module import read
from tests.parity.models import MODELS
from tests.parity.reimplementing import homes

MMENGINE = """\
    _base_ = ["swin.py"]
    batch = 16 * 8
    paramwise_cfg = dict(
        norm_decay_mult=0.0,
        flat_decay_mult=0.5,
        bias_lr_mult=2.0,
        custom_keys={
            ".cls_token": dict(decay_mult=0.0),
            "blocks": dict(lr_mult=0.1),
            ".blocks.0": dict(decay_mult=3, lr_mult=0.5),
            ".pos_embed": dict(decay_mult=0.0),
        },
    )
    optim_wrapper = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=5e-4 * batch / 512, weight_decay=0.05, **dict(eps=1e-8)),
        paramwise_cfg=paramwise_cfg,
        clip_grad=dict(max_norm=5.0),
    )
"""
TORCHTITAN = """\
    def optimizer():
        return OptimizersContainer.Config(
            param_groups=[
                Group(pattern=r"norm|bias$", optimizer_name="AdamW", optimizer_kwargs=dict(lr=1e-3, weight_decay=0.0)),
                Group(pattern=r"embed|lm_head", optimizer_name="AdamW", optimizer_kwargs={"lr": 2e-3}),
                Group(pattern=".*", optimizer_name="Muon", optimizer_kwargs={"lr": 1e-3, "weight_decay": 0.1}),
            ]
        )
"""
LLM_FOUNDRY = """\
    variables: {lr: 1.0e-3}
    optimizer:
      name: decoupled_lionw
      lr: 1e-3
      weight_decay: 1e-2
      disable_grad: lm_head
      param_groups:
        - {param_str_match: norm, lr: 1e-4, weight_decay: 0.0}
        - {param_str_match: 'bias$|norm', weight_decay: 0.5}
"""
OLMO_CORE = """\
    config = AdamWConfig(
        lr=4e-4,
        weight_decay=0.1,
        group_overrides=[OptimGroupOverride(params=["embed.*", "*.bias"], opts=dict(weight_decay=0.0))],
    )
"""
BASECLS = """\
    from basecls.layers import NORM_TYPES

    class Cfg(BaseConfig):
        def __init__(self):
            self.solver = dict(weight_decay=[(0, "pos_embed"), (1e-5, "bias"), (0, NORM_TYPES), (0.2, M.Linear), 0.05])
"""
SAM2 = """\
    scratch: {base_lr: 5.0e-6, vision_lr: 2.5e-6}
    trainer:
      optim:
        options:
          lr:
            - scheduler: {start_value: '${scratch.base_lr}'}
            - scheduler: {start_value: '${scratch.vision_lr}'}
              param_names: ['blocks.*']
          weight_decay:
            - scheduler: {value: 0.1}
            - scheduler: {value: 0.0}
              param_names: ['*bias*']
              module_cls_names: ['torch.nn.LayerNorm']
"""


def imported(text: str, source: str, folder: Path, suffix: str = ".py") -> Imported:
    (folder / f"config{suffix}").write_text(dedent(text), encoding="utf-8")
    return import_rules(folder / f"config{suffix}", source)


def decided(found: Imported, model: nn.Module) -> dict[str, tuple[Any, ...]]:
    ruleset = rulesets.from_text(found.text, "imported.yaml")
    plan = decide(roles.classify(read(model).parameters), ruleset)
    return {
        decision.name: (decision.weight_decay, pytest.approx(decision.lr_scale), decision.use)
        for decision in plan.decisions
        if decision.grouped
    }


def expected(
    model: nn.Module, rule: Callable[[str, nn.Module], tuple[Any, ...]], *, frozen: bool
) -> dict[str, tuple[Any, ...]]:
    home = homes(model)
    return {name: rule(name, home[name][0]) for name, each in model.named_parameters() if frozen or each.requires_grad}


@pytest.fixture(params=["odd-tied", "hinting", "vit_tiny_patch16_224", "language"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return MODELS[request.param]()


def test_mmengines_keys_and_multipliers(model: nn.Module, tmp_path: Path) -> None:
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.instancenorm import _InstanceNorm

    keys = {".blocks.0": (3.0, 0.5), ".pos_embed": (0.0, 1.0), ".cls_token": (0.0, 1.0), "blocks": (1.0, 0.1)}

    def rule(name: str, owner: nn.Module) -> tuple[Any, ...]:
        for key in sorted(sorted(keys), key=len, reverse=True):
            if key in (name if "." in name else f".{name}"):
                return 0.05 * keys[key][0], keys[key][1], None
        norm = isinstance(owner, (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm))
        leaf = name.rpartition(".")[2]
        dims = model.get_parameter(name).dim()
        return 0.0 if norm else 0.025 if dims == 1 else 0.05, 2.0 if leaf == "bias" and not norm else 1.0, None

    found = imported(MMENGINE, "mmengine", tmp_path)
    assert decided(found, model) == expected(model, rule, frozen=False)
    assert any("longest first" in note for note in found.notes)
    assert any("_base_" in note for note in found.notes)


def test_torchtitans_groups_with_their_optimizers(model: nn.Module, tmp_path: Path) -> None:
    def rule(name: str, _: nn.Module) -> tuple[Any, ...]:
        if re.search("norm|bias$", name):
            return 0.0, 1.0, "adamw"
        return (0.01, 2.0, "adamw") if re.search("embed|lm_head", name) else (0.1, 1.0, "muon")

    assert decided(imported(TORCHTITAN, "torchtitan", tmp_path), model) == expected(model, rule, frozen=False)


def test_llm_foundrys_groups(model: nn.Module, tmp_path: Path) -> None:
    def rule(name: str, _: nn.Module) -> tuple[Any, ...]:
        if "norm" in name:
            return 0.0, 0.1, None
        return (0.5, 1.0, None) if name.endswith("bias") else (0.01, 1.0, None)

    found = imported(LLM_FOUNDRY, "llm-foundry", tmp_path, ".yaml")
    assert decided(found, model) == expected(model, rule, frozen=True)
    assert any(note.startswith("disable_grad") for note in found.notes)


def test_olmo_cores_overrides(model: nn.Module, tmp_path: Path) -> None:
    def rule(name: str, _: nn.Module) -> tuple[Any, ...]:
        spared = any(fnmatch.fnmatchcase(name, glob) for glob in ("embed.*", "*.bias"))
        return 0.0 if spared else 0.1, 1.0, None

    assert decided(imported(OLMO_CORE, "olmo-core", tmp_path), model) == expected(model, rule, frozen=False)


def test_baseclss_policies(model: nn.Module, tmp_path: Path) -> None:
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.instancenorm import _InstanceNorm

    def rule(name: str, owner: nn.Module) -> tuple[Any, ...]:
        if "pos_embed" in name:
            return 0.0, 1.0, None
        if "bias" in name:
            return 1e-5, 1.0, None
        if isinstance(owner, (_BatchNorm, nn.GroupNorm, _InstanceNorm, nn.LayerNorm)):
            return 0.0, 1.0, None
        return 0.2 if isinstance(owner, nn.Linear) else 0.05, 1.0, None

    assert decided(imported(BASECLS, "basecls", tmp_path), model) == expected(model, rule, frozen=True)


def test_sam_2s_options(model: nn.Module, tmp_path: Path) -> None:
    def rule(name: str, owner: nn.Module) -> tuple[Any, ...]:
        spared = "bias" in name or type(owner) is nn.LayerNorm
        return 0.0 if spared else 0.1, 0.5 if name.startswith("blocks.") else 1.0, None

    found = imported(SAM2, "sam2", tmp_path, ".yaml")
    assert decided(found, model) == expected(model, rule, frozen=True)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("text", ["", "a: 1\n", "param_groups: 3\n", "- 1\n", "optimizer: {weight_decay: x}\n"])
def test_what_is_no_such_configuration_is_said_with_an_example(source: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(RulesError) as caught:
        imported(text, source, tmp_path, ".yaml")
    assert "has no" in caught.value.message
    assert "expected something like" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("x = (\n", ".py", r"config\.py:1: .*was never closed"),
        ("{", ".json", r"config\.json:1: Expecting property name"),
        ("a = ", ".toml", r"config\.toml: Invalid value"),
        ("a: [", ".yaml", r"config\.yaml: not YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(text: str, suffix: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=message):
        imported(text, "mmengine", tmp_path, suffix)


def test_a_value_that_only_running_would_tell_is_refused(tmp_path: Path) -> None:
    text = "x = dict(optimizer=dict(weight_decay=get()), paramwise_cfg=dict(norm_decay_mult=0.))\n"
    with pytest.raises(RulesError, match="not a number that can be read without running the file"):
        imported(text, "mmengine", tmp_path)


def test_python_is_read_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        f"open({str(tmp_path / 'made')!r}, 'w')\nx = dict(a=__import__('os').getpid())\n"
    )
    values = read_values(tmp_path / "config.py")
    assert not (tmp_path / "made").exists()
    assert values[-1]["x"]["a"]["__called__"] == "__import__('os').getpid"


def test_an_unknown_codebase_is_said_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RulesError) as caught:
        import_rules(tmp_path / "x.py", "keras")
    assert "mmengine" in caught.value.hint
