"""`decay-audit check`: the verdict, of one target or of the audits in pyproject.toml."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import baseline, outputs, screen, settings
from decay_audit.cli.arguments import OptionalTarget
from decay_audit.cli.audits import Audit, AuditNames, Verdict, audits_of, choose, configured_exceptions, run_audit
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Format

if TYPE_CHECKING:
    from decay_audit.api import LoadedTarget, ScriptRecording
    from decay_audit.reports import Options
    from decay_audit.reports.report import Report


class BrokenAudit(Struct, frozen=True, kw_only=True):
    """An audit that could not be run, and the error."""

    label: str
    error: DecayAuditError


AuditResult = Verdict | BrokenAudit


def check(
    context: typer.Context,
    target: OptionalTarget = None,
    *,
    options: AuditOptions,
    audit: AuditNames = (),
    exit_zero: Annotated[bool, Option("Findings", "Exit with 0 even if there are findings.")] = False,
    show_exceptions: Annotated[
        bool, Option("Findings", "List the findings that have an exception in pyproject.toml, with the reasons.")
    ] = False,
    write_baseline: Annotated[
        bool, Option("Findings", "Add an exception to pyproject.toml for each finding that fails now.")
    ] = False,
    show_settings: Annotated[
        bool, Option("Findings", "Print each option of each audit and where it comes from, and check nothing.")
    ] = False,
    output: OutputOptions,
) -> None:
    """Compare what an optimizer does with the ruleset, for CI.

    The exit code is 1 if a finding is as severe as --fail-on. Without a target, the audits in pyproject.toml are run.
    """
    with outputs.error_document(target or "", output), screen.progress(output) as progress:
        audits = choose(audits_of(context, target, options, progress), audit)
        if show_settings:
            screen.write(settings.show(audits))
            return
        results = _run_all(audits, one_target=target is not None)
    if write_baseline:
        baseline.write([result for result in results if isinstance(result, Verdict)], output)
        results = _run_all(audits, one_target=target is not None)
    results = _with_exceptions_checked(results, every_audit=not (target or audit))
    outputs.write(partial(_document, results, joined=target is None, show_excepted=show_exceptions), output)
    broken = [result for result in results if isinstance(result, BrokenAudit)]
    for result in broken:
        screen.print_error(f"{result.label}: {result.error.message}", result.error.hint, output.color)
    for line in _notes_and_verdicts(results):
        screen.print_message(line, quiet=output.quiet)
    if broken:
        raise typer.Exit(2)
    if not exit_zero and any(result.fails for result in results if isinstance(result, Verdict)):
        raise typer.Exit(1)


def _document(
    results: Sequence[AuditResult], form: Format, options: "Options", *, joined: bool, show_excepted: bool
) -> str:
    """Render the reports of the audits that were run.

    Args:
        joined: whether the document is for a list of reports, even if the list has only one.
    """
    from decay_audit import reports

    options = replace(options, titled=len(results) > 1, show_excepted=show_excepted)
    if form is Format.HTML:
        return _page(results, options)
    texts = [
        reports.render_findings(result.report, form, _with_locations(options, form, result))
        if isinstance(result, Verdict)
        else reports.render_error(result.label, result.error, form)
        for result in results
    ]
    return reports.join([text for text in texts if text], form) if joined else texts[0]


def _page(results: Sequence[AuditResult], options: "Options") -> str:
    """Render the reports of all audits as one page, which also names the audits that could not be run."""
    from decay_audit import api, reports

    verdicts = [result for result in results if isinstance(result, Verdict)]
    broken = [(result.label, result.error.message) for result in results if isinstance(result, BrokenAudit)]
    parts = [api.page_parts(verdict.report, verdict.loaded) for verdict in verdicts]
    page_options = [replace(options, page=page) for page in parts]
    return reports.render_page([verdict.report for verdict in verdicts], page_options, broken)


def _with_locations(options: "Options", form: Format, verdict: Verdict) -> "Options":
    """Add the locations in the repository for a format that shows them."""
    from decay_audit.cli import locations

    if form not in locations.LOCATED_FORMATS:
        return options
    sources = locations.find_locations(verdict.audit.request, verdict.report, verdict.loaded)
    return replace(options, locations=sources)


def _run_all(audits: Sequence[Audit], *, one_target: bool) -> list[AuditResult]:
    """Run all audits, also if one of them cannot be run. Audits of the same model and optimizer share what is built.

    Audits of the same script share one run of it.

    Raises:
        DecayAuditError: the target of the command line cannot be audited.
    """
    loaded: dict[object, LoadedTarget | ScriptRecording] = {}
    results: list[AuditResult] = []
    for audit in audits:
        try:
            results += _run(audit, loaded)
        except DecayAuditError as error:
            if one_target:
                raise
            results.append(BrokenAudit(label=audit.label, error=error))
    return results


def _run(audit: Audit, loaded: "dict[object, LoadedTarget | ScriptRecording]") -> list[Verdict]:
    from decay_audit import api

    key = api.recording_key(audit.script, audit.request) if audit.script else api.loading_key(audit.request)
    if key not in loaded:
        loaded[key] = api.record_script(audit.script, audit.request) if audit.script else api.load(audit.request)
    value = loaded[key]
    built = value if isinstance(value, api.LoadedTarget) else None
    return [_verdict(audit, report, built) for report in run_audit(audit, value)]


def _verdict(audit: Audit, report: "Report", loaded: "LoadedTarget | None") -> Verdict:
    """Make the verdict of an audit, without the findings that pyproject.toml accepts."""
    from decay_audit.checks import exceptions, selected_codes

    names = (audit.request.target, audit.name, audit.title, report.inventory.target)
    filtered = exceptions.apply_exceptions(report.findings, configured_exceptions(), names, date.today())
    report = replace(report, findings=filtered.counting, excepted=filtered.excepted)
    covered = filtered.covered
    if audit.title:
        target = f"{report.inventory.target} ({audit.title})"
        report = replace(report, inventory=replace(report.inventory, target=target))
    fails = selected_codes.has_failure(report.findings, audit.request.fail_on)
    return Verdict(report=report, fails=fails, loaded=loaded, audit=audit, covered=covered)


def _with_exceptions_checked(results: list[AuditResult], *, every_audit: bool) -> list[AuditResult]:
    """Add findings about the exceptions themselves to the first report.

    Args:
        every_audit: whether no audit was left out. If some were, an exception that covers nothing may be for them.
    """
    from decay_audit.checks import exceptions, in_order, selected_codes

    index = next((index for index, result in enumerate(results) if isinstance(result, Verdict)), None)
    declared_exceptions = configured_exceptions()
    if index is None or not declared_exceptions:
        return results
    verdicts = [result for result in results if isinstance(result, Verdict)]
    findings = exceptions.check_exceptions(declared_exceptions, [verdict.covered for verdict in verdicts], date.today())
    first, is_complete = verdicts[0], every_audit and len(verdicts) == len(results)
    request = first.audit.request
    codes = selected_codes.select_codes(request.select, request.ignore) - ({"DA704"} if not is_complete else set())
    findings_in_order = in_order([*first.report.findings, *(finding for finding in findings if finding.code in codes)])
    fails = selected_codes.has_failure(findings_in_order, request.fail_on)
    results[index] = replace(first, report=replace(first.report, findings=findings_in_order), fails=fails)
    return results


def _notes_and_verdicts(results: Sequence[AuditResult]) -> Iterator[str]:
    """Write the lines for standard error: the notes, a verdict for each audit, and the total of several."""
    from decay_audit import reports

    verdicts = [result for result in results if isinstance(result, Verdict)]
    for verdict in verdicts:
        prefix = f"{verdict.report.inventory.target}: " if len(results) > 1 else ""
        yield from (f"note: {prefix}{note}" for note in reports.notes(verdict.report))
    yield from screen.verdict_lines([_line(result) for result in results])
    if len(results) > 1:
        failed = sum(verdict.fails for verdict in verdicts)
        counts = {"ok": len(verdicts) - failed, "failed": failed, "could not be run": len(results) - len(verdicts)}
        yield f"{len(results)} audits: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}"


def _line(result: AuditResult) -> tuple[str, str, str]:
    """Write the verdict of an audit: a word, the target, and the counts of its findings."""
    from decay_audit import reports

    if isinstance(result, BrokenAudit):
        return "ERROR", result.label, result.error.message.partition("\n")[0]
    return "FAIL" if result.fails else "ok", result.report.inventory.target, reports.verdict(result.report)
