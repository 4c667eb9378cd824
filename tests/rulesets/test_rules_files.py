"""Reading rules files: what they mean, and every mistake at once with its line."""

from pathlib import Path

import pytest

from decay_audit import rulesets
from decay_audit.errors import RulesError
from decay_audit.rulesets.ruleset import Amount
from tests.rulesets.rules_files import HEAD, load, mistakes

EVERYTHING_WRONG = """\
schema: 2
name: mine
nam: mine
weight_decay: -1
frozen: maybe
rules:
  - name: a
    when: {rol: bias, name_regex: '(', ndim: "=>2", role: norm_wieght}
    decay: no
  - name: a
    when: {}
    decay: .nan
    weight_decay: 1
  - when: {any: [], layer: [conv, lin], not: {}}
  - biases
default: true
examples: {}
title:
source: ~
source: 3
lr_scale: [{when: {role: bias}, times: -2}]
layer_decay: {rate: .inf, layers: [{when: {name: a}, layer: '\\1 +'}, {when: {name: a}, layer: '\\1'}], default: first}
optimizer: [{when: {ndim: 1.5}, use: muon}]
"""


ALL_MISTAKES = """\
1: `schema` is `2`; it must be `1`
3: unknown key `nam` in the file; did you mean `name`?
4: `weight_decay` is `-1`; it must not be negative
5: `frozen`: `maybe` is not allowed; accepted: skip, include
8: `(` is not a regular expression: missing ), unterminated subpattern at position 0
8: `ndim` is `=>2`; it must be a whole number or a comparison such as `>=2`
8: `role`: `norm_wieght` is not allowed; did you mean `norm_weight`?
8: unknown key `rol` in `when`; did you mean `role`?
9: `decay` is `no`; it must be true or false or a number
10: a rule is called `a` already, in line 7
10: both `decay` and `weight_decay`: give the multiple of the base, or the absolute coefficient
11: the condition is empty and would match everything; give it a key, or use `default`
12: `decay` is `.nan`, not a finite number
14: `any` is an empty list
14: an entry of `layer`: `lin` is not allowed; did you mean `linear`?
14: an entry of `rules` has no `name`, which is required
14: no amount: give `decay` (true, false or a multiple of the base) or `weight_decay`
14: the condition is empty and would match everything; give it a key, or use `default`
15: an entry of `rules` is `biases`; it must be a mapping
16: `default` is `true`; it must be `error` or a mapping
17: `examples` must be a list, not a mapping
18: `title` is empty; it must be text
19: `source` is `~`; it must be text
20: `source` is `3`; it must be text
20: the key `source` is given twice, first in line 19
21: `times` is `-2`; it must not be negative
22: `default`: `first` is not allowed; accepted: last
22: `layer` asks for \\1, but its `when` has no `name_regex` to capture it
22: `layer` is `\\1 +`; it must be a number, `last`, or arithmetic with + - * // on groups such as \\1
22: `rate` is `.inf`, not a finite number
23: `ndim` is `1.5`; it must be a whole number or a comparison such as `>=2` or a list
"""


def test_every_mistake_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    assert mistakes(EVERYTHING_WRONG, tmp_path) == ALL_MISTAKES.splitlines()


def test_every_mistake_is_said_in_a_file_that_extends_too(tmp_path: Path) -> None:
    extending = EVERYTHING_WRONG + "extends: no-norm-no-bias\n"
    assert mistakes(extending, tmp_path) == ALL_MISTAKES.splitlines()


def test_a_rule_that_cannot_be_read_may_still_have_a_taken_name(tmp_path: Path) -> None:
    text = "schema: 1\nname: a\nextends: timm\nrules: [{name: biases, when: {role: norm_wieght}, decay: true}]\n"
    unknown, taken = mistakes(text, tmp_path)
    assert unknown == "4: `role`: `norm_wieght` is not allowed; did you mean `norm_weight`?"
    assert taken == "4: timm, which this file extends, has a rule called `biases` already"


def test_a_ruleset_keeps_where_each_rule_stands(tmp_path: Path) -> None:
    ruleset = load(HEAD + "rules:\n\n  - name: a\n    when: {role: bias}\n    decay: 0.5\n", tmp_path)
    assert ruleset.rules[0].location == "mine.yaml:7"
    assert ruleset.default_location == "mine.yaml:4"
    assert ruleset.rules[0].amount == Amount(times=0.5)


def test_a_path_is_shown_without_its_folders_unless_it_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(HEAD, tmp_path).file == "mine.yaml"
    monkeypatch.chdir(tmp_path.parent)
    assert rulesets.load(f"{tmp_path.name}/mine.yaml").file == f"{tmp_path.name}/mine.yaml"


def test_extends_puts_a_files_rules_before_those_of_the_other(tmp_path: Path) -> None:
    ruleset = load(
        """\
        schema: 1
        name: mine
        extends: no-norm-no-bias
        weight_decay: 0.3
        rules:
          - {name: embeddings, when: {role: embedding}, decay: false}
        """,
        tmp_path,
    )
    assert [rule.lenient for rule in ruleset.rules][:4] == [False, False, False, True]
    assert [rule.name for rule in ruleset.rules][:3] == ["embeddings", "biases", "norms"]
    assert [rule.location for rule in ruleset.rules][:2] == ["mine.yaml:6", "no-norm-no-bias.yaml:10"]
    assert (ruleset.weight_decay, ruleset.default, ruleset.preset) == (0.3, Amount(), False)
    assert ruleset.default_lenient
    assert ruleset.default_location == "no-norm-no-bias.yaml:47"


