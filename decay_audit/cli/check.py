"""`decay-audit check`: the verdict."""

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen


def check(
    target: o.Target,
    rules: o.Rules = o.DEFAULT_RULES,
    weight_decay: o.WeightDecay = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    select: o.Select = None,
    ignore: o.Ignore = None,
    fail_on: o.FailOnOption = o.FailOn.error,
    exit_zero: o.ExitZero = False,
    full: o.Full = False,
    format: o.FormatOption = o.Format.text,  # noqa: A002
    output: o.Output = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Compare the plan, and what the optimizer does, with the ruleset: exit 1 if they differ."""
    from decay_audit import api, reports
    from decay_audit.checks import selection

    chosen = selection.chosen(select or (), ignore or ())
    with screen.progress(quiet=quiet) as progress:
        loaded = api.load(target, api.Reading(device=device.value, key=key, progress=progress))
        report = api.with_codes(api.report(loaded, rules, weight_decay), chosen)
    look = screen.look(output, color, full=full, verbose=verbose)
    text = reports.findings(report, look) if format is o.Format.text else reports.render(report, format.value, look)
    screen.write(text, output)
    screen.say(reports.verdict(report), quiet=quiet)
    if not exit_zero and selection.fails(report.findings, fail_on.value):
        raise typer.Exit(1)
