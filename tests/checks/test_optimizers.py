"""Plans against optimizers as data: which finding, about which parameters, in which words."""

import shlex
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from decay_audit.checks import coefficient_in_use
from decay_audit.checks.codes import CODES, Finding
from decay_audit.checks.optimizers.group_membership import check_ties
from decay_audit.checks.resume import check_resume
from decay_audit.model.observations import (
    Movement,
    Observation,
    Optimizer,
    OptimizerOrigin,
    ParamGroup,
    Semantics,
    observe_groups,
)
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles.words import Classified, Layer, Role
from decay_audit.rulesets import load
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.rulesets.ruleset import Amount, Rule, RuleSet
from tests.checks.optimizer_findings import check_optimizers

KINDS: dict[str, tuple[Role, Layer]] = {
    "weight": ("linear_weight", "linear"),
    "bias": ("bias", "linear"),
    "gain": ("norm_weight", "layer_norm"),
    "shift": ("norm_bias", "layer_norm"),
    "embedding": ("embedding", "embedding"),
}
MODEL = ("a.weight", "a.bias", "n.gain", "n.shift", "b.weight")


def subject(
    name: str,
    *,
    trainable: bool = True,
    declared: str | None = None,
    dtype: str = "float32",
    tied: tuple[str, ...] = (),
) -> Classified:
    role, layer = KINDS[name.rpartition(".")[2]]
    parameter = Parameter(
        name=name,
        raw_name=name,
        shape=(4, 4) if "weight" in name or role == "embedding" else (4,),
        dtype=dtype,
        owner=Owner(name=name.rpartition(".")[0], types=("torch.nn.Linear",)),
        trainable=trainable,
        declared_no_decay=declared,
        tied_to=tied,
    )
    return Classified(parameter=parameter, role=role, layer=layer, confidence="certain", evidence=())


def planned(*subjects: Classified, weight_decay: float = 0.1, rules: str = "no-norm-no-bias") -> Plan:
    return decide(subjects or [subject(name) for name in MODEL], load(rules), weight_decay)


def group(*names: str, weight_decay: float = 0.1, lr: float = 1e-3, **more: object) -> ParamGroup:
    settings: dict[str, object] = {"weight_decay": weight_decay, "lr": lr}
    plain = ParamGroup(
        parameters=names, weight_decay=weight_decay, lr=lr, hyperparameters=settings, weight_decay_is_default=False
    )
    return replace(plain, **more)


def adamw(
    *groups: ParamGroup, origin: OptimizerOrigin = "live", semantics: Semantics = "decoupled", adaptive: bool = False
) -> Optimizer:
    return Optimizer(
        name="optimizer",
        type="AdamW",
        import_path="AdamW" if origin == "live" else "",
        groups=groups,
        semantics=semantics,
        origin=origin,
        adaptive_denominator=adaptive,
    )


GOOD = adamw(group("a.weight", "b.weight"), group("a.bias", "n.gain", "n.shift", weight_decay=0.0))


def steps_of(optimizer: Optimizer) -> tuple[Observation, ...]:
    return observe_groups(optimizer)


def findings_by_code(
    decided: Plan, *optimizers: Optimizer, observations: tuple[Observation, ...] = ()
) -> dict[str, Finding]:
    findings = check_optimizers(decided, optimizers, observations, "model.py")
    assert all(finding.severity in (CODES[finding.code].severity, "warning") for finding in findings)
    assert len({finding.code for finding in findings}) == len(findings)
    return {finding.code: finding for finding in findings}


def test_an_optimizer_that_follows_the_plan_is_clean() -> None:
    assert findings_by_code(planned(), GOOD) == {}


def test_one_group_for_everything_is_one_finding_that_counts_by_kind() -> None:
    only = findings_by_code(planned(), adamw(group(*MODEL)))["DA101"]
    assert only.message == "2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them"
    assert only.parameters == ("a.bias", "n.gain", "n.shift")
    assert only.expected == "weight_decay 0"
    assert only.found == "weight_decay 0.1 in group 0 of AdamW"
    assert "biases (no-norm-no-bias.yaml:" in only.where
    assert only.fix == "decay-audit emit model.py --rules no-norm-no-bias --weight-decay 0.1"


