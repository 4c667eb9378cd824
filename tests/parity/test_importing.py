"""Imported configurations, against the codebase's own function where it is installed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from decay_audit import rulesets
from decay_audit.cli import app
from decay_audit.rulesets.importing import import_rules
from decay_audit.rulesets.importing.mmengine_base import read_inheriting
from tests.parity.compare import classified, compare
from tests.parity.models import MODELS
from tests.parity.peers import Peer, missing, mmengine

CUSTOM = {
    ".cls_token": {"decay_mult": 0.0},
    ".pos_embed": {"decay_mult": 0.0},
    "norm": {"decay_mult": 0.5},
    "blocks": {"lr_mult": 0.1},
    "blocks.1": {"decay_mult": 2.0, "lr_mult": 0.25},
    "norm.": {"decay_mult": 0.75},
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "nothing": {"bypass_duplicate": True},
    "kinds": {"norm_decay_mult": 0.25, "bias_decay_mult": 0.0, "dwconv_decay_mult": 0.5, "flat_decay_mult": 0.75},
    "keys": {"custom_keys": CUSTOM},
    "both": {"custom_keys": CUSTOM, "norm_decay_mult": 0.0, "bias_lr_mult": 2.0, "dwconv_decay_mult": 0.0},
    "keys-beside-biases": {"custom_keys": CUSTOM, "bias_decay_mult": 0.125, "bias_lr_mult": 3.0},
}


SAID = {"both": {"stem.bias"}}
"""What the import says that it cannot tell: the bias of a convolution on one-channel images, as depthwise."""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_mmengine_does_what_its_imported_configuration_says(name: str, tmp_path: Path) -> None:
    config = CONFIGURATIONS[name]
    peer = Peer(mmengine(**config), "mmengine-lite", lr=True)
    if missing(peer):
        pytest.skip("mmengine-lite is not installed")
    text = f"optim_wrapper = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg={config!r})\n"
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(import_rules(tmp_path / "config.py", "mmengine").text, encoding="utf-8")
    rules = str(tmp_path / "rules.yaml")
    assert rulesets.validate(rules).weight_decay == 0.1
    for model in (MODELS[each]() for each in ("odd-tied", "hinting", "vit_tiny_patch16_224", "efficientnet_b0")):
        outcome = compare(rules, peer, model, classified(model))
        assert not outcome.crash
        assert {line.partition(":")[0] for line in outcome.differences} <= SAID.get(name, set())


TORCHTITAN = """\
from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig

def llama3_8b():
    return Trainer.Config(
        optimizer=OptimizersContainer.Config(
            param_groups=[
                ParamGroupConfig(
                    pattern=r"(norm|bias)", optimizer_name="AdamW", optimizer_kwargs={"lr": 3e-4, "weight_decay": 0.0}
                ),
                ParamGroupConfig(
                    pattern=r"\\.(qkv|proj|fc1|fc2)\\.weight$",
                    optimizer_name="DistMuon",
                    optimizer_kwargs={"lr": 2e-2, "weight_decay": 0.1},
                ),
                ParamGroupConfig(pattern=".*", optimizer_name="AdamW", optimizer_kwargs={"lr": 3e-4}),
            ],
        ),
        lr_scheduler=LRSchedulersContainer.Config(warmup_steps=200),
    )
"""


def checked(text: str, source: str, target: str, folder: Path) -> Any:
    (folder / "config.py").write_text(text, encoding="utf-8")
    arguments = ["rules", "import", str(folder / "config.py"), "--from", source, "--check", target]
    return CliRunner().invoke(app, arguments)


def test_a_check_asks_mmengine_itself_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    text = f"x = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg={CONFIGURATIONS['keys-beside-biases']!r})\n"
    result = checked(text, "mmengine", "tests.parity.models:Odd(tied=False)", tmp_path)
    assert result.exit_code == 0, result.output
    assert re.search(r"the ruleset decides \d+ parameters as mmengine \d[\d.]+ does", result.stderr)
    assert "mmengine - INFO" not in result.output


def test_a_difference_that_a_check_finds_is_told_with_both_sides_and_fails(tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    text = "x = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(dwconv_decay_mult=0.5))\n"
    result = checked(text, "mmengine", "tests.parity.models:Odd(tied=False)", tmp_path)
    assert result.exit_code == 1
    assert "the ruleset decides 1 of " in result.stderr
    assert "0.05 in the codebase, 0.1 in the ruleset: stem.bias" in result.stderr
    assert rulesets.from_text(result.stdout, "x.yaml").weight_decay == 0.1


def test_a_codebase_that_stops_on_the_model_is_quoted(tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    text = "x = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(norm_decay_mult=0.5))\n"
    result = checked(text, "mmengine", "tests.parity.models:Odd", tmp_path)
    assert "not compared: mmengine raised an error on this model: ValueError: some parameters" in result.stderr
    assert result.exit_code == 0


def test_a_check_asks_torchtitan_itself(tmp_path: Path) -> None:
    pytest.importorskip("torchtitan")
    target = "timm.models:create_model('vit_tiny_patch16_224', depth=2, num_classes=2)"
    result = checked(TORCHTITAN, "torchtitan", target, tmp_path)
    assert result.exit_code == 0, result.output
    assert re.search(r"the ruleset decides \d+ parameters as torchtitan \d[\d.]+ does", result.stderr)
    result = checked(TORCHTITAN, "torchtitan", "tests.parity.models:Language", tmp_path)
    assert "not compared: torchtitan raised an error on this model: ValueError: Optimizer param_groups" in result.stderr


def test_inherited_configurations_are_joined_as_mmengine_joins_them(tmp_path: Path) -> None:
    config = pytest.importorskip("mmengine").Config
    (tmp_path / "a.py").write_text(
        "x = dict(one=dict(a=1, b=2), two=dict(c=3), kept=(1, 2))\ny = 1\n", encoding="utf-8"
    )
    (tmp_path / "b.py").write_text("z = dict(d=[dict(e=1)])\n", encoding="utf-8")
    (tmp_path / "c.py").write_text(
        "_base_ = ['./a.py', './b.py']\nx = dict(one=dict(a=5), two=dict(_delete_=True, f=6))\nz = dict(d=4)\n",
        encoding="utf-8",
    )
    (tmp_path / "d.py").write_text("_base_ = './c.py'\nx = dict(one=dict(b=dict(_delete_=True, g=7)))\n")
    (ours,) = read_inheriting(tmp_path / "d.py")
    theirs = config.fromfile(tmp_path / "d.py").to_dict()
    assert {key: value for key, value in ours.items() if key != "_base_"} == json.loads(json.dumps(theirs))
