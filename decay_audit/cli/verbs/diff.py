"""`decay-audit diff`: rulesets side by side."""

from typing import Annotated

import typer

from decay_audit.cli import options as o, screen
from decay_audit.errors import DecayAuditError

Several = Annotated[
    list[str] | None,
    typer.Option(
        "--rules",
        "-r",
        metavar="NAME|FILE",
        help="A ruleset to compare; give it twice or more.",
        rich_help_panel=o.DECIDING,
        autocompletion=o.complete_rules,
        show_default=False,
    ),
]


def diff(
    target: o.Target,
    *,
    rules: Several = None,
    weight_decay: o.WeightDecay = None,
    reading: o.Reading,
    formatting: o.ComparisonFormatting,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Show which parameters rulesets treat differently, and why."""
    from decay_audit import api, reports

    if len(rules or ()) < 2:
        raise DecayAuditError(
            "diff compares two rulesets or more",
            f"decay-audit diff {target} --rules {(rules or ['timm'])[0]} --rules hf-trainer",
        )
    with screen.progress(saying) as progress:
        loaded = api.load(o.request(target, reading, progress=progress))
        comparison = api.compare(loaded, rules or (), weight_decay)
    look = screen.look(saying, output, full=formatting.full)
    screen.write(reports.render_comparison(comparison, loaded.inventory.target, formatting.format.value, look), output)
