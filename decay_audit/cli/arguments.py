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


def complete_target_or_code(incomplete: str) -> list[str]:
    """Complete a code where one was begun; else the shell completes files."""
    return complete_codes(incomplete) if incomplete else []


def complete_roles(incomplete: str) -> list[str]:
    """Complete the name of a role, or of a family of roles."""
    from decay_audit.roles.words import FAMILIES, ROLES

    return [role for role in dict.fromkeys((*FAMILIES, *ROLES)) if role.startswith(incomplete)]


def complete_audits(incomplete: str) -> list[str]:
    """Complete the name or the target of an audit of pyproject.toml."""
    from decay_audit.cli import config

    return [name for audit in config.current().audits if (name := audit.name or audit.target).startswith(incomplete)]


def complete_optimizer_classes(incomplete: str) -> list[str]:
    """Complete the name of a class of torch.optim that has weight decay."""
    from decay_audit.optimizers.table.classes import CLASSES

    names = sorted(name for name, facts in CLASSES["torch"].items() if facts.form not in ("none", "delegated"))
    return [name for name in names if name.startswith(incomplete)]


def complete_codebases(incomplete: str) -> list[str]:
    """Complete the name of a codebase whose configuration can be imported."""
    from decay_audit.rulesets.importing import SOURCES

    return [name for name in SOURCES if name.startswith(incomplete)]


COMPLETIONS: Mapping[str, Callable[[str], list[str]]] = {
    "rules": complete_rules,
    "select": complete_codes,
    "ignore": complete_codes,
    "role": complete_roles,
    "audit": complete_audits,
    "CLASS": complete_optimizer_classes,
    "CODEBASE": complete_codebases,
}
"""How a shell completes the value of an option, by the option's name, or by the placeholder for its value."""

RulesetName = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A preset, or a YAML file.", autocompletion=complete_rules)
]
