"""Learning rates of live groups against those of a ruleset; the expected ones are computed by hand."""

from decay_audit.checks.codes import Finding
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.rulesets.ruleset import Amount, LayerDecay, LayerRule, RuleSet, Scale
from tests.checks.optimizer_findings import check_optimizers
from tests.checks.test_routes import subject

NAMES = ("blocks.0.weight", "blocks.1.weight", "head.weight")


def planned(*, rate: float = 0.5, scales: tuple[Scale, ...] = ()) -> Plan:
    """The learning rate halves from the head (1) to blocks.1 (0.5) and blocks.0 (0.25)."""
    layers = (LayerRule(when=When(name_regex=r"^blocks\.(\d+)"), layer=r"\1"),)
    decay = LayerDecay(rate=rate, layers=layers, default="last")
    rules = RuleSet(name="house", weight_decay=0.1, default=Amount(), layer_decay=decay, lr_scale=scales)
    return decide([subject(name) for name in NAMES], rules)


def live(*rates: float, name: str = "optimizer", names: tuple[str, ...] = NAMES, **settings: object) -> Optimizer:
    groups = tuple(
        ParamGroup(
            parameters=(parameter,),
            weight_decay=0.1,
            lr=rate,
            hyperparameters={"weight_decay": 0.1, "lr": rate, **settings},
            weight_decay_is_default=False,
        )
        for parameter, rate in zip(names, rates, strict=True)
    )
    return Optimizer(name=name, type="AdamW", groups=groups, semantics="decoupled")


def differing(decided: Plan, *optimizers: Optimizer) -> list[Finding]:
    return [finding for finding in check_optimizers(decided, optimizers, target="model.py") if finding.code == "DA105"]


def test_rates_that_fall_as_the_ruleset_says_are_quiet() -> None:
    assert differing(planned(), live(0.25e-3, 0.5e-3, 1e-3)) == []


def test_another_rate_is_found_with_both_numbers() -> None:
    (finding,) = differing(planned(), live(0.25e-3, 0.4e-3, 1e-3))
    assert (finding.severity, finding.parameters) == ("warning", ("blocks.1.weight",))
    assert finding.message == (
        "1 weight has 0.8 times the learning rate of house: blocks.1.weight has 4e-4, the rule says 5e-4"
    )
    assert finding.expected == "lr 5e-4 = 1e-3 x 0.5"
    assert finding.found == "lr 4e-4 in group 1 of AdamW"
    assert finding.fix == "set lr=5e-4 there, or correct the code that computes the learning rates"


def test_an_optimizer_that_scales_nothing_is_found() -> None:
    assert {name for finding in differing(planned(), live(1e-3, 1e-3, 1e-3)) for name in finding.parameters} == {
        *NAMES[:2]
    }


def test_a_layer_too_many_is_found_relative_to_the_head() -> None:
    (finding,) = differing(planned(), live(0.125e-3, 0.25e-3, 1e-3))
    assert finding.message.startswith(
        "2 weights have 0.5 times the learning rates of house: blocks.1.weight has 2.5e-4"
    )
    assert finding.fix == "correct the code that computes these learning rates, by a factor of 2 each"


def test_a_ruleset_without_scales_on_this_model_says_nothing_about_rates() -> None:
    assert differing(planned(rate=1.0), live(0.1, 0.2, 0.3)) == []


def test_the_rate_before_the_schedule_counts() -> None:
    groups = tuple(
        group
        for rate, name in zip((0.25e-3, 0.5e-3, 1e-3), NAMES, strict=True)
        for group in live(1e-6, names=(name,), initial_lr=rate).groups
    )
    warming = Optimizer(name="optimizer", type="AdamW", groups=groups, semantics="decoupled")
    assert differing(planned(), warming) == []
    assert differing(planned(), live(1e-6, 1e-6, 1e-6, initial_lr=1e-3)) != []


def test_the_factor_that_timms_schedulers_apply_counts_once() -> None:
    def scaled(*rates: float) -> Optimizer:
        pairs = zip(rates, NAMES, (0.25, 0.5, 1.0), strict=True)
        groups = tuple(
            group for rate, name, factor in pairs for group in live(rate, names=(name,), lr_scale=factor).groups
        )
        return Optimizer(name="optimizer", type="AdamW", groups=groups, semantics="decoupled")

    assert differing(planned(), scaled(1e-3, 1e-3, 1e-3)) == []
    assert differing(planned(), scaled(0.25e-3, 0.5e-3, 1e-3)) == []


def test_each_optimizer_has_a_base_of_its_own() -> None:
    first = live(0.25e-3, 0.5e-3, name="a", names=NAMES[:2])
    second = live(0.02, name="b", names=NAMES[2:])
    assert differing(planned(), first, second) == []


def test_a_scale_by_rule_is_compared_too() -> None:
    decided = planned(rate=1.0, scales=(Scale(when=When(name="head.*"), times=10.0),))
    assert differing(decided, live(1e-3, 1e-3, 1e-2)) == []
    (finding,) = differing(decided, live(1e-3, 1e-3, 1e-3))
    assert finding.parameters == ("head.weight",)
