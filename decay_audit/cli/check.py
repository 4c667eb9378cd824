"""`decay-audit check`: the verdict."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen
from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from decay_audit.report import Report

JUDGING = frozenset({"select", "ignore", "fail_on"})
"""Options about the verdict; the others are about what is read and decided."""


def check(
    context: typer.Context,
    target: o.OptionalTarget = None,
    rules: o.Rules = o.DEFAULT_RULES,
    weight_decay: o.WeightDecay = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    model: o.ModelOption = None,
    trace: o.Trace = None,
    optimizer: o.Optimizer = None,
    measure: o.Measure = False,
    checkpoint: o.Checkpoint = None,
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
    """Compare the plan, and what the optimizer does, with the ruleset: exit 1 if they differ.

    Without a target, the audits that pyproject.toml lists are run.
    """
    from decay_audit import reports

    reading = {"device": device.value, "key": key, "model": model, "trace": trace}
    observing = {"optimizer": optimizer, "measure": measure, "checkpoint": checkpoint}
    judging = {"select": select or (), "ignore": ignore or (), "fail_on": fail_on.value}
    given = {"rules": rules, "weight_decay": weight_decay, **reading, **observing, **judging}
    said = {name: given[name] for name in given if _is_said(context, name)}
    audits = [{**given, "target": target}] if target else [{**given, **audit, **said} for audit in _configured()]
    found = [_audit(audit, quiet=quiet) for audit in audits]
    several = len(found) > 1
    look = partial(screen.look, output, color, full=full, verbose=verbose, titled=several)
    texts = [reports.check(report, format.value, look(artifact=file)) for report, _, file in found]
    screen.write(reports.join(texts, format.value), output)
    for report, _, _ in found:
        for note in reports.notes(report):
            screen.say("note: " + (f"{report.inventory.target}: " if several else "") + note, quiet=quiet)
    for report, _, _ in found:
        screen.say((f"{report.inventory.target}: " if several else "") + reports.verdict(report), quiet=quiet)
    if not exit_zero and any(fails for _, fails, _ in found):
        raise typer.Exit(1)


def _is_said(context: typer.Context, option: str) -> bool:
    """Whether an option is on the command line, which beats what an audit says."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _configured() -> list[dict[str, Any]]:
    """Options of each audit in the nearest pyproject.toml.

    Raises:
        DecayAuditError: there is none: no input is a failure, not a pass.
    """
    from decay_audit.cli import config

    file = config.find(Path.cwd())
    audits = config.load(file).audits if file else ()
    if not audits:
        raise DecayAuditError(
            "nothing to check: no TARGET, and no [[tool.decay-audit.audits]] in a pyproject.toml here or above",
            "decay-audit check model.py",
        )
    return [{"target": audit.target, **config.values(audit)} for audit in audits]


def _audit(options: Mapping[str, Any], *, quiet: bool) -> "tuple[Report, bool, str]":
    """Run one audit: its report, whether it fails, and the file that it is about."""
    from decay_audit import api
    from decay_audit.checks import selection

    asked = {name: value for name, value in options.items() if name not in JUDGING}
    codes = selection.chosen(options["select"], options["ignore"])
    with screen.progress(quiet=quiet) as progress:
        request = api.Request(**asked, progress=progress)
        report = api.with_codes(api.report(api.load(request), request), codes)
    return report, selection.fails(report.findings, options["fail_on"]), api.file_of(request.target)
