"""From a ruleset to a plan: the first match decides, channels are independent, and every parameter is decided once."""

import pytest
from hypothesis import given, strategies as st

from decay_audit.errors import PlanError
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.rulesets.ruleset import Amount, LayerDecay, LayerRule, Route, Rule, RuleSet, Scale
from tests.rulesets.handwritten import subject, unowned

NONE, ALL = Amount(times=0.0), Amount()


def ruleset(*rules: Rule, default: Amount | None = ALL, **more: object) -> RuleSet:
    return RuleSet(name="test", weight_decay=0.1, rules=rules, default=default, **more)  # type: ignore[arg-type]


def rule(name: str, amount: Amount = NONE, **when: object) -> Rule:
    return Rule(name=name, when=When(**when), amount=amount)  # type: ignore[arg-type]


def test_the_first_rule_that_matches_decides() -> None:
    rules = ruleset(rule("first", Amount(times=0.5), ndim=1), rule("second", ndim=1))
    (decision,) = decide([subject()], rules).decisions
    assert (decision.rule, decision.weight_decay) == ("first", 0.05)


def test_an_absolute_coefficient_ignores_the_base() -> None:
    rules = ruleset(rule("own", Amount(weight_decay=0.3), ndim=1))
    (decision,) = decide([subject()], rules, weight_decay=7.0).decisions
    assert decision.weight_decay == 0.3


def test_the_base_coefficient_can_be_replaced() -> None:
    assert decide([subject()], ruleset(), weight_decay=0.5).decisions[0].weight_decay == 0.5


def test_frozen_parameters_are_in_no_group_unless_they_are_included() -> None:
    frozen = subject(trainable=False)
    assert decide([frozen], ruleset()).groups() == ()
    assert decide([frozen], ruleset(frozen="include")).decisions[0].weight_decay == 0.1


def test_a_default_of_error_names_the_parameter() -> None:
    with pytest.raises(PlanError, match=r"no rule of test matches block\.norm\.weight"):
        decide([subject()], ruleset(default=None))


def test_a_rule_that_asks_what_nobody_knows_is_not_applied_and_is_reported() -> None:
    norms = rule("norms", owner="torch.nn.LayerNorm")
    made = decide([unowned()], ruleset(norms))
    assert (made.decisions[0].rule, made.decisions[0].entries_without_facts) == ("default", (norms,))
    assert made.entries_without_facts() == ((norms, ("block.norm.weight",)),)


def test_each_channel_keeps_the_entries_that_could_not_answer() -> None:
    norms = rule("norms", owner="torch.nn.LayerNorm")
    scale = Scale(when=When(owner="torch.nn.LayerNorm"), times=2.0)
    layer = LayerRule(when=When(within="torch.nn.LayerNorm"), layer=0)
    route = Route(when=When(attribute="_muon"), use="muon")
    rules = ruleset(norms, lr_scale=(scale,), layer_decay=LayerDecay(rate=0.5, layers=(layer,)), routes=(route,))
    (decision,) = decide([unowned()], rules).decisions
    assert decision.entries_without_facts == (norms, layer, scale, route)
    (decision,) = decide([subject()], rules).decisions
    assert decision.entries_without_facts == ()


def test_a_rule_without_an_answer_is_passed_over_and_a_later_one_decides() -> None:
    norms = rule("norms", owner="torch.nn.LayerNorm")
    rules = ruleset(norms, rule("matrices", Amount(times=3.0), ndim=2), rule("vectors", Amount(times=2.0), ndim=1))
    (decision,) = decide([unowned()], rules).decisions
    assert (decision.rule, decision.weight_decay, decision.entries_without_facts) == ("vectors", 0.2, (norms,))


def test_a_rule_after_the_one_that_matched_is_not_asked() -> None:
    rules = ruleset(rule("first", ndim=1), rule("norms", owner="torch.nn.LayerNorm"))
    assert decide([unowned()], rules).decisions[0].entries_without_facts == ()


def test_learning_rate_factors_multiply_and_the_optimizer_is_chosen_apart() -> None:
    rules = ruleset(
        rule("vectors", ndim=1),
        lr_scale=(Scale(when=When(ndim=1), times=2.0), Scale(when=When(name="block.*"), times=3.0)),
        layer_decay=LayerDecay(rate=0.5, layers=(LayerRule(when=When(name="block.*"), layer=0),), default=1),
        routes=(Route(when=When(ndim=">=2"), use="muon"), Route(when=None, use="adamw")),
    )
    first, second = decide([subject(), subject("head.weight", (8, 8))], rules).decisions
    assert (first.weight_decay, first.lr_scale, first.use) == (0.0, 3.0, "adamw")
    assert (second.weight_decay, second.lr_scale, second.use) == (0.1, 1.0, "muon")


def test_what_differs_in_any_channel_is_another_group() -> None:
    rules = ruleset(
        lr_scale=(Scale(when=When(name="a.*"), times=2.0),),
        routes=(Route(when=When(name="b.*"), use="muon"),),
    )
    made = decide([subject(name) for name in ("a.w", "b.w", "c.w", "d.w")], rules)
    assert [tuple(decision.name for decision in group.decisions) for group in made.groups()] == [
        ("a.w",),
        ("b.w",),
        ("c.w", "d.w"),
    ]


def test_decaying_groups_come_first_and_each_in_the_order_of_the_model() -> None:
    amounts = {"a": NONE, "b": Amount(times=0.5), "d": Amount(weight_decay=1.0)}
    rules = ruleset(*(Rule(name=name, when=When(name=name), amount=amount) for name, amount in amounts.items()))
    groups = decide([subject(name) for name in ("a", "c", "b", "d")], rules).groups()
    assert [[decision.name for decision in group.decisions] for group in groups] == [["c"], ["b"], ["d"], ["a"]]


def test_a_parameter_decided_twice_is_no_plan() -> None:
    weight, bias = decide([subject("a.weight"), subject("a.bias")], ruleset()).decisions
    with pytest.raises(ValueError, match=r"^decided more than once: a\.weight$"):
        Plan(ruleset=ruleset(), decisions=(weight, bias, weight))


@given(st.lists(st.sampled_from(["a.weight", "b.bias", "c.0.weight", "d", "e.norm.bias"]), unique=True))
def test_input_order_changes_nothing_but_order(names: list[str]) -> None:
    rules = ruleset(rule("biases", leaf="bias"), rule("layers", Amount(times=2.0), name_regex=r"\d"))

    def answers(order: list[str]) -> dict[str, tuple[float, str]]:
        made = decide([subject(name) for name in order], rules)
        assert sorted(decision.name for group in made.groups() for decision in group.decisions) == sorted(order)
        return {decision.name: (decision.weight_decay, decision.rule) for decision in made.decisions}

    assert answers(names) == answers(names[::-1])