def test_where_the_groups_already_have_the_coefficients_the_fix_is_to_read_the_step() -> None:
    (step,) = [observation for observation in steps_of(GOOD) if observation.parameter == "a.weight"]
    nothing = replace(step, movement="none", measured_rate=0.0)
    findings = findings_by_code(planned(), GOOD, observations=(nothing, *steps_of(GOOD)[1:]))
    assert findings["DA102"].parameters == ("a.weight",)
    assert findings["DA102"].fix == "the groups already have weight_decay 0.1: read what step() of AdamW does with it"


def test_the_fix_of_a_model_in_python_is_python() -> None:
    (only,) = [
        finding for finding in check_optimizers(planned(), [adamw(group(*MODEL))], target="") if finding.code == "DA101"
    ]
    assert only.fix == "decay_audit.param_groups(model, rules='no-norm-no-bias', weight_decay=0.1)"


def test_the_message_about_one_parameter_is_in_the_singular() -> None:
    one_bias = adamw(group("a.weight", "b.weight", "a.bias"), group("n.gain", "n.shift", weight_decay=0.0))
    assert findings_by_code(planned(), one_bias)["DA101"].message == "1 bias is decayed; no-norm-no-bias spares it"


def test_a_matrix_without_decay_is_found() -> None:
    spared = adamw(group("a.weight"), group("b.weight", "a.bias", "n.gain", "n.shift", weight_decay=0.0))
    only = findings_by_code(planned(), spared)["DA102"]
    assert only.parameters == ("b.weight",)
    assert only.expected == "weight_decay 0.1"


def test_another_coefficient_is_found_with_both_numbers() -> None:
    other = adamw(group("a.weight"), group("b.weight", weight_decay=0.3), GOOD.groups[1])
    only = findings_by_code(planned(), other)["DA103"]
    assert only.message == "1 weight is decayed with 0.3, not 0.1"
    assert only.parameters == ("b.weight",)


def test_an_adopted_base_coefficient_is_that_of_each_optimizer() -> None:
    muon = Optimizer(name="muon", type="Muon", groups=(group("a.weight"),), semantics="decoupled")
    other = adamw(group("b.weight", weight_decay=0.3), GOOD.groups[1])
    assert {finding.code for finding in check_optimizers(planned(), [muon, other])} == {"DA103"}
    assert check_optimizers(planned(), [muon, other], coefficient_adopted=True) == ()
    uneven = adamw(group("b.weight", weight_decay=0.3), group("a.weight"), GOOD.groups[1])
    assert {finding.code for finding in check_optimizers(planned(), [uneven], coefficient_adopted=True)} == {"DA103"}


def test_another_coefficient_of_a_saved_optimizer_is_one_finding_about_resuming() -> None:
    saved = adamw(group("a.weight", "b.weight", weight_decay=0.3), GOOD.groups[1], origin="checkpoint")
    assert check_optimizers(planned(), [GOOD, saved], coefficient_adopted=True) == ()
    (finding,) = check_resume([GOOD, saved], {})
    assert (finding.code, finding.parameters) == ("DA103", ("a.weight", "b.weight"))
    assert finding.found == "weight_decay 0.3 (checkpoint)"
    assert [finding.code for finding in check_optimizers(planned(), [saved])] == ["DA103"]


def test_a_state_of_parameters_that_were_renamed_in_the_same_order_fits() -> None:
    renamed = adamw(group("old.a.weight", "old.b.weight"), group("old.bias", weight_decay=0.0), origin="checkpoint")
    live = adamw(group("a.weight", "b.weight"), group("a.bias", weight_decay=0.0))
    assert check_resume([live, renamed], dict.fromkeys(MODEL, (4,))) == ()
    swapped = adamw(group("b.weight", "a.weight"), group("a.bias", weight_decay=0.0), origin="checkpoint")
    assert [finding.code for finding in check_resume([live, swapped], dict.fromkeys(MODEL, (4,)))] == ["DA601"]