def test_a_coefficient_of_zero_is_not_a_missing_one(tmp_path: Path) -> None:
    text = "schema: 1\nname: mine\nextends: timm\nweight_decay: 0\n"
    assert load(text, tmp_path).weight_decay == 0.0


def test_extends_takes_a_file_beside_this_one(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(HEAD.replace("mine", "base") + "frozen: include\n", encoding="utf-8")
    assert load("schema: 1\nname: mine\nextends: base.yaml\n", tmp_path).frozen == "include"


def test_extends_in_a_circle_is_said_with_the_circle(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("schema: 1\nname: b\nextends: a.yaml\n", encoding="utf-8")
    found = mistakes("schema: 1\nname: a\nextends: b.yaml\n", tmp_path, "a.yaml")
    assert found == ["b.yaml:3: `extends` goes round in a circle: a.yaml -> b.yaml -> a.yaml"]


def test_mistakes_in_both_files_are_said_together(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("schema: 1\nname: b\nfrozen: x\n", encoding="utf-8")
    text = "schema: 1\nname: a\nextends: b.yaml\nnames: y\nextra: 1\n"
    found = mistakes(text, tmp_path, "a.yaml")
    assert [line.partition(" ")[0] for line in found] == ["4:", "5:"]
    found = mistakes("schema: 1\nname: a\nextends: b.yaml\n", tmp_path, "a.yaml")
    assert [line.partition(" ")[0] for line in found] == ["b.yaml:1:", "b.yaml:1:", "b.yaml:3:"]


def test_extends_of_nothing_says_what_is_near(tmp_path: Path) -> None:
    (only,) = mistakes("schema: 1\nname: a\nextends: tim\n", tmp_path)
    assert only.startswith("3: `extends`: no ruleset is called `tim`; did you mean `timm`?")


def test_a_rule_of_the_extended_ruleset_keeps_its_name(tmp_path: Path) -> None:
    text = "schema: 1\nname: a\nextends: timm\nrules: [{name: biases, when: {leaf: bias}, decay: true}]\n"
    assert mistakes(text, tmp_path) == ["4: timm, which this file extends, has a rule called `biases` already"]


def test_a_key_that_only_looks_right_is_said_with_its_letter(tmp_path: Path) -> None:
    (only,) = mistakes(HEAD + "rules: [{name: a, when: {n\u0430me: x}, decay: 1}]\n", tmp_path)
    said = "unknown key `n\u0430me` (with U+0430, CYRILLIC SMALL LETTER A) in `when`; did you mean `name`?"
    assert only == f"5: {said}"


def test_a_merge_key_is_said_to_be_none_of_this_yaml(tmp_path: Path) -> None:
    text = HEAD + "rules:\n  - &a {name: a, when: {role: bias}, decay: 1}\n  - {<<: *a, name: b}\n"
    assert "7: `<<` in an entry of `rules`: merge keys are not in YAML 1.2; write the keys out" in mistakes(
        text, tmp_path
    )


def test_an_example_that_comes_out_otherwise_is_a_mistake(tmp_path: Path) -> None:
    text = HEAD + "examples:\n  - {name: fc.bias, owner: torch.nn.Linear, shape: [3], decay: false, rule: biases}\n"
    assert mistakes(text, tmp_path) == [
        "6: the example fc.bias, a bias, gets weight_decay 0.1 by the rule `default`; it promises 0",
        "6: the example fc.bias, a bias, gets its answer from the rule `default`; it promises `biases`",
    ]


def test_an_example_may_promise_that_the_ruleset_refuses(tmp_path: Path) -> None:
    refusing = HEAD.replace("{decay: true}", "error") + "rules: [{name: a, when: {leaf: bias}, decay: false}]\n"
    refused = "examples: [{name: fc.weight, rule: error}]\n"
    (tmp_path / "mine.yaml").write_text(refusing + refused, encoding="utf-8")
    assert rulesets.validate(tmp_path / "mine.yaml").default is None
    assert mistakes(refusing + refused.replace("weight", "bias"), tmp_path) == [
        "6: the example fc.bias, a bias, gets its answer from the rule `a`; it promises `error`"
    ]
    called_error = HEAD + "rules: [{name: error, when: {leaf: bias}, decay: false}]\n"
    assert mistakes(called_error, tmp_path)[0].startswith("5: a rule cannot be called `error`")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("tim", "no ruleset is called `tim`", "did you mean `timm`?"),
        ("nothing-like-it", "no ruleset is called `nothing-like-it`", "`decay-audit rules list` lists them"),
        ("rules/tim.yaml", "no rules file rules/tim.yaml", "did you mean `rules/timm.yaml`?"),
        ("rules", "rules is a folder", "name a preset or one YAML file"),
        ("a\0b", "no ruleset is called `a\0b`", ""),
        ("x" * 5000, "no ruleset is called", ""),
    ],
)
def test_a_ruleset_that_is_not_there_says_what_is_near(name: str, message: str, hint: str) -> None:
    with pytest.raises(RulesError) as caught:
        rulesets.load(name)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
