"""`diff` and `rules`: rulesets compared, matched with an optimizer, listed, shown, validated, imported."""

import json
from pathlib import Path

import jsonschema
import pytest
import torch
from typer.testing import CliRunner

from decay_audit import reports, rulesets
from decay_audit.cli import app

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "resnext29.py")
runner = CliRunner()

DIFF = """\
resnext29.py:resnext29_8x64d   34.43 M elements in 95 parameters   weight_decay 0.05

  31 norm weights, 28,736 elements
    timm        spared        vectors (timm.yaml:13)
    hf-trainer  0.05          default (hf-trainer.yaml:19)
    bn_1.weight, stage_{1-3}.{0-2}.{bn_reduce,bn,bn_expand}.weight, stage_{1-3}.0.shortcut.bn.weight

  timm and hf-trainer differ in 31 of 95 parameters, 0.1 % of the elements
"""


def test_diff_says_what_two_codebases_treat_differently_and_by_which_rules() -> None:
    result = runner.invoke(app, ["diff", EXAMPLE, "--rules", "timm", "--rules", "hf-trainer", "-w", "0.05"])
    assert (result.exit_code, result.stdout) == (0, DIFF)


def test_diff_of_more_than_two_has_a_matrix_that_is_symmetric() -> None:
    arguments = ["diff", EXAMPLE, "-r", "timm", "-r", "no-bias", "-r", "torch-default", "-f", "json"]
    document = json.loads(runner.invoke(app, arguments).stdout)
    assert [(gap["rulesets"], gap["parameters"]) for gap in document["gaps"]] == [
        (["timm", "no-bias"], 31),
        (["timm", "torch-default"], 63),
        (["no-bias", "torch-default"], 32),
    ]
    matrix = runner.invoke(app, arguments[:-2]).stdout.splitlines()[-3:]
    assert [line.split()[1:] for line in matrix] == [["-", "31", "63"], ["31", "-", "32"], ["63", "32", "-"]]


def test_rulesets_that_agree_are_said_to() -> None:
    result = runner.invoke(app, ["diff", EXAMPLE, "-r", "torch-default", "-r", "torchtitan"])
    assert "torch-default and torchtitan make the same decision on every parameter" in result.stdout


def test_diff_names_a_ruleset_that_has_no_answer_and_compares_the_others() -> None:
    result = runner.invoke(app, ["diff", EXAMPLE, "-r", "mingpt", "-r", "timm", "-r", "hf-trainer", "-w", "0.05"])
    excluded = "  left out: no rule of mingpt matches conv_1_3x3.weight, and its default is `error`\n"
    assert (result.exit_code, result.stdout) == (0, DIFF + excluded)
    assert runner.invoke(app, ["diff", EXAMPLE, "-r", "mingpt", "-r", "timm"]).exit_code == 2


@pytest.mark.parametrize("rules", [[], ["--rules", "timm"]])
def test_diff_needs_two_rulesets(rules: list[str]) -> None:
    result = runner.invoke(app, ["diff", EXAMPLE, *rules])
    assert result.exit_code == 2
    assert "--rules timm --rules hf-trainer" in result.stderr


def test_which_finds_the_presets_that_do_exactly_what_an_optimizer_does() -> None:
    result = runner.invoke(app, ["rules", "which", EXAMPLE, "--optimizer", f"{EXAMPLE}:make_optimizer"])
    assert result.stdout.startswith("these presets decide exactly as the optimizer does, with weight_decay 5e-4:")
    assert "timm" not in result.stdout
    exact, _, routed = result.stdout.partition("these decay the same, but also use several optimizers")
    assert "\n  torch-default" in exact
    assert "moonlight-muon" not in exact
    assert "moonlight-muon" in routed


def test_which_names_the_nearest_presets_and_what_differs() -> None:
    odd = (
        "torch.optim:SGD([dict(params=[p], weight_decay=.1 * (p.ndim > 1 or 'bn_1' in n)) for n, p in "
        "model.named_parameters()], lr=1)"
    )
    result = runner.invoke(app, ["rules", "which", EXAMPLE, "--optimizer", odd])
    assert "no preset decides exactly as the optimizer does; the nearest:" in result.stdout
    assert "2 of 95 parameters differ" in result.stdout
    assert "spared by the preset, 0.1 in the optimizer: bn_1.{weight,bias}" in result.stdout


def test_which_does_not_count_presets_that_ask_what_a_checkpoint_cannot_tell(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "last.pt")
    text = runner.invoke(app, ["rules", "which", str(tmp_path / "last.pt"), "--full"]).stdout
    exact, _, unknown = text.partition(
        "presets need classes, declarations or attributes, which a checkpoint does not have"
    )
    assert "torch-default" in exact
    assert "torchvision" not in exact
    assert "torchvision" in unknown


def test_which_without_an_optimizer_says_how_to_name_one() -> None:
    result = runner.invoke(app, ["rules", "which", EXAMPLE])
    assert result.exit_code == 2
    assert "--optimizer EXPRESSION" in result.stderr


def test_list_names_every_preset_and_show_prints_its_file() -> None:
    listed = runner.invoke(app, ["rules", "list"]).stdout
    assert all(name in listed for name in rulesets.presets())
    assert runner.invoke(app, ["rules", "show", "timm"]).stdout.strip() == rulesets.text("timm").strip()


def test_list_finds_presets_by_words_and_says_of_a_few_what_they_spare() -> None:
    found = runner.invoke(app, ["rules", "list", "Muon", "stacked"]).stdout
    assert found.splitlines()[1].startswith("muon-stacked  ")
    assert "spares " in found
    document = json.loads(runner.invoke(app, ["rules", "list", "timm", "-f", "json"]).stdout)
    jsonschema.validate(document, reports.schema())
    timm = next(each for each in document["rulesets"] if each["name"] == "timm")
    assert timm["weight_decay"] == rulesets.load("timm").weight_decay
    assert timm["source"] == rulesets.load("timm").source
    nothing = runner.invoke(app, ["rules", "list", "no-such-word"])
    assert nothing.exit_code == 2
    assert "no preset has no-such-word in its name, title or source" in nothing.stderr


def test_validate_reports_every_file_and_exits_2_if_one_is_wrong(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("schema: 1\nname: good\nweight_decay: 5e-4\ndefault: {decay: true}\n")
    bad.write_text("schema: 1\nname: bad\nweight_decay: -1\ndefault: {decay: maybe}\n")
    assert runner.invoke(app, ["rules", "validate", str(good)]).exit_code == 0
    result = runner.invoke(app, ["rules", "validate", str(bad), str(good)])
    assert result.exit_code == 2
    assert "bad.yaml:3" in result.stderr
    assert "bad.yaml:4" in result.stderr
    assert "good, 0 rules" in result.stderr


def test_import_writes_a_ruleset_that_loads(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(
        "optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),\n"
        "    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'.cls_token': dict(decay_mult=0.0)}))\n"
    )
    output = tmp_path / "ours.yaml"
    arguments = ["rules", "import", str(config), "--from", "mmengine", "--output", str(output), "--check", EXAMPLE]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0
    assert "norms 62" in result.stderr
    assert "default 33" in result.stderr
    assert rulesets.validate(output).weight_decay == 0.05