def test_coefficients_that_differ_by_rounding_are_the_same() -> None:
    near = adamw(group("a.weight", "b.weight", weight_decay=0.1 + 1e-9), GOOD.groups[1])
    assert findings_by_code(planned(), near) == {}


def test_that_nothing_decays_is_one_finding() -> None:
    assert findings_by_code(planned(), adamw(group(*MODEL, weight_decay=0.0))).keys() == {"DA401"}


def test_a_class_without_weight_decay_is_not_what_the_fix_makes_groups_for() -> None:
    lbfgs = Optimizer(name="o", type="LBFGS", groups=(group(*MODEL, weight_decay=0.0),), semantics="none")
    fix = findings_by_code(planned(), lbfgs)["DA401"].fix
    assert fix.startswith("LBFGS applies no weight decay; use a class that does: decay-audit emit model.py ")
    assert fix.endswith(" --optimizer AdamW --lr 1e-3")


def test_an_inversion_is_one_finding() -> None:
    swapped = adamw(group("a.weight", "b.weight", weight_decay=0.0), group("a.bias", "n.gain", "n.shift"))
    assert findings_by_code(planned(), swapped).keys() == {"DA402"}


def test_a_ruleset_that_decays_nothing_has_nothing_to_miss() -> None:
    assert findings_by_code(planned(weight_decay=0.0), adamw(group(*MODEL, weight_decay=0.0))) == {}


def test_a_trainable_parameter_in_no_group_is_found_and_a_frozen_one_is_not() -> None:
    decided = planned(subject("a.weight"), subject("b.weight"), subject("c.weight", trainable=False))
    assert findings_by_code(decided, adamw(group("a.weight")))["DA201"].parameters == ("b.weight",)


def test_a_parameter_listed_twice_is_found_within_a_group_and_between_optimizers() -> None:
    decided = planned(subject("a.weight"))
    assert "DA202" in findings_by_code(decided, adamw(group("a.weight", "a.weight")))
    second = Optimizer(name="second", type="SGD", groups=(group("a.weight"),), semantics="coupled")
    message = findings_by_code(decided, adamw(group("a.weight")), second)["DA202"]
    assert message.found == "group 0 of AdamW and group 0 of SGD"


def test_a_parameter_that_only_one_of_two_optimizers_decays_is_repeated_and_not_spared() -> None:
    decided = planned(subject("a.weight"), subject("b.weight"))
    second = replace(adamw(group("a.weight", weight_decay=0.0)), name="second")
    assert {"DA102", "DA202"} & {*findings_by_code(decided, adamw(group("a.weight", "b.weight")), second)} == {"DA202"}


def test_foreign_tensors_are_counted_and_described() -> None:
    foreign = adamw(group(*MODEL[:1], "", foreign_tensors=("float32 10x64",)), *GOOD.groups)
    only = findings_by_code(planned(), foreign)["DA203"]
    assert only.message.startswith(
        "group 0 of AdamW holds 1 tensor that is not a parameter of the model or of a module"
    )
    assert only.found == "float32 10x64"


def test_a_frozen_parameter_in_a_decaying_group_is_found_and_only_as_that() -> None:
    decided = planned(subject("a.weight"), subject("b.weight", trainable=False))
    assert findings_by_code(decided, adamw(group("a.weight", "b.weight"))).keys() == {"DA204"}


def test_an_empty_group_and_groups_that_agree_are_found() -> None:
    wasteful = adamw(group("a.weight"), group("b.weight"), GOOD.groups[1], group())
    assert findings_by_code(planned(), wasteful).keys() == {"DA206", "DA207"}


