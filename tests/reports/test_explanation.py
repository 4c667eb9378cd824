"""The explanation of one parameter: which name finds it, and how long it gets."""

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit import rulesets
from decay_audit.errors import DecayAuditError
from decay_audit.reports import Options, columns, folding, render_explanation
from decay_audit.reports.report import Report
from decay_audit.rulesets import explanation
from decay_audit.sources.trace import ExampleInputs, trace, with_uses
from tests.menagerie import EMPTY, MENAGERIE
from tests.reports import samples


@pytest.mark.parametrize("name", sorted(set(MENAGERIE) - EMPTY))
@pytest.mark.filterwarnings("ignore")
def test_a_pattern_as_the_table_prints_it_leads_to_its_first_parameter(name: str) -> None:
    inventory = decay_audit.read(MENAGERIE[name]())
    plan = decay_audit.plan(inventory)
    for row in folding.fold(columns.entries(Report(inventory=inventory, plan=plan))):
        decision = explanation.explain(plan, row.pattern).decision
        assert decision.name == inventory.parameters[row.first].name


def test_a_name_that_has_braces_of_its_own_is_found_as_it_is() -> None:
    names = ("a.0.w", "a.{0-2}.w", "a.1.w")
    plan = samples.report([samples.classified(name, (3, 3), "linear_weight", "linear") for name in names]).plan
    assert explanation.explain(plan, "a.{0-2}.w").decision.name == "a.{0-2}.w"
    assert explanation.explain(plan, "a.{1,2}.w").decision.name == "a.1.w"


@pytest.mark.parametrize("pattern", ["a.{3-9}.w", "a.{", "}", "{}", "{9-0}", "a.{0-2.w"])
def test_a_pattern_that_fits_nothing_gets_the_nearest_names(pattern: str) -> None:
    plan = samples.report([samples.classified(f"a.{i}.w", (3, 3), "linear_weight", "linear") for i in range(3)]).plan
    with pytest.raises(DecayAuditError, match="no parameter") as raised:
        explanation.explain(plan, pattern)
    assert "did you mean a." in raised.value.hint


def test_the_name_of_a_list_is_said_to_be_one_with_a_parameter_that_it_stands_for() -> None:
    names = ("head.0.w", *(f"a.{i}.w" for i in range(3)))
    plan = samples.report([samples.classified(name, (3, 3), "linear_weight", "linear") for name in names]).plan
    with pytest.raises(DecayAuditError, match=r"^\{B\} is a list of names") as raised:
        explanation.explain(plan, "a.{B}.w")
    assert raised.value.hint == "name one parameter of the list, such as a.0.w"


def test_of_the_other_presets_only_a_few_are_named_unless_more_is_asked_for() -> None:
    plan = decay_audit.plan(MENAGERIE["tied"]())
    presets = [rulesets.load(name) for name in rulesets.presets()]
    explained = explanation.explain(plan, plan.decisions[0].name, presets)
    short, whole = render_explanation(explained), render_explanation(explained, Options(verbose=True))
    assert "more" in short
    assert max(map(len, short.splitlines())) < 160
    assert all(name in whole for name in rulesets.presets())


def test_a_parameter_that_the_traced_pass_does_not_use_is_marked() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(4, 4)})
    model.forward = model["used"].forward
    inventory = with_uses(decay_audit.read(model), trace(model, ExampleInputs(args=(torch.zeros(2, 4),))))
    plan = decay_audit.plan(inventory)
    texts = {name: render_explanation(explanation.explain(plan, name)) for name in ("used.weight", "idle.weight")}
    assert "does not use it" in texts["idle.weight"]
    assert "does not use it" not in texts["used.weight"]


@pytest.mark.parametrize(
    ("pattern", "first"),
    [("a.{3,7..15/4}.w", "a.3.w"), ("a.{7..15/4}.w", "a.7.w"), ("a.{0-15 except 0,1}.w", "a.2.w")],
)
def test_a_series_and_a_range_with_exceptions_lead_to_their_first_parameter(pattern: str, first: str) -> None:
    plan = samples.report([samples.classified(f"a.{i}.w", (3, 3), "linear_weight", "linear") for i in range(16)]).plan
    assert explanation.explain(plan, pattern).decision.name == first


@pytest.mark.parametrize(
    ("weight_decay", "answer"),
    [(0.1, "the optimizer decays it with weight_decay 0.1"), (0.0, "the optimizer does the same")],
)
def test_an_explanation_starts_with_what_the_ruleset_and_the_optimizer_do(weight_decay: float, answer: str) -> None:
    model = nn.LayerNorm(4)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)
    report = decay_audit.audit(model, optimizer, weight_decay=0.1)
    first = render_explanation(explanation.explain(report.plan, "bias", (), report.observations)).splitlines()[0]
    assert first == f"bias is spared by no-norm-no-bias (rule `norms`); {answer}"
