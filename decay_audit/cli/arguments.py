"""The positional arguments of the commands: a TARGET, and the name of a ruleset."""

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
        help="As for `inspect`; without it, the audits in pyproject.toml are run.",
        show_default=False,
    ),
]


def complete_rules(incomplete: str) -> list[str]:
    """Complete the name of a preset in a shell."""
    from decay_audit import rulesets

    return [name for name in rulesets.presets() if name.startswith(incomplete)]


RulesetName = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A preset, or a YAML file.", autocompletion=complete_rules)
]
