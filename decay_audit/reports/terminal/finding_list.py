"""Findings for a person: what differs, for which parameters, where it says so, and the way out; and the verdict."""

from collections import Counter
from collections.abc import Iterator

from decay_audit.checks.codes import Finding
from decay_audit.model.choices import SEVERITIES
from decay_audit.reports.fold import fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.text import count_noun, escape_control, first_few

_NAMES = 8
_COMMAND = "fix: decay-audit "


def render(report: Report, options: Options) -> str:
    """Say the findings as text, and nothing where there are none.

    Where there is a live optimizer and a saved one, both stand beside the ruleset first, by name, where they differ.
    """
    title = paint(escape_control(report.inventory.target), "title", color=options.color)
    head = [title] if options.titled and report.findings else []
    return "".join(f"{line}\n" for line in (*head, *_side_by_side(report, options), *lines(report, options)))


def _side_by_side(report: Report, options: Options) -> Iterator[str]:
    from decay_audit.reports.terminal import table  # which ends with the findings itself

    if len({one.origin for one in report.optimizers}) > 1:
        shown = [*table.differences(report, options)]
        yield from (*shown, "") if shown else ()


def lines(report: Report, options: Options) -> Iterator[str]:
    """Say each finding: its code and severity, then what it concerns, where it points, and the fix."""
    for finding in report.findings:
        head = f"{finding.code} {finding.severity:<7}"
        first, *more = layout.paragraph(f"{head} ", escape_control(finding.message), options.width)
        yield paint(head, finding.severity, color=options.color) + first[len(head) :]
        yield from more
        for detail in _details(finding, report, options):
            width = None if _COMMAND in detail else options.width  # a broken line could not be pasted
            yield from layout.paragraph(" " * 14, detail, width)


def verdict(report: Report) -> str:
    """Sum up the findings in one line."""
    counts = Counter(finding.severity for finding in report.findings)
    found = ", ".join(count_noun(counts[severity], severity) for severity in SEVERITIES if counts[severity])
    parameters = count_noun(len(report.plan.decisions) + report.hidden, "parameter")
    return "; ".join([f"{found or 'no findings'} in {parameters}", *dict.fromkeys(_uncompared(report))])


def _uncompared(report: Report) -> Iterator[str]:
    """Say which saved optimizers the findings are silent about, for want of names."""
    for one in report.optimizers:
        names = [name for group in one.groups for name in group.parameters]
        known = sum(map(bool, names))
        if names and not known and one.origin == "checkpoint":
            yield f"the saved {escape_control(one.type)} could not be compared"
        elif known < len(names) and one.origin == "checkpoint":
            positions = f"{known:,} of {len(names):,} positions"
            yield f"the saved {escape_control(one.type)} could be compared in {positions} only"


def notes(report: Report) -> tuple[str, ...]:
    """List what a person should know about the reading of the target and of the optimizers, each once."""
    said = (note for optimizer in report.optimizers for note in (*optimizer.name_caveats, *optimizer.notes))
    return tuple(dict.fromkeys((*report.inventory.notes, *said)))


def named(finding: Finding, most: int) -> str:
    """Name the parameters that a finding concerns, folded; the first `most` patterns, and how many more."""
    return first_few([escape_control(pattern) for pattern in fold_names(finding.parameters)], most)


def place(finding: Finding, report: Report) -> str:
    """Say where a finding points to; the name of an optimizer says nothing where there is no other."""
    alone = [one.name for one in report.optimizers] == [finding.where]
    return "" if alone else finding.where


def _details(finding: Finding, report: Report, options: Options) -> Iterator[str]:
    if finding.parameters:
        yield named(finding, len(finding.parameters) if options.full else _NAMES)
    if where := place(finding, report):
        yield escape_control(where)
    if finding.fix:
        yield f"fix: {escape_control(finding.fix)}"
