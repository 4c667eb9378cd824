"""Modules inside modules, deeper than Python recurses: named, decided and shown like others."""

import pytest

from decay_audit import load_rules
from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.reports import Format, render
from decay_audit.reports.report import Report
from decay_audit.roles import classify
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.matching import compile_when
from decay_audit.rulesets.plan import decide

DEEP = 10_000
TYPES = ("torch.nn.Linear", "torch.nn.Module")


@pytest.fixture(scope="module")
def parameters() -> list[Parameter]:
    owner = Owner(types=("models.Outside", "torch.nn.Module"))
    for depth in range(DEEP):
        name = f"{owner.name}.a" if owner.name else "a"
        types = TYPES if depth + 1 == DEEP else ("models.Box", "torch.nn.Module")
        owner = Owner(name=name, types=types, parent=owner, tensors={"weight": (3, 3), "bias": (3,)})
    return [
        Parameter(name=f"{owner.name}.{leaf}", raw_name=leaf, shape=shape, dtype="float32", owner=owner)
        for leaf, shape in owner.tensors.items()
    ]


def test_what_lies_deep_is_named_and_decided_as_it_is(parameters: list[Parameter]) -> None:
    subjects = classify(parameters)
    assert [classified.role for classified in subjects] == ["linear_weight", "bias"]
    assert [decision.decays for decision in decide(subjects, load_rules("no-norm-no-bias")).decisions] == [True, False]


def test_what_lies_deep_is_found_within_what_is_around_it_but_the_root(parameters: list[Parameter]) -> None:
    subjects = classify(parameters)
    for within, expected in (("models.Box", True), ("torch.nn.Linear", True), ("models.Outside", False)):
        test = compile_when(When(within=within), "canonical")
        assert [test(classified) for classified in subjects] == [expected] * 2


@pytest.mark.parametrize("form", list(Format))
def test_what_lies_deep_is_said_in_every_format(form: Format, parameters: list[Parameter]) -> None:
    decided = decide(classify(parameters), load_rules("no-norm-no-bias"))
    report = Report(inventory=Inventory(target="deep", parameters=tuple(parameters)), plan=decided)
    of_findings = (Format.SARIF, Format.GITHUB, Format.JUNIT, Format.GITLAB)  # and this report has none
    assert form in of_findings or "a.a.a" in render(report, form)
