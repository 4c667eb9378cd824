"""What each key of `when` matches, and what a source that cannot know answers."""

from typing import Any

import pytest

from decay_audit.model.parameters import Declaration, Owner
from decay_audit.roles.words import Classified
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.matching import compile_when
from tests.rulesets.handwritten import LAYER_NORM, ROOT, subject, unowned


def holds(classified: Classified, names: Any = "canonical", **when: Any) -> bool | None:
    return compile_when(When(**when), names)(classified)


@pytest.mark.parametrize(
    ("when", "matching", "other"),
    [
        ({"name_regex": r"\.bias$"}, "a.bias", "bias"),
        ({"name_regex": "bias$"}, "in_proj_bias", "bias.weight"),
        ({"name_regex": "bias"}, "rel_bias.weight", "weight"),
        ({"leaf": "bias"}, "a.bias", "a.in_proj_bias"),
        ({"leaf_regex": "bias$"}, "a.in_proj_bias", "a.bias_k"),
        ({"name_regex": "(?i)layernorm"}, "LayerNorm.weight", "layer_norm.weight"),
        ({"name": "blocks.*.weight"}, "blocks.0.attn.qkv.weight", "head.weight"),
        ({"name": "a[0].b"}, "a0.b", "a[0].b"),
        ({"owner_name": "*.attn"}, "blocks.0.attn.weight", "blocks.0.attn.q.weight"),
        ({"name": ["a", "b"]}, "b", "c"),
    ],
)
def test_names_match_as_globs_regexes_and_leaves(when: dict[str, Any], matching: str, other: str) -> None:
    when = {key: tuple(value) if isinstance(value, list) else value for key, value in when.items()}
    assert holds(subject(matching), **when) is True
    assert holds(subject(other), **when) is False


def test_raw_names_are_seen_only_where_the_ruleset_asks_for_them() -> None:
    wrapped = subject("a.weight", raw_name="_orig_mod.a.weight")
    assert holds(wrapped, name="a.weight") is True
    assert holds(wrapped, "raw", name="a.weight") is False
    assert holds(wrapped, "raw", name_regex=r"^_orig_mod\.") is True


@pytest.mark.parametrize(
    ("key", "value", "shape", "expected"),
    [
        ("ndim", "<=1", (), True),
        ("ndim", 1, (), False),
        ("ndim", "==1", (8,), True),
        ("ndim", "!=1", (8,), False),
        ("ndim", ">= 2", (1, 1, 8), True),
        ("ndim", (2, 4), (1, 1, 1, 8), True),
        ("effective_ndim", 1, (1, 1, 1, 8), True),
        ("effective_ndim", "<2", (8, 8), False),
        ("numel", ">63", (8, 8), True),
        ("shape", (1, 1, None), (1, 1, 9), True),
        ("shape", (1, 1, None), (1, 9), False),
        ("shape", (1, 1, None), (1, 2, 9), False),
        ("shape", ((1,), (2,)), (2,), True),
        ("shape", (), (), True),
    ],
)
def test_sizes_compare(key: str, value: Any, shape: tuple[int, ...], expected: bool) -> None:
    assert holds(subject(shape=shape), **{key: value}) is expected


def test_a_lazy_parameter_has_no_size_that_a_rule_could_know() -> None:
    assert holds(subject(shape=(), lazy=True), ndim=0) is None


def test_an_owner_matches_by_any_of_its_classes_and_exactly_by_its_own() -> None:
    norm = subject(types=LAYER_NORM)
    assert holds(norm, owner="torch.nn.LayerNorm") is True
    assert holds(norm, owner="torch.nn.modules.normalization.LayerNorm") is True
    assert holds(norm, owner_exact="torch.nn.LayerNorm") is False
    assert holds(norm, owner_exact="model.Norm") is True
    assert holds(norm, owner_class="^Norm$") is True


def test_within_asks_every_ancestor_but_the_root() -> None:
    outer = Owner(name="outer", types=LAYER_NORM, parent=ROOT)
    assert holds(subject("outer.gate.weight", parent=outer), within="torch.nn.LayerNorm") is True
    assert holds(subject("gate.weight", parent=Owner(types=LAYER_NORM)), within="torch.nn.LayerNorm") is False
    assert holds(subject("norm.weight", types=LAYER_NORM), within="torch.nn.LayerNorm") is True


