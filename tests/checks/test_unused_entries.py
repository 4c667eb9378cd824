"""The checks on the learning rates and optimizers of a plan: entries that match nothing."""

from pathlib import Path

import pytest
import torch
from timm.models import create_model
from torch import nn

import decay_audit
from decay_audit import rulesets
from decay_audit.checks import check
from decay_audit.checks.codes import Finding
from decay_audit.rulesets.ruleset import RuleSet

OURS = """\
schema: 1
name: ours
weight_decay: 0.1
default: {decay: true}
lr_scale:
  - {when: {role: bias}, times: 2}
  - {when: {name: "*.nowhere"}, times: 2}
layer_decay:
  rate: 0.5
  layers:
    - {when: {name_regex: '^(\\d+)'}, layer: '\\1'}
    - {when: {name_regex: '^blocks\\.(\\d+)'}, layer: '\\1'}
optimizer:
  - {when: {name: "body.*"}, use: muon}
  - {when: {role: bias}, use: sgd}
  - {use: adamw}
"""


def idle(model: nn.Module, rules: RuleSet) -> list[Finding]:
    inventory = decay_audit.read(model)
    return [finding for finding in check(inventory, decay_audit.plan(inventory, rules)) if finding.code == "DA301"]


def written(text: str, folder: Path) -> RuleSet:
    (folder / "ours.yaml").write_text(text, encoding="utf-8")
    return rulesets.load(str(folder / "ours.yaml"))


def test_an_entry_of_yours_that_matches_nothing_is_said_with_its_line(tmp_path: Path) -> None:
    found = idle(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), written(OURS, tmp_path))
    assert [finding.message for finding in found] == [
        "lr_scale entry (ours.yaml:7) matches no parameter of this model",
        "layer_decay entry (ours.yaml:12) matches no parameter of this model",
        "optimizer entry (ours.yaml:14) matches no parameter of this model",
    ]
    assert [finding.where for finding in found] == ["ours.yaml:7", "ours.yaml:12", "ours.yaml:14"]


def test_layers_that_are_meant_for_another_model_are_said(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    meant = OURS.replace("rate: 0.5\n", 'rate: 0.5\n  when: {name: "blocks.*"}\n')
    assert "layer_decay entry (ours.yaml:9) matches no parameter of this model" in [
        finding.message for finding in idle(model, written(meant, tmp_path))
    ]


KELLER = "optimizer entry (keller-muon.yaml:12) matches no parameter of this model, so muon gets no parameter"
MOONLIGHT = (
    "optimizer entry (moonlight-muon.yaml:12) excludes embed_tokens and lm_head from muon, and no parameter of this "
    "model has such a name: the preset was written for another model"
)


class Decoder(nn.Module):
    """A decoder whose embedding, hidden layers and head have the names that are given."""

    def __init__(self, embedding: str, body: str, head: str) -> None:
        super().__init__()
        self.add_module(embedding, nn.Embedding(9, 4))
        self.add_module(body, nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)))
        self.add_module(head, nn.Linear(4, 9, bias=False))


@pytest.mark.parametrize(("preset", "names", "expected"), [
    ("keller-muon", ("wte", "h", "lm_head"), [KELLER]),
    ("keller-muon", ("embed", "body", "head"), []),
    ("moonlight-muon", ("wte", "h", "output"), [MOONLIGHT]),
    ("moonlight-muon", ("embed_tokens", "layers", "lm_head"), []),
    ("muon", ("wte", "h", "output"), []),
])  # fmt: skip
def test_an_optimizer_preset_for_another_models_names_is_said_also_where_you_extend_it(
    tmp_path: Path, preset: str, names: tuple[str, str, str], expected: list[str]
) -> None:
    model = Decoder(*names)
    extending = written(f"schema: 1\nname: ours\nextends: {preset}\n", tmp_path)
    for rules in (rulesets.load(preset), extending):
        assert [finding.message for finding in idle(model, rules)] == expected


def test_muon_says_that_a_model_has_no_matrix_for_it_and_muon_stacked_has_none_to_say() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    (finding,) = idle(model, rulesets.load("muon"))
    assert finding.message.endswith("matches no parameter of this model, so muon gets no parameter")
    assert idle(model, rulesets.load("muon-stacked")) == []


def test_an_entry_that_asks_what_a_checkpoint_cannot_know_is_not_idle(tmp_path: Path) -> None:
    from decay_audit import api

    asking = OURS.replace('name: "body.*"', "owner: torch.nn.Conv2d")
    torch.save(nn.Sequential(nn.Linear(2, 2)).state_dict(), tmp_path / "last.pt")
    (tmp_path / "ours.yaml").write_text(asking, encoding="utf-8")
    loaded = api.load(api.Request(target=str(tmp_path / "last.pt")))
    found = check(loaded.inventory, decay_audit.plan(loaded.inventory, rulesets.load(str(tmp_path / "ours.yaml"))))
    assert not any(finding.code == "DA301" and "optimizer entry" in finding.message for finding in found)


@pytest.mark.parametrize("preset", ["mae", "beit", "dinov2", "dinov3", "timm-layer-decay"])
def test_a_presets_layers_that_fit_no_name_are_said_once(preset: str) -> None:
    import torchvision

    said = f"layer_decay of {preset} matches no layer of this model"
    other = torchvision.models.vit_b_16(image_size=32)
    assert [finding.message for finding in idle(other, rulesets.load(preset)) if "layer_decay" in finding.message] == [
        said
    ]
    fitting = create_model("vit_tiny_patch16_224", depth=2, num_classes=2)
    assert not any("layer_decay" in finding.message for finding in idle(fitting, rulesets.load(preset)))


def test_a_presets_rule_that_matches_nothing_is_no_mistake_where_its_others_match() -> None:
    """`hf-trainer` spares LayerNorm modules and names; a model of RMSNorms has the names alone."""
    model = nn.ModuleDict({"proj": nn.Linear(4, 4, bias=False), "norm": nn.RMSNorm(4)})
    inventory = decay_audit.read(model)
    plan = decay_audit.plan(inventory, "hf-trainer")
    assert [finding.message for finding in check(inventory, plan) if finding.code == "DA301"] == []


def test_a_preset_of_which_no_rule_matches_is_reported_once_a_rule() -> None:
    inventory = decay_audit.read(nn.ModuleDict({"proj": nn.Linear(4, 4, bias=False), "ln": nn.RMSNorm(4)}))
    (finding,) = [
        finding for finding in check(inventory, decay_audit.plan(inventory, "bert")) if finding.code == "DA301"
    ]
    assert "rule listed-names matches no parameter of this model" in finding.message
