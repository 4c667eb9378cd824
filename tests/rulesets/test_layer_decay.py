"""Layer numbers: their arithmetic, and the factors that follow from them."""

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from decay_audit.errors import PlanError
from decay_audit.model.parameters import Declaration
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.layer_decay import compile_number, factors
from decay_audit.rulesets.ruleset import LayerDecay, LayerRule
from tests.rulesets.handwritten import subject, unowned


@pytest.mark.parametrize(
    ("text", "captured", "expected"),
    [
        (3, (), 3),
        (r"\1 + 1", ("11",), 12),
        (r"3 + \1 // 3", ("26",), 11),
        (r"(\1 + \2) * 2", ("1", "2"), 6),
        (r"\1 - 1 - 1", ("5",), 3),
        ("2 * 3 + 4", (), 10),
        ("2+3*4", (), 14),
    ],
)
def test_arithmetic_on_captured_groups(text: int | str, captured: tuple[str, ...], expected: int) -> None:
    assert compile_number(text)(captured) == expected


@pytest.mark.parametrize(
    "text", ["", r"\1 +", "1 2", "(1", "1)", "a", r"\1 ** 2", "1 / 2", "-", "__import__('os')", "3 // 0"]
)
def test_what_is_not_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        compile_number(text)


@given(
    st.recursive(
        st.integers(0, 999).map(str),
        lambda part: st.tuples(part, st.sampled_from("+-*"), part).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
        max_leaves=8,
    )
)
def test_arithmetic_equals_pythons(text: str) -> None:
    assert compile_number(text)(()) == eval(text)


def vit(default: int | str | None = "last") -> LayerDecay:
    return LayerDecay(
        rate=0.5,
        layers=(
            LayerRule(when=When(name_regex="^(pos_embed|cls_token)$"), layer=0),
            LayerRule(when=When(name_regex=r"^blocks\.(\d+)"), layer=r"\1 + 1"),
        ),
        default=default,  # type: ignore[arg-type]
    )


def scales(decay: LayerDecay, *names: str) -> list[float]:
    return [factor for factor, _ in factors([subject(name) for name in names], decay, "canonical")]


def test_last_is_one_more_than_the_highest_number() -> None:
    assert scales(vit(), "pos_embed", "blocks.0.w", "blocks.1.w", "head.w") == [0.125, 0.25, 0.5, 1.0]


def test_without_last_the_highest_number_is_the_top() -> None:
    assert scales(vit(None), "pos_embed", "blocks.0.w", "blocks.1.w", "head.w") == [0.25, 0.5, 1.0, 1.0]


def test_a_plain_default_counts_even_where_nothing_takes_it() -> None:
    assert scales(vit(3), "blocks.0.w") == [0.25]


def test_a_capture_that_is_no_number_names_the_rule_and_the_parameter() -> None:
    decay = LayerDecay(rate=0.5, layers=(LayerRule(when=When(name_regex=r"^(\w+)"), layer=r"\1", location="a.yaml:3"),))
    with pytest.raises(PlanError, match=r"a\.yaml:3.*head\.w.*'head'"):
        scales(decay, "head.w")


def test_the_models_own_layers_are_used_where_they_are_asked_for() -> None:
    declaration = Declaration(layers={"stem.w": 0, "head.w": 2})
    subjects = [subject(name, declaration=declaration) for name in ("stem.w", "head.w", "new.w")]
    decay = LayerDecay(rate=0.5, layers=None)
    assert factors(subjects, decay, "canonical") == [(0.25, ()), (1.0, ()), (1.0, ())]


def test_a_checkpoint_cannot_say_how_its_model_groups_layers() -> None:
    decay = LayerDecay(rate=0.5, layers=None, location="a.yaml:3")
    assert factors([unowned()], decay, "canonical") == [(1.0, (decay,))]


def test_a_model_without_layers_keeps_its_learning_rates() -> None:
    assert scales(LayerDecay(rate=0.5, layers=None), "a.w") == [1.0]


def test_a_question_that_cannot_be_answered_is_reported() -> None:
    rule = LayerRule(when=When(ndim=1), layer=0, location="a.yaml:3")
    ((_, without_facts),) = factors([subject(lazy=True)], LayerDecay(rate=0.5, layers=(rule,)), "canonical")
    assert without_facts == (rule,)


def test_a_model_without_what_the_layers_are_meant_for_keeps_its_learning_rates() -> None:
    decay = replace(vit(), when=When(name_regex=r"^blocks\."))
    assert scales(decay, "pos_embed", "stages.0.blocks.0.w") == [1.0, 1.0]
    assert scales(decay, "pos_embed", "blocks.0.w") == scales(vit(), "pos_embed", "blocks.0.w") == [0.25, 0.5]


def test_who_cannot_say_whether_the_layers_are_meant_for_a_model_says_so() -> None:
    decay = LayerDecay(rate=0.5, layers=(), when=When(owner="torch.nn.Linear"), location="a.yaml:3")
    assert factors([unowned()], decay, "canonical") == [(1.0, (decay,))]
