"""`decay-audit check`: the verdict, of one target or of the audits in pyproject.toml."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.arguments import OptionalTarget
from decay_audit.cli.audits import Audit, audits_of

if TYPE_CHECKING:
    from decay_audit.reports.report import Report


class Verdict(Struct, frozen=True, kw_only=True):
    """What an audit found, whether it fails, and the path of the target's file."""

    report: "Report"
    fails: bool
    artifact: str


def check(
    context: typer.Context,
    target: OptionalTarget = None,
    *,
    options: AuditOptions,
    exit_zero: Annotated[bool, Option("Findings", "Exit with 0 even if there are findings.")] = False,
    output: OutputOptions,
) -> None:
    """Compare what an optimizer does with the ruleset, for CI.

    The exit code is 1 if they differ. Without a target, the audits in pyproject.toml are run.
    """
    from decay_audit import reports

    with screen.progress(output) as progress:
        verdicts = [_run(audit) for audit in audits_of(context, target, options, progress)]
    several = len(verdicts) > 1
    texts = [
        reports.render_findings(
            verdict.report,
            output.format,
            screen.report_options(output, titled=several, artifact=verdict.artifact),
        )
        for verdict in verdicts
    ]
    screen.write(texts[0] if target else reports.join(texts, output.format), output.output)
    for line in _notes_and_verdicts(verdicts):
        screen.print_message(line, quiet=output.quiet)
    if not exit_zero and any(verdict.fails for verdict in verdicts):
        raise typer.Exit(1)


def _run(audit: Audit) -> Verdict:
    from decay_audit import api
    from decay_audit.checks import selected_codes

    report = api.run(audit.request)
    if audit.title:
        target = f"{report.inventory.target} ({audit.title})"
        report = replace(report, inventory=replace(report.inventory, target=target))
    fails = selected_codes.has_failure(report.findings, audit.request.fail_on)
    return Verdict(report=report, fails=fails, artifact=api.file_of(audit.request.target))


def _notes_and_verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Write the lines for standard error: first all notes, then the verdicts; the target in front if there are more."""
    from decay_audit import reports

    prefixes = [f"{verdict.report.inventory.target}: " if len(verdicts) > 1 else "" for verdict in verdicts]
    for prefix, verdict in zip(prefixes, verdicts, strict=True):
        yield from (f"note: {prefix}{note}" for note in reports.notes(verdict.report))
    for prefix, verdict in zip(prefixes, verdicts, strict=True):
        yield prefix + reports.verdict(verdict.report)
