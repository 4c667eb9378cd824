"""`decay-audit lock`: write the decisions on a model to a file, show what changes in it, or check that nothing does."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.arguments import OptionalTarget
from decay_audit.cli.audits import Audit, AuditNames, audits_of, choose, run_audit
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError
from decay_audit.text import first_few

if TYPE_CHECKING:
    from decay_audit.reports.report import Report

LockFile = Annotated[
    Path | None, Option("Output", "The lock file; without it, decay.lock.", metavar="FILE", short="-o")
]
CheckOnly = Annotated[
    bool, Option("Output", "Write nothing; show what would change, and exit with 1 if anything would.")
]
ShowChanges = Annotated[bool, Option("Output", "Show what changes in the lock, then write it.")]


class LockResult(Struct, frozen=True, kw_only=True):
    """The result for one lock.

    Attributes:
        report: the report; its findings are the differences from the old lock.
        text: the text of the new lock.
        stale: whether the new lock differs from the old one; True if they were not compared.
    """

    path: Path
    report: "Report"
    text: str
    stale: bool


def lock(
    context: typer.Context,
    target: OptionalTarget = None,
    *,
    check: CheckOnly = False,
    update: ShowChanges = False,
    audit: AuditNames = (),
    options: Annotated[AuditOptions, takes("Ruleset", "Model", "Optimizer")],
    output: LockFile = None,
    messages: Annotated[OutputOptions, takes(names=("full", "color", "quiet", "verbose"))],
) -> None:
    """Write what is decided for each parameter to a file. `check --lock` reports what differs from it.

    With an optimizer, the file also holds what the optimizer does. Without a target, the locks that the audits in
    pyproject.toml name are written.
    """
    from decay_audit import files, reports

    if check and update:
        raise DecayAuditError("--check writes nothing, and --update writes", "give one of them")
    with screen.progress(messages) as progress:
        audits = _with_locks(choose(audits_of(context, target, options, progress), audit), output, target)
        results = [_lock(selected, compare=check or update) for selected in audits]
    print_options = screen.report_options(messages, titled=len(results) > 1)
    for result in results:
        if check or update:
            screen.write(reports.render_findings(result.report, options=print_options))
        if not check:
            with files.atomic_write(result.path) as path:
                path.write_text(result.text, encoding="utf-8", newline="\n")
        screen.print_message(_message(result, check=check), quiet=messages.quiet)
    if check and any(result.stale for result in results):
        raise typer.Exit(1)


def _with_locks(audits: list[Audit], output: Path | None, target: str | None) -> list[Audit]:
    """Choose the audits whose locks are written; the request of each has the path of its lock."""
    from decay_audit.api import locking

    if target:
        path = str(output or locking.DEFAULT_LOCK)
        return [Audit(request=replace(audit.request, lock=path)) for audit in audits]
    with_lock = [audit for audit in audits if audit.request.lock is not None]
    if not with_lock:
        raise DecayAuditError("no audit in pyproject.toml names a lock", 'give an audit one: lock = "decay.lock"')
    if output is not None:
        raise DecayAuditError("--output needs a TARGET", "the audits in pyproject.toml name their own locks")
    counts = Counter(audit.request.lock for audit in with_lock)
    if shared := [path for path, count in counts.items() if count > 1]:
        raise DecayAuditError(f"several audits name the lock {shared[0]}", "give each audit a lock of its own")
    return with_lock


def _lock(audit: Audit, *, compare: bool) -> LockResult:
    from decay_audit.api import locking

    path = Path(audit.request.lock or locking.DEFAULT_LOCK)
    makes_optimizer = audit.request.optimizer or (audit.label if audit.script else None)
    locking.refuse_to_lose(path, replace(audit.request, optimizer=makes_optimizer))
    reports = run_audit(replace(audit, request=replace(audit.request, lock=None)))
    if len(reports) > 1:
        names = [report.inventory.target.partition(":")[2] for report in reports]
        raise DecayAuditError(
            f"{audit.label} trains {len(names)} models, and a lock holds one",
            f"give each an audit with a lock, and with a target: {first_few(names, 8)}",
        )
    (report,) = reports
    new = locking.make_lock(report)
    if not compare:
        return LockResult(path=path, report=report, text=locking.text(new), stale=True)
    if not path.exists():
        raise DecayAuditError(f"no such lock: {path}", "without --check and --update, `decay-audit lock` writes it")
    old = locking.read(path)
    changes = locking.compare(replace(report, findings=()), old, audit.request)
    findings = tuple(replace(finding, fix="") for finding in changes.findings)  # the fix would be this command
    report = replace(changes, findings=findings)
    return LockResult(path=path, report=report, text=locking.text(new), stale=locking.is_stale(old, new))


def _message(result: LockResult, *, check: bool) -> str:
    from decay_audit.text import count_noun

    parameters = count_noun(len(result.report.plan.decisions), "parameter")
    if not result.stale:
        return f"{result.path} is up to date: {parameters}"
    if check:
        return f"{result.path} is out of date; the same command with --update in place of --check rewrites it"
    return f"wrote {result.path}: {parameters}"