def test_a_class_that_is_not_known_may_treat_equal_groups_differently() -> None:
    two = adamw(group("a.weight"), group("b.weight"), GOOD.groups[1])
    assert findings_by_code(planned(), two).keys() == {"DA207"}
    unknown = replace(two, class_is_known=False)
    observations = [replace(observation, movement="unknown") for observation in observe_groups(unknown)]
    assert "DA207" not in findings_by_code(planned(), unknown, observations=tuple(observations))


def test_one_cause_in_several_groups_is_one_finding() -> None:
    default = adamw(*(group(name, weight_decay_is_default=True) for name in ("a.weight", "b.weight")), GOOD.groups[1])
    (finding,) = [finding for finding in check_optimizers(planned(), [default]) if finding.code == "DA501"]
    assert (finding.parameters, finding.where) == (("a.weight", "b.weight"), "groups 0 and 1 of AdamW")


@pytest.mark.parametrize("sets_second", [True, False])
def test_one_default_of_several_optimizers_is_one_finding(*, sets_second: bool) -> None:
    first = replace(adamw(group("a.weight", weight_decay_is_default=True)), name="generator")
    second = replace(adamw(group("b.weight", weight_decay_is_default=not sets_second)), name="critic")
    (finding,) = [finding for finding in check_optimizers(planned(), [first, second]) if finding.code == "DA501"]
    assert finding.parameters == (("a.weight",) if sets_second else ("a.weight", "b.weight"))
    both = "group 0 of AdamW generator and group 0 of AdamW critic"
    assert finding.where == ("group 0 of AdamW generator" if sets_second else both)


@pytest.mark.parametrize(
    ("decayed", "where"),
    [
        (range(9), "groups 0-8 of AdamW"),
        (range(0, 12, 2), "groups 0, 2, ..., 10 of AdamW"),
        ((0, 1, 2, 5, 11), "groups 0-2, 5 and 11 of AdamW"),
        (range(12), "all 12 groups of AdamW"),
    ],
)
def test_many_groups_are_named_as_ranges_and_none_is_left_out(decayed: Sequence[int], where: str) -> None:
    biases = [f"{index}.bias" for index in range(12)]
    groups = (group(name, weight_decay=0.05 if index in decayed else 0.0) for index, name in enumerate(biases))
    plan = planned(*map(subject, biases))
    (wrong,) = [finding for finding in check_optimizers(plan, [adamw(*groups)]) if finding.code == "DA101"]
    assert wrong.found == f"weight_decay 0.05 in {where}"


def test_groups_that_differ_in_one_setting_do_not_agree() -> None:
    assert findings_by_code(planned(), adamw(group("a.weight"), group("b.weight", lr=2e-3), GOOD.groups[1])) == {}


def test_what_the_model_declares_and_the_optimizer_decays_is_found() -> None:
    decided = planned(subject("a.weight"), subject("n.gain", declared="no_weight_decay()"))
    assert findings_by_code(decided, adamw(group("a.weight", "n.gain"))).keys() == {"DA101", "DA305"}


@pytest.mark.parametrize(("implicit", "weight_decay", "expected"), [
    (True, 0.1, True),
    (True, 0.2, True),
    (None, 0.1, False),
    (None, 0.2, True),
    (False, 0.2, False),
    (True, 0.0, False),
])  # fmt: skip
def test_an_implicit_default_is_found_where_known_or_where_it_is_not_what_the_ruleset_wants(
    implicit: bool | None, weight_decay: float, expected: bool
) -> None:
    decided = planned(subject("a.weight"))
    optimizer = adamw(group("a.weight", weight_decay=weight_decay, weight_decay_is_default=implicit))
    assert ("DA501" in findings_by_code(decided, optimizer)) is expected


def test_decay_through_a_denominator_is_noted_where_there_is_decay() -> None:
    decided = planned(subject("a.weight"), weight_decay=0.1)
    assert "DA502" in findings_by_code(decided, adamw(group("a.weight"), semantics="coupled", adaptive=True))
    without = adamw(group("a.weight", weight_decay=0.0), semantics="coupled", adaptive=True)
    assert "DA502" not in findings_by_code(decided, without)


