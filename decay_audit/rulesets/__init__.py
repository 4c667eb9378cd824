"""Rules files and presets: a name or a path becomes a RuleSet. Knows YAML and no model, format or terminal."""

from pathlib import Path
from typing import Any

from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.rulesets.yaml.preset_files import names as presets

__all__ = ["from_text", "load", "presets", "schema", "text", "validate"]


def load(name_or_path: str) -> RuleSet:
    """Read a preset by its name, or a rules file by its path.

    Raises:
        RulesError: there is none, or it has mistakes; the message has all of them, one a line, as `file:line: ...`.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.load(name_or_path)


def text(name_or_path: str) -> str:
    """Read the YAML of a preset or of a file.

    Raises:
        RulesError: there is none.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.find(name_or_path, Path()).text


def from_text(written: str, shown: str) -> RuleSet:
    """Make a ruleset from YAML that is in no file; `extends` counts paths from the working directory.

    Args:
        shown: what messages and reports call it.

    Raises:
        RulesError: it has mistakes; the message has all of them.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.from_text(written, shown)


def validate(path: str | Path) -> RuleSet:
    """Read a rules file and decide its examples.

    Raises:
        RulesError: it cannot be read, has mistakes, or an example comes out otherwise than it promises.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.validate(str(path))


def schema() -> dict[str, Any]:
    """Make the JSON Schema of a rules file."""
    from decay_audit.rulesets.yaml.json_schema import schema as made

    return made()