@pytest.mark.parametrize(
    ("form", "names", "expected"),
    [
        ("exact", ("pos_embed",), False),
        ("exact", ("a.pos_embed",), True),
        ("glob", ("*.pos_embed",), True),
        ("substring", ("pos",), True),
        ("keywords", ("a.pos_embed",), False),
    ],
)
def test_declared_names_are_compared_in_the_form_that_is_asked_for(
    form: str, names: tuple[str, ...], expected: bool
) -> None:
    assert holds(subject("a.pos_embed", declaration=Declaration(names=names)), declared_no_decay=form) is expected


def test_keywords_are_their_own_list() -> None:
    classified = subject("a.cpb_mlp.weight", declaration=Declaration(keywords=("cpb_mlp",)))
    assert holds(classified, declared_no_decay="keywords") is True
    assert holds(classified, declared_no_decay="substring") is False


@pytest.mark.parametrize(
    ("form", "declaration", "expected"),
    [
        ("keyword_suffixes", Declaration(keywords=("bias_table",)), True),
        ("keyword_suffixes", Declaration(keywords=("bias",)), False),
        ("keyword_suffixes", Declaration(patterns=("*bias_table",)), False),
        ("patterns", Declaration(patterns=("*.bias_*",)), True),
        ("patterns", Declaration(patterns=("bias_table",)), False),
        ("patterns", Declaration(keywords=("a.bias_table",)), False),
    ],
)
def test_patterns_match_whole_names_and_keyword_suffixes_their_ends(
    form: str, declaration: Declaration, expected: bool
) -> None:
    assert holds(subject("a.bias_table", declaration=declaration), declared_no_decay=form) is expected


def test_what_a_submodule_declares_counts_only_where_submodules_are_asked() -> None:
    tower = Owner(name="visual", types=("model.Tower",), parent=ROOT, declaration=Declaration(names=("pos_embed",)))
    classified = subject("visual.pos_embed", parent=tower.parent, types=tower.types)
    inside = Classified(
        parameter=type(classified.parameter)(
            name="visual.pos_embed", raw_name="visual.pos_embed", shape=(1, 4), dtype="float32", owner=tower
        ),
        role="position_embedding",
        layer="other",
        confidence="certain",
        evidence=(),
    )
    assert holds(inside, declared_no_decay="exact") is False
    assert holds(inside, declared_no_decay=("exact", "submodules")) is True


def test_every_key_must_hold_and_a_list_means_any() -> None:
    classified = subject(role="bias", layer="conv")
    assert holds(classified, role=("bias", "norm_bias"), layer="conv") is True
    assert holds(classified, role="bias", layer="linear") is False
    assert holds(classified, any_=(When(role="norm_bias"), When(layer="conv"))) is True
    assert holds(classified, all_=(When(role="bias"), When(layer="linear"))) is False
    assert holds(classified, not_=When(layer="conv")) is False


@pytest.mark.parametrize(
    "when",
    [
        {"owner": "torch.nn.Linear"},
        {"owner_exact": "torch.nn.Linear"},
        {"owner_class": "Linear"},
        {"within": "torch.nn.Linear"},
        {"declared_no_decay": "exact"},
        {"attribute": "_no_weight_decay"},
        {"not_": When(owner="torch.nn.Linear")},
        {"any_": (When(owner="torch.nn.Linear"), When(ndim=4))},
    ],
)
def test_what_a_checkpoint_cannot_know_is_neither_yes_nor_no(when: dict[str, Any]) -> None:
    assert holds(unowned(), **when) is None


ANSWERS: dict[bool | None, When] = {True: When(ndim=1), False: When(ndim=4), None: When(owner="torch.nn.Linear")}
"""A condition for each answer that the parameter of a checkpoint can give."""


@pytest.mark.parametrize(
    ("first", "second", "both", "either"),
    [
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, True, False, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, True, None, True),
        (None, False, False, None),
        (None, None, None, None),
    ],
)
def test_one_certain_answer_decides_however_much_else_is_unknown(
    first: bool | None, second: bool | None, both: bool | None, either: bool | None
) -> None:
    conditions = (ANSWERS[first], ANSWERS[second])
    assert holds(unowned(), all_=conditions) is both
    assert holds(unowned(), any_=conditions) is either
    assert holds(unowned(), not_=When(all_=conditions)) is (None if both is None else not both)


def test_keys_beside_each_other_are_joined_like_conditions_that_must_all_hold() -> None:
    assert holds(unowned(), owner="torch.nn.Linear", ndim=4) is False
    assert holds(unowned(), owner="torch.nn.Linear", ndim=1) is None


def test_the_keys_of_nested_conditions_are_listed() -> None:
    when = When(role="bias", any_=(When(owner="x"), When(not_=When(within="y"))))
    assert when.keys() == {"role", "any", "owner", "not", "within"}
