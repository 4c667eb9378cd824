"""`decay-audit check`: the verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen
from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from decay_audit.report import Report


def check(
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

    Without a target, the audits of [tool.decay-audit] in pyproject.toml are run.
    """
    from decay_audit import reports
    from decay_audit.checks import selection

    given = {
        "rules": rules,
        "weight_decay": weight_decay,
        "device": device.value,
        "key": key,
        "model": model,
        "trace": trace,
        "optimizer": optimizer,
        "measure": measure,
        "checkpoint": checkpoint,
    }
    audits = [{**given, "target": target}] if target else [{**given, **audit} for audit in _configured()]
    codes = selection.chosen(select or (), ignore or ())
    found = [_audit(audit, codes, quiet=quiet) for audit in audits]
    look = screen.look(output, color, full=full, verbose=verbose)
    texts = [reports.check(report, format.value, look) for report in found]
    screen.write(reports.join(texts, format.value), output)
    for report in found:
        screen.say(reports.verdict(report), quiet=quiet)
    if not exit_zero and any(selection.fails(report.findings, fail_on.value) for report in found):
        raise typer.Exit(1)


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


def _audit(options: dict[str, Any], codes: frozenset[str], *, quiet: bool) -> "Report":
    from decay_audit import api

    with screen.progress(quiet=quiet) as progress:
        request = api.Request(**options, progress=progress)
        return api.with_codes(api.report(api.load(request), request), codes)
