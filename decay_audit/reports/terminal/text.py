"""The text format: a table of the parameters for `inspect`; for `check` the findings, and where optimizers differ."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.columns import DIFFERS, GUESS, LENIENTLY_DIFFERS, SPARED, columns, entries, legend, shape_text
from decay_audit.reports.folding import FoldedRow, ParameterEntry, fold, unfolded_rows
from decay_audit.reports.folding.long_lists import name_long_lists
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.frame import finding_lines, footer, header
from decay_audit.reports.terminal.layout import Column, PaintedText, Style, paint
from decay_audit.text import escape_control

_COLUMNS = (
    Column(title="parameter"),
    Column(title="", align_right=True),
    Column(title="shape", drop_order=2),
    Column(title="layer", drop_order=3),
    Column(title="role"),
)
_DROP_ORDER = {"rule": 1}


def render(report: Report, options: Options) -> str:
    """Write a report as text: a header, the table, the totals, the notes and the findings."""
    table = _table(report, entries(report), options)
    return "\n".join([*header(report, options), "", *table, "", *footer(report, options), ""])


def render_findings(report: Report, options: Options) -> str:
    """Write the findings alone; the text is empty if there are none.

    If there are both a live and a saved optimizer, a table comes first. It has the parameters for which either of them
    differs from the ruleset.
    """
    title = paint(escape_control(report.inventory.target), "title", color=options.color)
    head = [title] if options.titled and (report.findings or (options.show_excepted and report.excepted)) else []
    table = [*_differences(report, options)] if len({optimizer.origin for optimizer in report.optimizers}) > 1 else []
    lines = (*head, *table, *([""] if table else []), *finding_lines(report, options))
    return "".join(f"{line}\n" for line in lines)


def _differences(report: Report, options: Options) -> Iterator[str]:
    differing = [
        entry for entry in entries(report) if any(cell.endswith((DIFFERS, LENIENTLY_DIFFERS)) for cell in entry.cells)
    ]
    return _table(report, differing, options) if differing else iter(())


def _table(report: Report, parameters: Sequence[ParameterEntry], options: Options) -> Iterator[str]:
    rows = unfolded_rows(parameters) if options.full else fold(parameters)
    names = name_long_lists(rows)
    titles = columns(report)
    decision_columns = (
        Column(title=title, drop_order=_DROP_ORDER.get(title, 0), may_move_below=not title) for title in titles
    )
    cells = map(_cells, rows, names.patterns)
    yield from layout.table([*_COLUMNS, *decision_columns], cells, options.width, color=options.color)
    for line in (*names.meanings, *legend(report, rows)):
        for part in layout.paragraph(layout.INDENT, line, options.width):
            yield paint(part, "dim", color=options.color)


def _cells(row: FoldedRow, pattern: str) -> Sequence[PaintedText]:
    layer, decay, *others = row.cells
    role = ", ".join(row.roles)
    return (
        (escape_control(pattern), ""),
        (f"x{row.count}" if row.count > 1 else "", "dim"),
        (shape_text(row), ""),
        (layer, "dim"),
        (role, "warning" if GUESS in role else ""),
        (decay, "dim" if decay == SPARED else "decay"),
        *((text, _style(text)) for text in others),
    )


def _style(text: str) -> Style:
    if text.endswith(DIFFERS):
        return "error"
    return "note" if text.endswith(LENIENTLY_DIFFERS) else "dim"
