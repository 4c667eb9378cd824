"""Writing rules files for tests, and what is said of them."""

from pathlib import Path
from textwrap import dedent

import pytest

from decay_audit import rulesets
from decay_audit.errors import RulesError
from decay_audit.rulesets.ruleset import RuleSet

HEAD = "schema: 1\nname: mine\nweight_decay: 0.1\ndefault: {decay: true}\n"


def mistakes(text: str, folder: Path, name: str = "mine.yaml") -> list[str]:
    """What is wrong with a rules file, line by line, without the file's name."""
    (folder / name).write_text(dedent(text), encoding="utf-8")
    with pytest.raises(RulesError) as caught:
        rulesets.validate(folder / name)
    return [line.removeprefix(f"{name}:") for line in caught.value.message.splitlines()]


def load(text: str, folder: Path) -> RuleSet:
    (folder / "mine.yaml").write_text(dedent(text), encoding="utf-8")
    return rulesets.load(str(folder / "mine.yaml"))
