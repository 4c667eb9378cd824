"""A report for a pull request or a job summary: the findings first, then the table. At most 1 MiB, GitHub's limit."""

import re
from collections.abc import Iterable, Iterator, Sequence

from decay_audit.reports import totals
from decay_audit.reports.columns import columns, entries, legend, shape_text
from decay_audit.reports.findings.summary import location, verdict
from decay_audit.reports.folding import FoldedRow, fold, fold_names, unfolded_rows
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.totals import amount, share, size
from decay_audit.roles.words import NOUNS
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun, escape_control, first_few, format_coefficient

LIMIT = 1024 * 1024  # bytes that GitHub accepts
_RESERVED_BYTES = 1024  # for the sentence on lines that do not fit, and for other text of the job
_MAX_NAMES = 40  # of the parameters of one finding
_MARKUP = re.compile(r"[\\`*\[\]<>#|~&@]|(?<!\w)_|_(?!\w)|:(?=//|\S+:)")
"""Emphasis, links and HTML; and what GitHub turns into links or pictures: mentions, issue numbers, URLs and emoji."""


def render(report: Report, options: Options) -> str:
    """Write a report as GitHub-flavoured Markdown, without its last lines where it would be too long."""
    return "".join(_lines_within(LIMIT - _RESERVED_BYTES, [f"{line}\n" for line in _lines(report, options)]))


def render_error(target: str, message: str) -> str:
    """Write the section of an audit that could not be run."""
    lines = "  \n".join(map(escape_markup, message.split("\n")))  # two spaces end a line
    return f"### {escape_markup(target)}\n\n**could not be run**: {lines}\n"


def escape_markup(text: str) -> str:
    """Escape a text so that Markdown reads no markup, link, mention or HTML in it."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", escape_control(text))


def code_span(name: str) -> str:
    """Write a name as code, in a cell of a table too. A name with backticks gets a longer fence."""
    text = escape_control(name).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _lines(report: Report, options: Options) -> Iterator[str]:
    ruleset, counts = report.plan.ruleset, totals.count(report.plan.decisions)
    elements = size(counts.numel, counts.parameters)
    hidden = f" shown, {report.hidden:,} hidden" if report.hidden else ""
    yield f"### {escape_markup(report.inventory.target)}"
    yield ""
    policy = f"ruleset {code_span(ruleset.name)}, weight_decay {format_coefficient(ruleset.weight_decay)}"
    yield f"{elements}{hidden}; {policy}"
    yield ""
    yield from _findings(report)
    yield from _totals(report)
    yield from _parameters(report, options)


def _findings(report: Report) -> Iterator[str]:
    if not report.findings:
        return
    yield f"**{verdict(report)}**"
    yield ""
    yield from _table(
        ("code", "severity", "finding", "parameters", "where"),
        (
            (
                finding.code,
                finding.severity,
                escape_markup(finding.message) + (f" (fix: {code_span(finding.fix)})" if finding.fix else ""),
                _names(finding.parameters),
                escape_markup(location(finding, report)),
            )
            for finding in report.findings
        ),
    )


def _names(parameters: Iterable[str]) -> str:
    return first_few([code_span(pattern) for pattern in fold_names(parameters, shorten=True)], _MAX_NAMES)


def _totals(report: Report) -> Iterator[str]:
    plan = report.plan
    totals_by_title = {"decayed": totals.decayed(plan), "spared": totals.spared(plan), "frozen": totals.skipped(plan)}
    whole = totals.count(plan.decisions).numel
    yield from _table(
        ("", "parameters", "elements", "share", "roles"),
        (_total(title, decisions, whole) for title, decisions in totals_by_title.items() if decisions),
    )


def _total(title: str, decisions: Sequence[Decision], whole: int) -> tuple[str, ...]:
    count = totals.count(decisions)
    roles = ", ".join(count_noun(len(members), *NOUNS[role]) for role, members in totals.by_role(decisions).items())
    return title, f"{count.parameters:,}", amount(count.numel), share(count.numel, whole), roles


def _parameters(report: Report, options: Options) -> Iterator[str]:
    every = entries(report)
    rows = unfolded_rows(every) if options.full else fold(every)
    titles = [*columns(report)]
    filled_columns = [index for index, _ in enumerate(titles) if any(row.cells[index + 1] for row in rows)]
    yield from _table(
        ("parameter", "count", "shape", "layer", "role", *(titles[index] or "remarks" for index in filled_columns)),
        (_row(row, filled_columns) for row in rows),
    )
    for line in legend(report, rows):
        yield escape_markup(line)
        yield ""


def _row(row: FoldedRow, filled_columns: Sequence[int]) -> tuple[str, ...]:
    layer, *others = row.cells
    texts = (layer, ", ".join(row.roles), *(others[index] for index in filled_columns))
    return code_span(row.pattern), str(row.count), shape_text(row), *map(escape_markup, texts)


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    titles = tuple(titles)
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _lines_within(limit: int, lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines that fit into `limit` bytes, then a line that says how many do not fit."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode("utf-8", "replace"))
        if size > limit:
            yield f"\n{len(lines) - number:,} more lines do not fit here: --format csv has a row for every parameter.\n"
            return
        yield line
