"""What any text at all becomes: YAML 1.2, bounded, and every refusal with its line."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, strategies as st

from decay_audit import rulesets
from decay_audit.errors import RulesError
from decay_audit.rulesets.yaml.nodes import parse
from tests.rulesets.rules_files import HEAD, load, mistakes


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
        ("a: *b\n", "1: not YAML: found undefined alias"),
        ("a: &a [*a]\n", "1: nested deeper than 32 levels"),
        ("? [a]\n: 1\n", "1: a key is a list or a mapping; keys are words"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", "1: nested deeper than 32 levels"),
        ("a: " + "[" * 900_000 + "\n", "1: nested deeper than 32 levels"),
        ("a: !!str 5\n", "1: the tag `tag:yaml.org,2002:str` is not accepted; write the value without it"),
    ],
)
def test_what_is_no_rules_file_at_all_is_one_mistake(text: str, message: str, tmp_path: Path) -> None:
    (only,) = mistakes(text, tmp_path)
    assert only.startswith(message)


def test_an_alias_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    (only,) = mistakes("\n".join(lines), tmp_path)
    assert only == "1: more than 20,000 values, with aliases written out; no ruleset is as large"


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


def test_text_that_is_not_utf_8_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(RulesError, match=r"not text in UTF-8: invalid start byte at byte 6"):
        rulesets.load(str(tmp_path / "mine.yaml"))


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


SCHEMA = jsonschema.Draft202012Validator(rulesets.schema())
EXTENDS = st.sampled_from(["", "extends: no-norm-no-bias\n"])


@given(st.one_of(st.text(max_size=60), st.lists(SCRAPS, max_size=30).map("".join)), EXTENDS)
def test_any_text_is_a_ruleset_or_a_list_of_mistakes(text: str, extends: str) -> None:
    from decay_audit.rulesets.yaml import rules_file as ruleset

    found, wrong = ruleset.assemble(
        ruleset.RulesText(text=HEAD + extends + text, path=Path("mine.yaml"), label="mine.yaml"), ()
    )
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
    EXTENDS,
)
def test_any_value_of_any_key_is_read_or_refused_with_a_line(value: object, key: str, extends: str) -> None:
    from decay_audit.rulesets.yaml import rules_file as ruleset

    text = f"schema: 1\nname: mine\n{extends}{key}: {json.dumps(value)}\n"
    found, wrong = ruleset.assemble(ruleset.RulesText(text=text, path=Path("mine.yaml"), label="mine.yaml"), ())
    assert (found is None) == bool(wrong)
    if found is not None:
        assert SCHEMA.is_valid({**yaml.safe_load(text), key: value}), "the JSON Schema refuses what the reader reads"
