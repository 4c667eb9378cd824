"""The checks on a plan alone: rules that do nothing, parameters nobody knows, a policy turned upside down."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit import RuleSet
from decay_audit.checks import check
from decay_audit.checks.codes import Finding
from decay_audit.errors import DecayAuditError
from decay_audit.rulesets import load
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.ruleset import Amount, Rule
from decay_audit.sources import trace

SPARE, DECAY = Amount(times=0.0), Amount()


def rule(title: str, amount: Amount = SPARE, /, **when: Any) -> Rule:
    return Rule(name=title, when=When(**when), amount=amount, file="ours.yaml", line=3)


def ruleset(*rules: Rule, default: Amount | None = DECAY, **given: Any) -> RuleSet:
    return RuleSet(name="ours", weight_decay=0.1, rules=rules, default=default, file="ours.yaml", **given)


def found(model: nn.Module, rules: RuleSet) -> Sequence[Finding]:
    inventory = decay_audit.read(model)
    return check(inventory, decay_audit.plan(inventory, rules))


def codes(model: nn.Module, rules: RuleSet) -> list[str]:
    return [finding.code for finding in found(model, rules)]


def block() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def test_a_sound_ruleset_on_a_plain_model_finds_nothing() -> None:
    assert codes(block(), ruleset(rule("biases", role="bias"), rule("norms", role=("norm_weight", "norm_bias")))) == []


def test_a_name_that_no_parameter_has_is_da301_with_the_rules_place() -> None:
    (finding,) = found(block(), ruleset(rule("norms", name="*LayerNorm.weight")))
    assert (finding.code, finding.where) == ("DA301", "ours.yaml:3")


def test_a_role_that_the_model_lacks_is_no_mistake_of_a_preset_but_may_be_one_of_yours() -> None:
    rules = (rule("tokens", role="token"),)
    assert codes(block(), ruleset(*rules)) == ["DA301"]
    assert codes(block(), ruleset(*rules, preset=True)) == []


def test_a_rule_whose_parameters_an_earlier_one_takes_is_da302_and_names_it() -> None:
    (finding,) = found(block(), ruleset(rule("flat", ndim="<=1"), rule("biases", role="bias")))
    assert finding.code == "DA302"
    assert "flat already decides every parameter that it matches (2)" in finding.message


def test_a_rule_that_only_a_frozen_parameter_matches_is_neither_idle_nor_shadowed() -> None:
    model = block()
    model[0].bias.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    assert codes(model, ruleset(rule("biases", role="bias"))) == []


@pytest.mark.parametrize(("pattern", "names"), [("0.*", "canonical"), ("_orig_mod.0.*", "raw")])
def test_a_rule_that_a_wrappers_prefix_decides_is_da303(pattern: str, names: Any) -> None:
    compiled: Any = torch.compile(block())
    assert "DA303" in codes(compiled, ruleset(rule("first", name=pattern), names=names))
    assert "DA303" not in codes(compiled, ruleset(rule("first", name_regex=r"\b0\."), names=names))


def test_what_nothing_explains_is_da304() -> None:
    model = block()
    model.register_parameter("zzz", nn.Parameter(torch.zeros(3, 5, 7)))
    (finding,) = found(model, ruleset(rule("biases", role="bias")))
    assert (finding.code, finding.parameters) == ("DA304", ("zzz",))
    assert finding.fix == "run with --trace to classify by use, or add a rule by name"


def test_the_fix_of_da304_does_not_ask_for_a_trace_that_was_made() -> None:
    model = block()
    model.register_parameter("zzz", nn.Parameter(torch.zeros(3, 5, 7)))
    traced = trace.with_uses(decay_audit.read(model), trace.trace(model, trace.make_example_inputs(model, "2x4")))
    (finding,) = check(traced, decay_audit.plan(traced, ruleset(rule("biases", role="bias"))))
    assert finding.fix == "add a rule by name"


class DeclaringToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 2))

    def no_weight_decay(self) -> set[str]:
        return {"cls_token"}


def test_decaying_what_the_model_declares_is_da305_and_sparing_it_is_not() -> None:
    biases = rule("biases", role="bias")
    (finding,) = found(DeclaringToken(), ruleset(biases))
    assert (finding.code, finding.parameters) == ("DA305", ("cls_token",))
    assert codes(DeclaringToken(), ruleset(biases, rule("declared", declared_no_decay="glob"))) == []


class Marked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.zeros(2, 2))
        self.scale._no_weight_decay = True  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [
    DeclaringToken,
    Marked,
    lambda: nn.Sequential(*(DeclaringToken() for _ in range(5)), Marked()),
], ids=["root", "attribute", "submodules"])  # fmt: skip
@pytest.mark.parametrize("preset", [False, True], ids=["file", "preset"])
def test_the_rules_that_da305_advises_spare_what_was_declared(
    make: Callable[[], nn.Module], preset: bool, tmp_path: Path
) -> None:
    model = make()
    ours = tmp_path / "ours.yaml"
    body = "schema: 1\nname: ours\nweight_decay: 0.1\ndefault: {decay: true}\nrules:\n"
    ours.write_text(body + "- {name: biases, when: {role: bias}, decay: false}\n")
    before = load("torch-default" if preset else str(ours))
    (finding,) = [
        finding
        for finding in check(decay_audit.read(model), decay_audit.plan(model, before))
        if finding.code == "DA305"
    ]
    advised = re.findall(r"`(\{name.*?\})`", finding.fix)
    assert "more" not in finding.message
    if preset:
        ours.write_text("schema: 1\nname: ours\nextends: torch-default\nrules:\n")
    else:
        ours.write_text(body)
    with ours.open("a") as file:
        file.writelines(f"- {rule}\n" for rule in advised)
    after = decay_audit.plan(model, str(ours), 0.1)
    assert "DA305" not in [finding.code for finding in check(decay_audit.read(model), after)]


def test_a_ruleset_that_spares_everything_is_da401_unless_it_asks_for_nothing() -> None:
    assert "DA401" in codes(block(), ruleset(default=SPARE))
    inventory = decay_audit.read(block())
    nothing = decay_audit.plan(inventory, ruleset(default=SPARE), weight_decay=0.0)
    assert [finding.code for finding in check(inventory, nothing)] == []


def test_a_model_without_a_matrix_is_rightly_spared_whole() -> None:
    temperature = nn.ParameterList([nn.Parameter(torch.zeros(1))])
    assert "DA401" not in codes(temperature, ruleset(default=SPARE))
    assert "DA401" not in codes(nn.LayerNorm(4), ruleset(default=SPARE))
    assert "DA401" in codes(nn.ParameterList([nn.Parameter(torch.zeros(3, 3))]), ruleset(default=SPARE))
    assert "DA401" in codes(nn.Embedding(3, 3), ruleset(default=SPARE))


def test_a_ruleset_that_decays_biases_and_no_matrix_is_da402() -> None:
    upside_down = ruleset(rule("matrices", ndim=2), rule("vectors", DECAY, ndim=1), default=None)
    assert "DA402" in codes(block(), upside_down)


def test_errors_come_before_warnings() -> None:
    upside_down = ruleset(rule("none", name="nothing"), rule("matrices", ndim=2))
    severities = [finding.severity for finding in found(block(), upside_down)]
    assert severities == ["error", "warning"]


def test_an_unmatched_parameter_is_refused_where_the_default_is_error() -> None:
    with pytest.raises(DecayAuditError, match=r"no rule of ours matches"):
        decay_audit.plan(block(), ruleset(rule("biases", role="bias"), default=None))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ruleset(rule("biases", role="bias")), ["DA304"]),
        (ruleset(rule("biases", any_=(When(ndim=9), When(not_=When(role="bias"))))), ["DA304"]),
        (ruleset(rule("vectors", ndim=1)), []),
    ],
)
def test_a_parameter_without_a_role_matters_only_to_rules_on_roles(rules: RuleSet, expected: list[str]) -> None:
    class Unknown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))
            self.zzz = nn.Parameter(torch.zeros(3, 4))

    assert [code for code in codes(Unknown(), rules) if code == "DA304"] == expected


def test_one_parameter_is_and_two_are() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.RMSNorm(4))
    groups: list[dict[str, Any]] = [
        {"params": model[1].parameters(), "weight_decay": 0.1},
        {"params": model[0].parameters()},
    ]
    optimizer = torch.optim.SGD(groups)
    messages = [finding.message for finding in decay_audit.audit(model, optimizer).findings]
    assert any("1 norm parameter is decayed" in message for message in messages), messages
