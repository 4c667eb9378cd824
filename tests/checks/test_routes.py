"""The ruleset's optimizers against live ones: by class, by name, and by the keys of their groups."""

import pytest
from msgspec.structs import replace

from decay_audit.checks.codes import Finding
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.rulesets.ruleset import Amount, Route, RuleSet
from tests.checks.optimizer_findings import check_optimizers

NAMES = ("body.weight", "embed.weight")


def planned(*words: str) -> Plan:
    """A ruleset that gives the body to the first of two optimizers, and all else to the second."""
    first, second = words
    routes = (Route(when=When(name="body.*"), use=first), Route(when=None, use=second))
    rules = RuleSet(name="house", weight_decay=0.1, default=Amount(), routes=routes)
    return decide([subject(name) for name in NAMES], rules)


def subject(name: str) -> Classified:
    owner = Owner(name=name.rpartition(".")[0], types=("torch.nn.Linear",))
    parameter = Parameter(name=name, raw_name=name, shape=(4, 4), dtype="float32", owner=owner)
    return Classified(parameter=parameter, role="linear_weight", layer="linear", confidence="certain", evidence=())


def group(*names: str, **settings: object) -> ParamGroup:
    hyperparameters = {"weight_decay": 0.1, "lr": 1e-3, **settings}
    return ParamGroup(
        parameters=names, weight_decay=0.1, lr=1e-3, hyperparameters=hyperparameters, weight_decay_is_default=False
    )


def live(kind: str, *groups: ParamGroup, name: str = "optimizer") -> Optimizer:
    return Optimizer(name=name, type=kind, groups=groups, semantics="decoupled")


def routed(decided: Plan, *optimizers: Optimizer) -> list[Finding]:
    return [finding for finding in check_optimizers(decided, optimizers, target="model.py") if finding.code == "DA104"]


def test_a_parameter_in_the_other_optimizer_is_found_in_both_directions() -> None:
    decided = planned("muon", "adamw")
    right = (live("Muon", group("body.weight"), name="a"), live("AdamW", group("embed.weight"), name="b"))
    assert routed(decided, *right) == []
    wrong = (live("Muon", group(*NAMES), name="a"), live("AdamW", group(), name="b"))
    (finding,) = routed(decided, *wrong)
    assert (finding.severity, finding.message) == ("error", "1 weight is in Muon; house gives it to adamw")
    assert finding.parameters == ("embed.weight",)
    assert finding.found == "group 0 of Muon"
    swapped = (live("Muon", group("embed.weight"), name="a"), live("AdamW", group("body.weight"), name="b"))
    assert [found.expected for found in routed(decided, *swapped)] == ["muon", "adamw"]


def test_one_optimizer_for_everything_is_one_finding_that_names_the_missing_one() -> None:
    (finding,) = routed(planned("muon", "adamw"), live("AdamW", group(*NAMES)))
    assert finding.message == "1 weight is in AdamW; house gives it to muon; no optimizer here is muon"
    assert finding.severity == "error"
    assert finding.fix == "add the optimizer muon, and give it these parameters"


def test_a_wrapper_and_a_long_class_name_are_recognized_by_the_word_in_them() -> None:
    decided = planned("muon", "adamw")
    optimizers = (
        live("SingleDeviceMuon", group("body.weight"), name="a"),
        live("Lookahead(FusedAdam)", group("embed.weight"), name="b"),
    )
    assert routed(decided, *optimizers) == []


def test_the_flag_of_a_group_selects_one_of_two_algorithms() -> None:
    decided = planned("muon", "adamw")
    kind = "SingleDeviceMuonWithAuxAdam"
    right = live(kind, group("body.weight", use_muon=True), group("embed.weight", use_muon=False))
    assert routed(decided, right) == []
    (finding,) = routed(decided, live(kind, group(*NAMES, use_muon=True)))
    assert (finding.parameters, finding.expected) == (("embed.weight",), "adamw")


def test_a_group_that_names_its_algorithm_is_taken_at_its_word() -> None:
    decided = planned("muon", "adamw")
    for key in ("use", "algorithm", "kind"):
        right = live("Mixed", group("body.weight", **{key: "muon"}), group("embed.weight", **{key: "adamw"}))
        assert routed(decided, right) == []
        (finding,) = routed(decided, live("Mixed", group(*NAMES, **{key: "adamw"})))
        assert finding.parameters == ("body.weight",)


def test_an_optimizer_answers_to_the_name_that_it_was_given() -> None:
    decided = planned("matrices", "rest")
    named = (live("Muon", group("body.weight"), name="matrices"), live("AdamW", group("embed.weight"), name="rest"))
    assert routed(decided, *named) == []
    swapped = (live("Muon", group("embed.weight"), name="matrices"), live("AdamW", group("body.weight"), name="rest"))
    assert len(routed(decided, *swapped)) == 2


def test_where_no_name_is_one_of_the_rulesets_it_is_said_once_and_is_no_error() -> None:
    (finding,) = routed(
        planned("matrices", "rest"), live("Muon", group("body.weight")), live("SGD", group("embed.weight"))
    )
    assert finding.severity == "warning"
    assert "was not checked" in finding.message


def test_a_class_of_ones_own_may_be_the_optimizer_that_no_other_is() -> None:
    decided = planned("muon", "adamw")
    own = replace(live("Spectral", group("body.weight"), name="a"), class_is_known=False)
    assert routed(decided, own, live("AdamW", group("embed.weight"), name="b")) == []


@pytest.mark.parametrize(("kind", "differs"), [("SGD", True), ("Adan", True), ("AdamW", False), ("FusedAdam", False)])
def test_a_known_class_is_not_another_algorithm_under_another_name(kind: str, *, differs: bool) -> None:
    optimizers = (live("Muon", group("body.weight"), name="a"), live(kind, group("embed.weight"), name="b"))
    messages = [finding.message for finding in routed(planned("muon", "adamw"), *optimizers)]
    assert messages == ([f"1 weight is in {kind}; house gives it to adamw; no optimizer here is adamw"] * differs)
    labels = [finding.message for finding in routed(planned("muon", "rest"), *optimizers)]
    assert labels == []  # `rest` may be any class


def test_where_no_known_class_is_one_of_the_rulesets_each_parameter_is_in_another() -> None:
    found = routed(planned("muon", "adamw"), live("SGD", group(*NAMES)))
    assert {finding.severity for finding in found} == {"error"}
    assert {name for finding in found for name in finding.parameters} == {*NAMES}
