"""`decay-audit diff`: rulesets side by side."""

from typing import Annotated

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen
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
    rules: Several = None,
    weight_decay: o.WeightDecay = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    model: o.ModelOption = None,
    trace: o.Trace = None,
    full: o.Full = False,
    format: o.FormatOption = o.Format.text,  # noqa: A002
    output: o.Output = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Show which parameters rulesets treat differently, and by which rules (exit 0)."""
    from decay_audit import api, reports

    if len(rules or ()) < 2:
        raise DecayAuditError(
            "diff compares two rulesets or more",
            f"decay-audit diff {target} --rules {(rules or ['timm'])[0]} --rules hf-trainer",
        )
    with screen.progress(quiet=quiet) as progress:
        request = api.Request(
            target=target,
            weight_decay=weight_decay,
            device=device.value,
            key=key,
            model=model,
            trace=trace,
            progress=progress,
        )
        loaded = api.load(request)
        comparison = api.compare(loaded, rules or (), weight_decay)
    look = screen.look(output, color, full=full, verbose=verbose)
    screen.write(reports.comparison(comparison, loaded.inventory.target, format.value, look), output)
