"""The header above a terminal report of a model, and the totals, notes and findings below it."""

from collections.abc import Iterator, Sequence

from decay_audit.checks.codes import Finding
from decay_audit.reports import totals
from decay_audit.reports.document.over_run_text import group_texts, run_text
from decay_audit.reports.findings.summary import location, notes, parameter_names
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import Style, paint
from decay_audit.reports.totals import share, size
from decay_audit.roles.words import NOUNS
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun, escape_control, format_coefficient

_BUILT_ON = {
    "meta": "on the meta device",
    "streamed": "on the CPU, each parameter dropped as it was registered",
    "cpu": "on the CPU",
}
_MAX_NAMES = 8
_FIX_COMMAND = "fix: decay-audit "


def header(report: Report, options: Options) -> Iterator[str]:
    """Name the target, its size, and the ruleset."""
    ruleset, count = report.plan.ruleset, totals.count(report.plan.decisions)
    elements = size(count.numel, count.parameters)
    if report.hidden:
        elements = f"{elements} shown, {report.hidden:,} hidden"
    policy = f"ruleset {escape_control(ruleset.name)}, weight_decay {format_coefficient(ruleset.weight_decay)}"
    target = escape_control(report.inventory.target)
    yield from layout.heading(target, (elements, policy), options.width, color=options.color)


def footer(report: Report, options: Options) -> Iterator[str]:
    """Write the totals of decayed, spared and frozen parameters, then the notes and the findings."""
    plan = report.plan
    whole = totals.count(plan.decisions).numel
    for title, decisions in (
        ("decayed", totals.decayed(plan)),
        ("spared", totals.spared(plan)),
        ("frozen", totals.skipped(plan)),
    ):
        if decisions or title == "decayed":
            yield from _total(title, decisions, whole, options)
    yield from _over_run(report, options)
    yield from _notes(report, options)
    if report.findings:
        yield ""
        yield from finding_lines(report, options)


def finding_lines(report: Report, options: Options) -> Iterator[str]:
    """Write each finding: its code and severity, then its parameters, its location, and the fix."""
    for finding in (*report.findings, *(report.excepted if options.show_excepted else ())):
        head = f"{finding.code} {'accepted' if finding.exception else finding.severity:<7}"
        style: Style = "dim" if finding.exception else finding.severity
        first, *more = layout.paragraph(f"{head} ", escape_control(finding.message), options.width)
        yield paint(head, style, color=options.color) + first[len(head) :]
        yield from more
        for detail in _details(finding, report, options):
            width = None if _FIX_COMMAND in detail else options.width  # a broken line could not be pasted
            yield from layout.paragraph(" " * 14, detail, width)


def _details(finding: Finding, report: Report, options: Options) -> Iterator[str]:
    if finding.parameters:
        yield parameter_names(finding, len(finding.parameters) if options.full else _MAX_NAMES)
    if text := location(finding, report):
        yield escape_control(text)
    if finding.exception:
        yield f"reason: {escape_control(finding.exception)}"
    elif finding.fix:
        yield f"fix: {escape_control(finding.fix)}"


def _total(title: str, decisions: Sequence[Decision], whole: int, options: Options) -> Iterator[str]:
    count = totals.count(decisions)
    if not decisions:
        yield f"  {title:<9}nothing"
        return
    amount = f"{size(count.numel, count.parameters)} ({share(count.numel, whole)})"
    roles = ", ".join(count_noun(len(members), *NOUNS[role]) for role, members in totals.by_role(decisions).items())
    remark = {
        "decayed": "",
        "spared": "model.parameters() in one group would decay them too",
        "frozen": "in no param group",
    }[title]
    text = f"{amount}: {roles}" + (f"; {remark}" if remark else "")
    yield from layout.paragraph(f"  {title:<9}", text, options.width)


def _over_run(report: Report, options: Options) -> Iterator[str]:
    if report.horizon is None:
        return
    head = "over run"
    for text in (run_text(report.horizon), *group_texts(report.horizon, full=options.full)):
        yield from layout.paragraph(f"  {head:<9}", text, options.width)
        head = ""


def _notes(report: Report, options: Options) -> Iterator[str]:
    inventory = report.inventory
    if inventory.built_on:
        yield f"  built    {_BUILT_ON.get(inventory.built_on, escape_control(inventory.built_on))}"
    for note in notes(report):
        yield from layout.paragraph("  note     ", escape_control(note), options.width)
    if not inventory.excluded:
        return
    if not options.verbose:
        tensors = count_noun(len(inventory.excluded), "tensor, not a parameter", "tensors, not parameters")
        yield f"  left out {tensors}; --verbose lists {'it' if len(inventory.excluded) == 1 else 'them'}"
        return
    for tensor in inventory.excluded:
        yield f"  left out {escape_control(tensor.name)}: {escape_control(tensor.reason)}"
