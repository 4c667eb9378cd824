"""`decay-audit diff`: rulesets side by side."""

from typing import Annotated

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.arguments import Target
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import ComparisonFormat

Rulesets = Annotated[
    tuple[str, ...],
    Option("Ruleset", "A ruleset to compare; give at least two.", metavar="NAME|FILE", short="-r"),
]
OutputFormat = Annotated[ComparisonFormat, Option("Output", "The format of the comparison.", short="-f")]


def diff(
    target: Target,
    *,
    rules: Rulesets = (),
    options: Annotated[AuditOptions, takes("Model", names=("weight_decay",))],
    format: OutputFormat = "text",  # noqa: A002
    output: Annotated[OutputOptions, takes(names=("full", "output", "color", "quiet", "verbose"))],
) -> None:
    """Show which parameters rulesets treat differently, and why."""
    from decay_audit import api, reports

    if len(rules) < 2:
        raise DecayAuditError(
            "diff compares two or more rulesets",
            f"decay-audit diff {target} --rules {(rules or ('timm',))[0]} --rules hf-trainer",
        )
    with screen.progress(output) as progress:
        loaded = api.load(api.request_for(target, options, progress))
        comparison = api.compare(loaded, rules, options.weight_decay)
    text = reports.render_comparison(comparison, loaded.inventory.target, format, screen.report_options(output))
    screen.write(text, output.output)
