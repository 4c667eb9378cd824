"""DA307: patterns of a list that match nothing, and norms or biases that names split."""

from pathlib import Path

import pytest
from torch import nn

import decay_audit
from decay_audit import rulesets
from decay_audit.checks import check
from decay_audit.checks.codes import Finding


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.q_norm, self.fc = nn.LayerNorm(4), nn.RMSNorm(4), nn.Linear(4, 4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.ln_f, self.head = nn.LayerNorm(4), nn.Linear(4, 2)


def found_for(rules: str, folder: Path, model: nn.Module | None = None) -> list[Finding]:
    file = folder / "ours.yaml"
    file.write_text(f"schema: 1\nname: ours\nweight_decay: 0.1\ndefault: {{decay: true}}\nrules:\n{rules}\n")
    inventory = decay_audit.read(model or Net())
    plan = decay_audit.plan(inventory, rulesets.load(str(file)))
    return [finding for finding in check(inventory, plan) if finding.code == "DA307"]


@pytest.mark.parametrize(
    ("when", "dead"),
    [
        ('{name: ["*norm*", "ln_f.*", "*.layernorm.*"]}', "*.layernorm.*"),
        ("{name_regex: ['norm', '^ln_f', 'bn\\d']}", "bn\\d"),
        ('{owner_name: ["blocks.*norm*", "ln_f", "stem"]}', "stem"),
        ('{any: [{name: ["*norm*", "nowhere"]}, {name: "ln_f.*"}]}', "nowhere"),
    ],
)
def test_a_pattern_that_matches_nothing_is_said_and_without_it_nothing_is(tmp_path: Path, when: str, dead: str) -> None:
    (finding,) = found_for(f"- {{name: norms, when: {when}, decay: false}}", tmp_path)
    assert f"rule norms: `{dead}` matches no parameter of this model" in finding.message
    assert finding.where.endswith("ours.yaml:6")
    quoted = f'"{dead}"' if f'"{dead}"' in when else f"'{dead}'"
    mended = when.replace(f", {quoted}", "")
    assert found_for(f"- {{name: norms, when: {mended}, decay: false}}", tmp_path) == []


def test_norms_that_names_split_are_said_and_a_rule_on_roles_is_quiet(tmp_path: Path) -> None:
    (finding,) = found_for('- {name: norms, when: {name: "*norm*"}, decay: false}', tmp_path)
    assert finding.parameters == ("ln_f.weight", "ln_f.bias")
    assert finding.message == (
        "rule norms spares 9 norm parameters by name alone; 2 norm parameters of the same class decay, because no "
        "name fits"
    )
    fix = finding.fix.partition("when: ")[2]
    assert found_for(f"- {{name: norms, when: {fix}, decay: false}}", tmp_path) == []
    both = '- {name: norms, when: {name: ["*norm*", "ln_f.*"]}, decay: false}'
    assert found_for(both, tmp_path) == []


@pytest.mark.parametrize(
    "rules",
    [
        '- {name: head, when: {name: "head.bias"}, decay: false}',
        '- {name: q norms, when: {name: "*.q_norm.*"}, decay: true}\n'
        "- {name: norms, when: {role: [norm_weight, norm_bias]}, decay: false}",
        "- {name: q norms, when: {name: '*.q_norm.*'}, decay: false}\n"
        "- {name: norms, when: {role: [norm_weight, norm_bias]}, decay: true}",
        '- {name: norms, when: {name: "*norm*"}, decay: false, lenient: true}',
        '- {name: some, when: {name: "blocks.0.*"}, decay: false}',
        '- {name: weights, when: {name: "*.fc.weight"}, decay: false}',
        "- {name: all, when: {role: [norm_weight, norm_bias, layer_scale, bias]}, decay: false}",
    ],
    ids=["one place", "on purpose", "both by rules", "lenient", "a part of the model", "weights", "roles"],
)
def test_what_is_written_on_purpose_is_quiet(tmp_path: Path, rules: str) -> None:
    assert found_for(rules, tmp_path) == []


@pytest.mark.parametrize("preset", rulesets.presets())
def test_no_preset_has_the_finding_on_models_of_other_names(preset: str) -> None:
    inventory = decay_audit.read(Net())
    try:
        plan = decay_audit.plan(inventory, preset)
    except decay_audit.DecayAuditError:
        return
    assert not [finding for finding in check(inventory, plan) if finding.code == "DA307"]