def measured_step(
    movement: Movement, measured: float, *, weight_decay: float = 0.1, declared: float | None = 0.1
) -> Observation:
    return Observation(
        parameter="a.weight",
        optimizer="optimizer",
        group=0,
        weight_decay=weight_decay,
        lr=1e-3,
        declared_rate=declared,
        measured_rate=measured,
        movement=movement,
    )


@pytest.mark.parametrize(("observation", "codes"), [
    (measured_step("proportional", 0.1), set()),
    (measured_step("proportional", 0.1005), set()),
    (measured_step("proportional", 0.12), {"DA503"}),
    (measured_step("cautious", 0.1), set()),
    (measured_step("unstable", float("nan")), {"DA503"}),
    (measured_step("vanishing", 0.1), {"DA504"}),
    (measured_step("none", 0.0), {"DA401", "DA503"}),
    (measured_step("sign", 1.2, declared=None), set()),
])  # fmt: skip
def test_a_measured_step_is_compared_with_the_declared_rate(observation: Observation, codes: set[str]) -> None:
    decided = planned(subject("a.weight"))
    assert findings_by_code(decided, adamw(group("a.weight")), observations=(observation,)).keys() == codes


def test_decay_that_no_group_declares_is_found() -> None:
    decided = planned(subject("a.bias"), subject("a.weight"))
    observation = measured_step("proportional", 0.05, weight_decay=0.0, declared=0.0)
    optimizer = adamw(group("a.weight", weight_decay=0.0), group("a.bias", weight_decay=0.0, lr=1.0))
    findings = findings_by_code(decided, optimizer, observations=(observation,))
    assert findings["DA503"].message == (
        "a step with a gradient of zero removes 0.05 x lr of 1 weight; group 0 of AdamW declares weight_decay 0"
    )


def test_an_unknown_optimizer_is_compared_with_lr_times_weight_decay() -> None:
    decided = planned(subject("a.weight"))
    unknown = adamw(group("a.weight"), semantics="unknown")
    assert findings_by_code(decided, unknown, observations=(measured_step("proportional", 0.1, declared=None),)) == {}
    assert "DA503" in findings_by_code(
        decided, unknown, observations=(measured_step("proportional", 0.01, declared=None),)
    )


def test_a_measurement_counts_more_than_the_group() -> None:
    """A rule inside `step` spares the bias: it is not decayed, whatever its group announces."""
    decided = planned(subject("a.weight"), subject("a.bias"))
    optimizer = adamw(group("a.weight", "a.bias"), semantics="unknown")
    spared = Observation(
        parameter="a.bias",
        optimizer="optimizer",
        group=0,
        weight_decay=0.1,
        lr=1e-3,
        measured_rate=0.0,
        movement="none",
    )
    findings = findings_by_code(decided, optimizer, observations=(measured_step("proportional", 0.1), spared))
    assert findings.keys() == {"DA503"}


UNKNOWN = replace(adamw(group("a.weight", "a.bias"), semantics="unknown"), class_is_known=False)


def moved(name: str, movement: Movement, rate: float = 0.1, weight_decay: float = 0.1) -> Observation:
    return replace(measured_step(movement, rate, weight_decay=weight_decay, declared=None), parameter=name)


def test_an_optimizer_of_a_class_that_is_not_known_is_judged_by_its_measured_step() -> None:
    """A rule inside `step` spares the bias, whatever its group announces: that is no difference to the ruleset."""
    decided = planned(subject("a.weight"), subject("a.bias"))
    spared = (moved("a.weight", "proportional"), moved("a.bias", "none"))
    (only,) = findings_by_code(decided, UNKNOWN, observations=spared).values()
    assert only.message == (
        "AdamW is not a known class; a measured step decays 1 weight by lr x weight_decay and does not decay 1 bias"
    )
    both = (moved("a.weight", "proportional"), moved("a.bias", "proportional"))
    assert findings_by_code(decided, UNKNOWN, observations=both).keys() == {"DA101", "DA507"}
    neither = (moved("a.weight", "none"), moved("a.bias", "none"))
    assert findings_by_code(decided, UNKNOWN, observations=neither).keys() == {"DA401", "DA507"}


