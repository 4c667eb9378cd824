"""Rulesets: a YAML file becomes a RuleSet, and a RuleSet decides classified parameters.

The functions of this module read files and presets. From a file to a decision:

- `yaml/`: a rules file or a preset becomes a RuleSet; its mistakes, examples and JSON Schema
- `conditions`: what `when:` can ask, as types
- `ruleset`: RuleSet and its parts: rules, and entries of lr_scale, layer_decay and optimizer
- `matching/`: a condition becomes a function that answers True, False or None (unknown); finds the first that holds
- `layer_decay`: layer numbers and the learning-rate factors that follow from them; arithmetic computes the numbers
- `plan`: a RuleSet and classified parameters become a Plan, with one Decision for each parameter

Then, with plans:

- `diff`: rulesets compared with each other, and ranked by how well they reproduce an optimizer
- `explanation`: everything there is to say about one parameter
- `importing/`: other codebases' configurations become rules files
- `conformance`: an imported ruleset compared with what its codebase does
"""

from pathlib import Path
from typing import Any

from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.rulesets.yaml.preset_files import names as presets

__all__ = ["from_text", "load", "presets", "schema", "text", "validate"]


def load(name_or_path: str) -> RuleSet:
    """Read a preset by its name, or a rules file by its path.

    Raises:
        RulesError: there is no such ruleset, or it has mistakes; the message has one line for each, `file:line: ...`.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.load(name_or_path)


def text(name_or_path: str) -> str:
    """Read the text of a preset or of a file.

    Raises:
        RulesError: there is no such ruleset.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.find(name_or_path, Path()).text


def from_text(yaml: str, name: str) -> RuleSet:
    """Make a ruleset from YAML that is not in a file; paths in `extends` start from the working directory.

    Args:
        name: what messages and reports call the text.

    Raises:
        RulesError: it has mistakes; the message has all of them.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.from_text(yaml, name)


def validate(path: str | Path) -> RuleSet:
    """Read a rules file and check its examples.

    Raises:
        RulesError: it cannot be read, has mistakes, or an example gets another decision than it expects.
    """
    from decay_audit.rulesets.yaml import rules_file

    return rules_file.validate(str(path))


def schema() -> dict[str, Any]:
    """Make the JSON Schema of a rules file."""
    from decay_audit.rulesets.yaml import json_schema

    return json_schema.schema()
