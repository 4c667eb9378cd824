"""Lenient rules: an optimizer that does otherwise is a note; strict rules stay as strict as they were."""

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit.checks.codes import Finding
from decay_audit.rulesets import from_text

HOUSE = """
schema: 1
name: house
weight_decay: 0.1
rules:
  - {name: biases, when: {role: bias}, decay: false}
  - {name: norms, when: {role: [norm_weight, norm_bias]}, decay: false}
  - {name: tables, when: {role: embedding}, decay: true, lenient: true}
  - {name: slopes, when: {role: activation}, decay: false, lenient: true}
default: {decay: true}
"""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.fc = nn.Linear(8, 8)
        self.act = nn.PReLU()
        self.norm = nn.LayerNorm(8)

    def no_weight_decay(self) -> set[str]:
        return {"act.weight"}


def findings(model: nn.Module, coefficients: dict[str, float], rules: str = "no-norm-no-bias") -> list[Finding]:
    """Those of an SGD that decays each parameter by the coefficient whose key its name starts with."""
    groups = [
        {
            "params": [parameter],
            "weight_decay": next(value for key, value in coefficients.items() if name.startswith(key)),
        }
        for name, parameter in model.named_parameters()
    ]
    report = decay_audit.audit(model, torch.optim.SGD(groups, lr=0.1), rules=rules, weight_decay=0.1)
    return [finding for finding in report.findings if finding.code != "DA207"]


def seen(found: list[Finding]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(finding.code, finding.severity, finding.parameters) for finding in found]


SOUND = {"table": 0.1, "fc.weight": 0.1, "": 0.0}


def test_what_the_ruleset_decides_is_quiet() -> None:
    assert seen(findings(Net(), SOUND)) == []


def test_a_lenient_difference_is_a_note_without_a_fix_and_a_strict_one_beside_it_an_error() -> None:
    broken = findings(Net(), {"act": 0.1, "norm": 0.1, **SOUND})
    assert seen(broken) == [
        ("DA101", "error", ("norm.weight", "norm.bias")),
        ("DA101", "note", ("act.weight",)),
        ("DA305", "note", ("act.weight",)),
    ]
    assert [bool(finding.fix) for finding in broken] == [True, False, False]
    assert seen(findings(Net(), {"act": 0.1, **SOUND})) == seen(broken)[1:]


@pytest.mark.parametrize(("table", "code"), [(0.0, "DA102"), (0.03, "DA103")])
def test_embeddings_may_be_spared_or_decay_by_a_coefficient_of_their_own(table: float, code: str) -> None:
    assert seen(findings(Net(), {**SOUND, "table": table})) == [(code, "note", ("table.weight",))]


@pytest.mark.parametrize(("weight", "code"), [(0.0, "DA102"), (0.03, "DA103")])
def test_weights_may_not(weight: float, code: str) -> None:
    assert seen(findings(Net(), {**SOUND, "fc.weight": weight})) == [(code, "error", ("fc.weight",))]


def test_a_bias_or_norm_that_the_model_declares_stays_strict() -> None:
    class Declares(Net):
        def no_weight_decay(self) -> set[str]:
            return {"fc.bias", "norm.weight"}

    broken = [finding for finding in findings(Declares(), {"fc.bias": 0.1, **SOUND}) if finding.code == "DA101"]
    assert seen(broken) == [("DA101", "error", ("fc.bias",))]


def test_a_weight_that_the_model_declares_is_spared_leniently() -> None:
    class Declares(Net):
        def no_weight_decay(self) -> set[str]:
            return {"fc.weight"}

    assert seen(findings(Declares(), {"table": 0.1, "": 0.0})) == []
    decayed = findings(Declares(), SOUND)
    assert {finding.severity for finding in decayed} == {"note"}
    assert {finding.parameters for finding in decayed} == {("fc.weight",)}


def test_nothing_decays_and_inverted_are_said_of_strict_parameters() -> None:
    assert seen(findings(Net(), {"": 0.0})) == [("DA401", "error", ("fc.weight",))]
    inverted = {"fc.weight": 0.0, "table": 0.1, "act": 0.0, "": 0.1}
    assert seen(findings(Net(), inverted)) == [("DA402", "error", ("fc.bias", "norm.weight", "norm.bias"))]
    assert seen(findings(nn.Sequential(nn.Embedding(4, 2)), {"": 0.0})) == [("DA102", "note", ("0.weight",))]


def test_a_slope_may_be_spared_or_decay() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU())
    assert seen(findings(model, {"0.weight": 0.1, "": 0.0})) == []
    assert seen(findings(model, {"0.bias": 0.0, "": 0.1})) == [("DA101", "note", ("1.weight",))]


def test_the_base_is_read_where_the_ruleset_is_strict() -> None:
    model = nn.Sequential(nn.Embedding(4, 2), nn.Embedding(4, 2), nn.Linear(2, 2, bias=False))
    groups = [
        {"params": [model[0].weight, model[1].weight], "weight_decay": 0.03},
        {"params": [model[2].weight], "weight_decay": 0.1},
    ]
    report = decay_audit.audit(model, torch.optim.AdamW(groups))
    assert report.plan.ruleset.weight_decay == 0.1
    assert seen(list(report.findings)) == [("DA103", "note", ("0.weight", "1.weight"))]


def test_leniency_does_not_change_what_is_emitted() -> None:
    strict, lenient = from_text(HOUSE.replace(", lenient: true", ""), "strict"), from_text(HOUSE, "lenient")
    inventory = decay_audit.read(Net())
    strict_groups, lenient_groups = (
        [(group.weight_decay, [decision.name for decision in group.decisions]) for group in plan.groups()]
        for plan in (decay_audit.plan(inventory, strict), decay_audit.plan(inventory, lenient))
    )
    assert strict_groups == lenient_groups
