"""The table for a person: what each parameter is, what the ruleset decides, and what the optimizers do."""

from collections.abc import Iterator, Sequence

from decay_audit.reports import rows as entries, totals
from decay_audit.reports.fold import Entry, Row, fold, unfolded
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import finding_list, layout
from decay_audit.reports.terminal.layout import Cell, Column, paint
from decay_audit.reports.wording import share, size
from decay_audit.roles.words import NOUNS
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun, escape_control, format_coefficient

_COLUMNS = (
    Column(title="parameter"),
    Column(title="", right=True),
    Column(title="shape", gives_way=2),
    Column(title="layer", gives_way=3),
    Column(title="role"),
)
_GIVING_WAY = {"rule": 1}


def render(report: Report, options: Options) -> str:
    """Say a report as text: a header, the table, the totals, the notes and the findings."""
    return "\n".join([*header(report, options), "", *body(report, options), "", *footer(report, options), ""])


def header(report: Report, options: Options) -> Iterator[str]:
    """Name the target, its size, and the ruleset."""
    ruleset = report.plan.ruleset
    shown = totals.count(report.plan.decisions)
    target = escape_control(report.inventory.target)
    elements = size(shown.numel, shown.parameters)
    if report.hidden:
        elements = f"{elements} shown, {report.hidden:,} hidden"
    policy = f"ruleset {escape_control(ruleset.name)}, weight_decay {format_coefficient(ruleset.weight_decay)}"
    yield from layout.heading(target, (elements, policy), options.width, color=options.color)


_BUILT = {
    "meta": "on the meta device",
    "streamed": "on the CPU, each parameter dropped as it was registered",
    "cpu": "on the CPU",
}
_FROM_HEADERS = "from names and shapes alone: likely, where nothing else is said; --model TARGET makes them certain"


def body(report: Report, options: Options) -> Iterator[str]:
    """Lay out the parameters, folded unless asked not to."""
    return _laid_out(report, entries.entries(report), options)


def differences(report: Report, options: Options) -> Iterator[str]:
    """Lay out the parameters for which an optimizer, live or saved, does not do what the ruleset decides."""
    every = entries.entries(report)
    found = [one for one in every if any(cell.endswith(entries.DIFFERS) for cell in one.cells)]
    return _laid_out(report, found, options) if found else iter(())


def _laid_out(report: Report, shown: Sequence[Entry], options: Options) -> Iterator[str]:
    rows = unfolded(shown) if options.full else fold(shown)
    columns = [
        *_COLUMNS,
        *(
            Column(title=title, gives_way=_GIVING_WAY.get(title, 0), below=not title)
            for title in entries.columns(report)
        ),
    ]
    yield from layout.table(columns, map(_cells, rows), options.width, color=options.color)
    said = {text for row in rows for text in row.cells[2:-2]}
    for mark, meaning in entries.LEGEND.items():
        if any(mark in text for text in said):
            yield paint(f"{layout.INDENT}{meaning}", "dim", color=options.color)


def _cells(row: Row) -> Sequence[Cell]:
    layer, decay, *others = row.cells
    return (
        (escape_control(row.pattern), ""),
        (f"x{row.count}" if row.count > 1 else "", "dim"),
        (entries.shape(row), ""),
        (layer, "dim"),
        (", ".join(row.roles), "warning" if "(" in "".join(row.roles) else ""),
        (decay, "dim" if decay == entries.SPARED else "decay"),
        *((text, "error" if text.endswith(entries.DIFFERS) else "dim") for text in others),
    )


def footer(report: Report, options: Options) -> Iterator[str]:
    """Sum up what decays and what is spared; then the notes, and the findings."""
    plan = report.plan
    whole = totals.count(plan.decisions).numel
    for title, decisions in (
        ("decayed", totals.decayed(plan)),
        ("spared", totals.spared(plan)),
        ("frozen", totals.skipped(plan)),
    ):
        if decisions or title == "decayed":
            yield from _sum(title, decisions, whole, options)
    yield from _notes(report, options)
    if report.findings:
        yield ""
        yield from finding_list.lines(report, options)


def _sum(title: str, decisions: Sequence[Decision], whole: int, options: Options) -> Iterator[str]:
    total = totals.count(decisions)
    amount = f"{size(total.numel, total.parameters)} ({share(total.numel, whole)})"
    roles = ", ".join(count_noun(len(one), *NOUNS[role]) for role, one in totals.by_role(decisions).items())
    remark = {
        "decayed": "",
        "spared": "model.parameters() in one group would decay them too",
        "frozen": "in no param group",
    }[title]
    text = amount + (f": {roles}" if roles else "") + (f"; {remark}" if remark else "")
    yield from layout.paragraph(f"  {title:<9}", text, options.width)


def _notes(report: Report, options: Options) -> Iterator[str]:
    inventory = report.inventory
    if inventory.built_on:
        yield f"  built    {_BUILT.get(inventory.built_on, escape_control(inventory.built_on))}"
    if not any(one.owner.types for one in inventory.parameters):
        yield from layout.paragraph("  roles    ", _FROM_HEADERS, options.width)
    for note in finding_list.notes(report):
        yield from layout.paragraph("  note     ", escape_control(note), options.width)
    if not inventory.excluded:
        return
    if not options.verbose:
        left = count_noun(len(inventory.excluded), "tensor, not a parameter", "tensors, not parameters")
        yield f"  left out {left}; --verbose lists {'it' if len(inventory.excluded) == 1 else 'them'}"
        return
    for one in inventory.excluded:
        yield f"  left out {escape_control(one.name)}: {escape_control(one.reason)}"
