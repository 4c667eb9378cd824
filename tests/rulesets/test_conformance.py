"""What `rules import --check` says where the codebase itself cannot be asked, and what counts as a difference."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.reports import render_conformance as say
from decay_audit.rulesets.conformance import Conformance, Treatment, differences
from decay_audit.rulesets.plan import decide
from decay_audit.rulesets.ruleset import Amount, RuleSet
from tests.rulesets.handwritten import subject

MMENGINE = "x = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(norm_decay_mult=0.0))\n"
LLM_FOUNDRY = "optimizer: {weight_decay: 0.1, param_groups: [{param_str_match: norm, weight_decay: 0.0}]}\n"
RULES = RuleSet(name="ours", weight_decay=0.1, default=Amount())
DECIDED = decide([subject("a.weight"), subject("b.weight"), subject("c.weight", trainable=False)], RULES)


def checked(text: str, source: str, target: str, folder: Path, suffix: str = ".py") -> Any:
    (folder / f"config{suffix}").write_text(text, encoding="utf-8")
    arguments = ["rules", "import", str(folder / f"config{suffix}"), "--from", source, "--check", target]
    return CliRunner().invoke(app, arguments)


@pytest.mark.skipif(find_spec("mmengine") is not None, reason="mmengine is installed")
def test_a_codebase_that_is_not_installed_is_said_to_be_uncompared(tmp_path: Path) -> None:
    result = checked(MMENGINE, "mmengine", "tests.parity.models:Language", tmp_path)
    assert result.exit_code == 0
    assert "parameters by rule: norms 6, default 6" in result.stderr
    assert "not compared: mmengine is not installed" in result.stderr


def test_a_codebase_without_a_function_to_call_is_said_to_be_uncompared(tmp_path: Path) -> None:
    result = checked(LLM_FOUNDRY, "llm-foundry", "tests.parity.models:Language", tmp_path, ".yaml")
    assert "not compared: llm-foundry has no function that can be called here" in result.stderr


def test_a_checkpoint_cannot_be_shown_to_a_codebase(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "last.pt")
    result = checked(MMENGINE, "mmengine", str(tmp_path / "last.pt"), tmp_path)
    assert "not compared: last.pt is a checkpoint, and mmengine needs a live model" in result.stderr.replace("\n", " ")


def test_what_both_do_alike_is_no_difference() -> None:
    alike = {"a.weight": Treatment(weight_decay=0.1, lr_scale=1.0), "b.weight": Treatment()}
    assert differences(DECIDED, alike) == ()


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (Treatment(weight_decay=0.2), "0.2 in the codebase, 0.1 in the ruleset: b.weight"),
        (Treatment(lr_scale=0.5), "the optimizer's default, lr x0.5 in the codebase, 0.1 in the ruleset: b.weight"),
        (Treatment(weight_decay=0.1, use="muon"), "0.1, muon in the codebase, 0.1 in the ruleset: b.weight"),
    ],
)
def test_each_channel_is_compared(theirs: Treatment, said: str) -> None:
    found = differences(DECIDED, {"a.weight": Treatment(), "b.weight": theirs})
    text = say(Conformance(plan=DECIDED, target="x.py", codebase="mmengine 1.0", differences=found))
    assert text.splitlines()[1:] == ["the ruleset decides 1 of 3 parameters differently from mmengine 1.0", f"  {said}"]


def test_who_hands_over_what_the_other_does_not_differs() -> None:
    found = differences(DECIDED, {"a.weight": Treatment(), "c.weight": Treatment(weight_decay=0.1)})
    assert [(match.parameter, match.ours is None, match.theirs is None) for match in found] == [
        ("b.weight", False, True),
        ("c.weight", True, False),
    ]
    text = say(Conformance(plan=DECIDED, target="x.py", codebase="mmengine 1.0", differences=found))
    assert "in no group in the codebase, 0.1 in the ruleset: b.weight" in text
    assert "0.1 in the codebase, in no group in the ruleset: c.weight" in text