@pytest.mark.parametrize("failure", ["", "AdamW.step() raised KeyError: 1"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_an_optimizer_that_is_neither_known_nor_measured_is_not_compared(weight_decay: float, failure: str) -> None:
    decided = planned(subject("a.weight"), subject("a.bias"))
    unknown = [moved(name, "unknown", weight_decay=weight_decay) for name in ("a.weight", "a.bias")]
    optimizer = replace(UNKNOWN, failed_measurement=failure)
    (only,) = findings_by_code(decided, optimizer, observations=tuple(unknown)).values()
    assert (only.code, only.severity) == ("DA507", "note")
    cause = f"no step could be measured: {failure}" if failure else "no step was measured"
    assert only.message == f"AdamW is not a known class, and {cause}; the settings of its groups were not compared"


def test_what_is_not_known_of_one_optimizer_hides_nothing_of_another() -> None:
    decided = planned(subject("a.weight"), subject("a.bias"), subject("b.weight"))
    other = replace(adamw(group("b.weight", weight_decay=0.0)), name="other", type="SGD")
    unknown = (moved("a.weight", "unknown"), moved("a.bias", "unknown"))
    findings = findings_by_code(decided, UNKNOWN, other, observations=unknown)
    assert findings["DA102"].parameters == ("b.weight",)
    assert findings.keys() == {"DA102", "DA507"}


@pytest.mark.parametrize(("movement", "rate", "codes"), [
    ("proportional", 0.01, {"DA503"}),
    ("constant", 0.1, {"DA503"}),
    ("without_lr", 100, set()),
    ("without_lr", 1.0, {"DA503"}),
    ("sign", 1.2, {"DA502"}),
    ("normalized", 3.0, set()),
])  # fmt: skip
def test_the_law_of_a_class_that_is_not_known_is_compared_with_its_coefficient(
    movement: Movement, rate: float, codes: set[str]
) -> None:
    """The lr is 1e-3 and the coefficient 0.1: a fraction of 0.1 a step is 100 x lr."""
    findings = findings_by_code(
        planned(subject("a.weight")), UNKNOWN, observations=(moved("a.weight", movement, rate),)
    )
    assert findings.keys() == codes | {"DA507"}
    assert all(finding.severity != "error" for finding in findings.values())


def test_a_pull_towards_other_values_than_0_is_not_judged_as_decay() -> None:
    elsewhere = moved("a.weight", "other_point", weight_decay=0.0)
    findings = findings_by_code(planned(subject("a.weight")), UNKNOWN, observations=(elsewhere,))
    assert "pulls 1 weight towards values other than 0" in findings["DA507"].message
    assert findings.keys() == {"DA507"}


def test_parameters_that_differ_for_one_cause_are_one_finding() -> None:
    decided = planned(subject("a.weight"), subject("b.weight"))
    steps = (moved("a.weight", "proportional", 0.2), moved("b.weight", "proportional", 0.3))
    found = [finding for finding in check_optimizers(decided, [UNKNOWN], steps) if finding.code == "DA503"]
    assert [finding.message for finding in found] == [
        "a step with a gradient of zero removes 0.2 to 0.3 x lr of 2 weights; "
        "group 0 of AdamW declares weight_decay 0.1"
    ]


def test_the_way_out_of_coupled_decay_is_one_that_the_class_has() -> None:
    decided = planned(subject("a.weight"))
    coupled = adamw(group("a.weight"), semantics="coupled", adaptive=True)
    for optimizer, fix in (
        (replace(coupled, type="RMSprop"), "use a class that decouples it, such as AdamW, or weight_decay=0"),
        (
            replace(coupled, type="NAdam", decoupled_by="decoupled_weight_decay=True"),
            "use the decoupled form: decoupled_weight_decay=True",
        ),
    ):
        assert findings_by_code(decided, optimizer)["DA502"].fix == fix


@pytest.mark.parametrize(("dtype", "lr", "vanishes"), [
    ("bfloat16", 1e-2, True),
    ("bfloat16", 3e-2, False),
    ("float16", 2e-3, True),
    ("float16", 3e-3, False),
    ("float32", 2e-7, True),
    ("float32", 4e-7, False),
    ("float64", 1e-12, False),
])  # fmt: skip
def test_a_product_below_the_resolution_of_the_dtype_vanishes(dtype: str, lr: float, vanishes: bool) -> None:
    decided = planned(subject("a.weight", dtype=dtype))
    assert ("DA504" in findings_by_code(decided, adamw(group("a.weight", lr=lr)))) is vanishes


@pytest.mark.parametrize("movement", [None, "vanishing"])
def test_the_small_lr_of_a_warm_up_makes_no_product_vanish(movement: Movement | None) -> None:
    decided = planned(subject("a.weight"))
    for initial, vanishes in ((1e-3, False), (1e-10, True)):
        warming = adamw(group("a.weight", lr=1e-11, hyperparameters={"initial_lr": initial}))
        step = Observation(
            parameter="a.weight", optimizer="optimizer", group=0, weight_decay=0.1, lr=1e-11, movement=movement
        )
        assert ("DA504" in findings_by_code(decided, warming, observations=(step,))) is vanishes


def test_a_flattened_parameter_is_found() -> None:
    flat = adamw(group("a.weight", flat_parameters=("a.weight",)))
    assert "DA505" in findings_by_code(planned(subject("a.weight")), flat)


def test_saved_and_live_optimizers_are_compared_separately() -> None:
    saved = adamw(group(*MODEL), origin="checkpoint")
    findings = check_optimizers(planned(), (GOOD, saved))
    assert [(finding.code, finding.message, finding.found) for finding in findings] == [
        (
            "DA101",
            "2 norm parameters and 1 bias are decayed by the saved AdamW; no-norm-no-bias spares them",
            "weight_decay 0.1 in group 0 of the saved AdamW",
        )
    ]


def test_the_coefficient_in_use_is_what_most_fully_decayed_parameters_get() -> None:
    observations = [
        Observation(parameter=name, optimizer="o", group=0, weight_decay=value)
        for name, value in (("a.weight", 0.3), ("b.weight", 0.3), ("a.bias", 0.7))
    ]
    assert coefficient_in_use(planned(), observations) == 0.3
    assert coefficient_in_use(planned(), []) is None


def test_the_live_coefficient_is_in_use_and_not_the_saved_one() -> None:
    saved = [
        Observation(parameter=name, optimizer="o", group=0, weight_decay=0.9, origin="checkpoint")
        for name in ("a.weight", "b.weight")
    ]
    live = Observation(parameter="a.weight", optimizer="o", group=0, weight_decay=0.2)
    assert coefficient_in_use(planned(), [*saved, live]) == 0.2
    assert coefficient_in_use(planned(), saved) == 0.9


def test_tied_names_that_rules_tell_apart_are_found() -> None:
    ruleset = RuleSet(
        name="house",
        weight_decay=0.1,
        rules=(Rule(name="embeddings", when=When(name="wte.*"), amount=Amount(times=0.0)),),
        default=Amount(),
    )
    tied = subject("wte.embedding", tied=("head.weight",))
    only = next(iter(check_ties(decide([tied], ruleset))))
    assert only.code == "DA205"
    assert only.parameters == ("wte.embedding", "head.weight")
    assert not list(check_ties(decide([subject("wte.embedding", tied=("wte.other",))], ruleset)))


def test_a_tied_name_that_no_rule_answers_for_is_not_compared() -> None:
    rules = (Rule(name="embeddings", when=When(name="wte.*"), amount=Amount(times=0.0)),)
    ruleset = RuleSet(name="house", weight_decay=0.1, rules=rules, default=None)
    tied = subject("wte.embedding", tied=("head.weight", "wte.other"))
    assert not list(check_ties(decide([tied], ruleset)))


def test_the_fix_names_the_rules_file_and_not_the_ruleset_in_it_and_can_be_pasted() -> None:
    ruleset = replace(load("no-norm-no-bias"), name="ours; rm x", preset=False, file="rules/our own.yaml")
    decided = decide([subject(name) for name in MODEL], ruleset, 0.123456789)
    every = adamw(group(*MODEL, weight_decay=0.123456789))
    options = {"live": ["--like", "train.py:make(model, 'x')"]}
    (finding,) = check_optimizers(decided, [every], target="a model.py:Net", emit_options=options)  # type: ignore[arg-type]
    words = shlex.split(finding.fix)
    assert words[:3] == ["decay-audit", "emit", "a model.py:Net"]
    assert words[3:7] == ["--rules", "rules/our own.yaml", "--weight-decay", "0.123456789"]
    assert words[7:] == ["--like", "train.py:make(model, 'x')"]


def test_a_class_is_named_once_however_many_optimizers_have_it() -> None:
    each = [replace(adamw(group(name)), name=f"optimizer[{index}]") for index, name in enumerate(MODEL[:-1])]
    findings = {finding.code: finding for finding in check_optimizers(planned(), each)}
    assert findings["DA201"].found == "in no param group of AdamW"


def test_a_coefficient_that_nobody_sets_is_no_error() -> None:
    default = adamw(group(*MODEL, weight_decay=0.0, weight_decay_is_default=True))
    (finding,) = check_optimizers(planned(), [default], coefficient_adopted=True)
    assert (finding.code, finding.severity) == ("DA401", "note")
    (asked,) = check_optimizers(planned(), [default])
    assert asked.severity == "error"
    written = adamw(group(*MODEL, weight_decay=0.0))
    (finding,) = check_optimizers(planned(), [written], coefficient_adopted=True)
    assert finding.severity == "note"
    assert finding.message == "nothing decays, because the code sets weight_decay 0; nothing was compared"
    split = adamw(group(*MODEL[:2], weight_decay=0.0), group(*MODEL[2:], weight_decay=0.0, lr=2e-3))
    (finding,) = check_optimizers(planned(), [split], coefficient_adopted=True)
    assert finding.severity == "error"


def test_an_empty_group_has_no_default_in_effect() -> None:
    empty = adamw(*GOOD.groups, group(weight_decay_is_default=True))
    assert "DA501" not in findings_by_code(planned(), empty)


@pytest.mark.parametrize("semantics", ["decoupled", "coupled"])
def test_coefficients_that_keep_lr_times_weight_decay_are_a_note(semantics: Semantics) -> None:
    """muP: a width 8 times the base's divides lr by 8 and multiplies weight_decay by it, in SGD and AdamW."""
    scaled = group("a.weight", weight_decay=0.8, lr=1e-3 / 8)
    optimizer = replace(adamw(scaled, group("b.weight"), GOOD.groups[1]), semantics=semantics)
    (finding,) = check_optimizers(planned(), [optimizer])
    assert (finding.code, finding.severity) == ("DA103", "note")
    assert "compare: product" in finding.fix
    other = group("a.weight", weight_decay=0.8, lr=1e-3 / 4)
    (finding,) = check_optimizers(planned(), [adamw(other, group("b.weight"), GOOD.groups[1])])
    assert finding.severity == "error"


@pytest.mark.parametrize(("declared", "expected"), [(0.0, False), (0.1, True)])
def test_a_step_that_moves_nothing_is_what_a_class_that_ignores_the_coefficient_declares(
    declared: float, expected: bool
) -> None:
    observation = Observation(
        parameter="a.weight",
        optimizer="optimizer",
        group=0,
        weight_decay=0.1,
        lr=1e-3,
        declared_rate=declared,
        measured_rate=0.0,
        movement="none",
    )
    found = findings_by_code(planned(subject("a.weight")), adamw(group("a.weight")), observations=(observation,))
    assert ("DA503" in found) is expected
