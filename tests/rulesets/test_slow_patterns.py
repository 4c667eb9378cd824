"""A pattern that backtracks for ever is stopped, and its rule is named; `validate` says so before it is used."""

from pathlib import Path
from time import process_time

import pytest
from typer.testing import CliRunner

from decay_audit import rulesets
from decay_audit.cli import app
from decay_audit.errors import RulesError
from decay_audit.rulesets.matching.patterns import is_slow
from decay_audit.rulesets.plan import decide
from decay_audit.rulesets.yaml import preset_files
from tests.rulesets.test_matching_index import classified

NAME = "a" * 60 + "-"
RULES = """
schema: 1
name: ours
weight_decay: 0.1
rules:
  - {{name: words, when: {{name_regex: '{pattern}'}}, decay: false}}
default: {{decay: true}}
"""


@pytest.mark.parametrize("pattern", [r"^(\w+)+$", r"(a|a)*b"])
def test_a_rule_that_backtracks_for_ever_is_stopped_and_named(pattern: str) -> None:
    ruleset = rulesets.from_text(RULES.format(pattern=pattern), "ours.yaml")
    start = process_time()
    with pytest.raises(RulesError, match=r"rule words: the pattern .* takes more than 2 seconds, e.g. for the name"):
        decide(classified([NAME]), ruleset)
    assert process_time() - start < 10


@pytest.mark.parametrize(
    ("pattern", "slow"),
    [
        (r"^(\w+)+$", True),
        (r"(a|a)*b", True),
        (r"(x+x+)+y", True),
        (r"(?:\w+\.?)*$", True),
        (r".*.*.*x", True),
        (r"^(?:\w+\.)+weight$", False),
        (r"^blocks\.(\d+)\.(?:attn|mlp)\.(\w+)$", False),
        (r".*attn.*weight", False),
        (r"(?:norm|bias)", False),
    ],
)
def test_validate_names_a_pattern_that_may_search_for_ever(pattern: str, slow: bool, tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(RULES.format(pattern=pattern))
    result = CliRunner().invoke(app, ["rules", "validate", str(path)])
    assert result.exit_code == (2 if slow else 0)
    assert ("may search a long name for seconds or for ever" in result.stderr) is slow


def test_no_preset_has_a_slow_pattern() -> None:
    patterns = [
        pattern
        for name in preset_files.names()
        for rule in rulesets.load(name).rules
        for value in (rule.when.name_regex, rule.when.leaf_regex, rule.when.owner_class)
        for pattern in ((value,) if isinstance(value, str) else value or ())
    ]
    assert patterns
    assert not [pattern for pattern in patterns if is_slow(pattern)]
