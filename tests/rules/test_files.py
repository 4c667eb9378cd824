"""Reading rules files: what they mean, and every mistake at once with its line."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decay_audit import rulefile
from decay_audit.errors import RulesError
from decay_audit.rulefile.nodes import parse
from decay_audit.rules import Amount, RuleSet

HEAD = "schema: 1\nname: mine\nweight_decay: 0.1\ndefault: {decay: true}\n"


def mistakes(text: str, folder: Path, name: str = "mine.yaml") -> list[str]:
    """What is wrong with a rules file, line by line, without the file's name."""
    (folder / name).write_text(dedent(text), encoding="utf-8")
    with pytest.raises(RulesError) as caught:
        rulefile.validate(folder / name)
    return [line.removeprefix(f"{name}:") for line in caught.value.message.splitlines()]


def load(text: str, folder: Path) -> RuleSet:
    (folder / "mine.yaml").write_text(dedent(text), encoding="utf-8")
    return rulefile.load(str(folder / "mine.yaml"))


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
5: `frozen` is `maybe`, which is no word for it; accepted: skip, include
8: `(` is not a regular expression: missing ), unterminated subpattern at position 0
8: `ndim` is `=>2`; it must be a whole number or a comparison such as `>=2`
8: `role` is `norm_wieght`, which is no word for it; did you mean `norm_weight`?
8: unknown key `rol` in `when`; did you mean `role`?
9: `decay` is `no`; it must be true or false or a number
10: a rule is called `a` already, in line 7
10: both `decay` and `weight_decay`: give the multiple of the base, or the absolute coefficient
11: the condition is empty and would match everything; give it a key, or use `default`
12: `decay` is `.nan`, not a finite number
14: `any` is an empty list
14: an entry of `layer` is `lin`, which is no word for it; did you mean `linear`?
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
22: `default` is `first`, which is no word for it; accepted: last
22: `layer` asks for \\1, but its `when` has no `name_regex` to capture it
22: `layer` is `\\1 +`: it ends where a number is expected
22: `rate` is `.inf`, not a finite number
23: `ndim` is `1.5`; it must be a whole number or a comparison such as `>=2` or a list
"""


def test_every_mistake_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    assert mistakes(EVERYTHING_WRONG, tmp_path) == ALL_MISTAKES.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: the file is empty"),
        ("# nothing but a comment\n", "1: the file is empty"),
        ("- a\n", "1: the file must be a mapping of keys"),
        ("just words\n", "1: the file must be a mapping of keys"),
        ("a: [1\n", "2: not YAML: did not find expected ',' or ']', while parsing a flow sequence"),
        ("a:\n\t- b\n", "2: not YAML: found character that cannot start any token, while scanning for the next token"),
        ("a: \x01\n", "1: not YAML: the character '\\x01' is not allowed"),
        (HEAD + "---\na: 1\n", "5: a second document starts here; a rules file holds one"),
        ("a: !!python/object/apply:os.system [ls]\n", "1: the tag `tag:yaml.org,2002:python/object/apply:os.system`"),
        ("a: *b\n", "1: `*b` refers to no finished `&b`"),
        ("a: &a [*a]\n", "1: `*a` refers to no finished `&a`"),
        ("? [a]\n: 1\n", "1: a key is a list or a mapping; keys are words"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", "1: nested deeper than 32 levels"),
    ],
)
def test_what_is_no_rules_file_at_all_is_one_mistake(text: str, message: str, tmp_path: Path) -> None:
    (only,) = mistakes(text, tmp_path)
    assert only.startswith(message)


def test_an_alias_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    (only,) = mistakes("\n".join(lines), tmp_path)
    assert only == "5: unfolds to more than 20,000 values; no ruleset is as large"


def test_a_long_chain_of_aliases_is_too_deep_not_a_stack_overflow(tmp_path: Path) -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 9_000))
    (only,) = mistakes(text, tmp_path)
    assert "nested deeper than 32 levels" in only


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1", -1),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("null", None),
        ("~", None),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("'5'", "5"),
        ("=", "="),
    ],
)
def test_plain_words_follow_yaml_1_2(text: str, value: object) -> None:
    node = parse(f"a: {text}\n")
    assert node is not None
    read = node.get("a").value  # type: ignore[union-attr]
    assert (read, type(read)) == (value, type(value))


def test_a_scientific_coefficient_is_a_number(tmp_path: Path) -> None:
    assert load(HEAD.replace("0.1", "5e-4"), tmp_path).weight_decay == 5e-4


def test_a_ruleset_keeps_where_each_rule_stands(tmp_path: Path) -> None:
    ruleset = load(HEAD + "rules:\n\n  - name: a\n    when: {role: bias}\n    decay: 0.5\n", tmp_path)
    assert ruleset.rules[0].place == "mine.yaml:7"
    assert ruleset.default_place == "mine.yaml:4"
    assert ruleset.rules[0].amount == Amount(times=0.5)


def test_a_path_is_shown_without_its_folders_unless_it_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(HEAD, tmp_path).file == "mine.yaml"
    monkeypatch.chdir(tmp_path.parent)
    assert rulefile.load(f"{tmp_path.name}/mine.yaml").file == f"{tmp_path.name}/mine.yaml"


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
    assert [rule.name for rule in ruleset.rules] == ["embeddings", "biases", "norms"]
    assert [rule.place for rule in ruleset.rules][:2] == ["mine.yaml:6", "no-norm-no-bias.yaml:8"]
    assert (ruleset.weight_decay, ruleset.default, ruleset.preset) == (0.3, Amount(), False)
    assert ruleset.default_place == "no-norm-no-bias.yaml:14"


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


def test_an_example_that_comes_out_otherwise_is_a_mistake(tmp_path: Path) -> None:
    text = HEAD + "examples:\n  - {name: fc.bias, owner: torch.nn.Linear, shape: [3], decay: false, rule: biases}\n"
    assert mistakes(text, tmp_path) == [
        "6: the example fc.bias, a bias, gets weight_decay 0.1 by the rule `default`; it promises 0",
        "6: the example fc.bias, a bias, gets its answer from the rule `default`; it promises `biases`",
    ]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("tim", "no ruleset is called `tim`", "did you mean `timm`?"),
        ("nothing-like-it", "no ruleset is called `nothing-like-it`", "`decay-audit rules list` lists the presets"),
        ("rules/tim.yaml", "no rules file rules/tim.yaml", "did you mean `rules/timm.yaml`?"),
        ("rules", "rules is a folder", "name a preset or one YAML file"),
        ("a\0b", "no ruleset is called `a\0b`", ""),
        ("x" * 5000, "no ruleset is called", ""),
    ],
)
def test_a_ruleset_that_is_not_there_says_what_is_near(name: str, message: str, hint: str) -> None:
    with pytest.raises(RulesError) as caught:
        rulefile.load(name)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_text_that_is_not_utf_8_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(RulesError, match=r"not text in UTF-8: invalid start byte at byte 6"):
        rulefile.load(str(tmp_path / "mine.yaml"))


SCRAPS = st.sampled_from(
    [
        "a",
        "when",
        "rules",
        "decay",
        "name",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        "'",
        "&a",
        "*a",
        "1e999",
        "~",
        "?",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(SCRAPS, max_size=30).map("".join)))
def test_any_text_is_a_ruleset_or_a_list_of_mistakes(text: str) -> None:
    from decay_audit.rulefile import ruleset

    found, wrong = ruleset.assemble(ruleset.Text(text=HEAD + text, path=Path("mine.yaml"), shown="mine.yaml"), ())
    assert (found is None) == bool(wrong)
    assert all(mistake.line >= 1 and mistake.text for mistake in wrong)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda part: (
            st.lists(part, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["when", "name", "decay", "role", "any", "not", "ndim", "shape", "use", "times", "layer", "rate"]
                ),
                part,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(
        ["rules", "default", "examples", "lr_scale", "layer_decay", "optimizer", "weight_decay", "extends"]
    ),
)
def test_any_value_of_any_key_is_read_or_refused_with_a_line(value: object, key: str) -> None:
    from decay_audit.rulefile import ruleset

    text = f"schema: 1\nname: mine\n{key}: {json.dumps(value)}\n"
    found, wrong = ruleset.assemble(ruleset.Text(text=text, path=Path("mine.yaml"), shown="mine.yaml"), ())
    assert (found is None) == bool(wrong)
