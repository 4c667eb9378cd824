"""The positional arguments of the commands: a TARGET, and the name of a ruleset."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="model.py, model.py:NAME, pkg.mod:NAME, 'model.py:EXPRESSION', a checkpoint, or a folder of shards.",
        show_default=False,
    ),
]
OptionalTarget = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET",
        help="model.py, model.py:NAME or a checkpoint, as for `inspect`; by default, the audits in pyproject.toml.",
        show_default=False,
    ),
]


def complete_rules(incomplete: str) -> list[str]:
    """Complete the name of a preset in a shell."""
    from decay_audit import rulesets

    return [name for name in rulesets.presets() if name.startswith(incomplete)]


def complete_codes(incomplete: str) -> list[str]:
    """Complete the code of a finding."""
    from decay_audit.checks.codes import CODES

    return [code for code in CODES if code.startswith(incomplete.upper())]


def complete_roles(incomplete: str) -> list[str]:
    """Complete the name of a role, or of a family of roles."""
    from decay_audit.roles.words import FAMILIES, ROLES

    return [role for role in dict.fromkeys((*FAMILIES, *ROLES)) if role.startswith(incomplete)]


def complete_audits(incomplete: str) -> list[str]:
    """Complete the name or the target of an audit of pyproject.toml."""
    from decay_audit.cli import config

    return [name for audit in config.current().audits if (name := audit.name or audit.target).startswith(incomplete)]


COMPLETIONS: Mapping[str, Callable[[str], list[str]]] = {
    "rules": complete_rules,
    "select": complete_codes,
    "ignore": complete_codes,
    "role": complete_roles,
    "audit": complete_audits,
}
"""How a shell completes the value of an option, by the option's name."""

RulesetName = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A preset, or a YAML file.", autocompletion=complete_rules)
]
