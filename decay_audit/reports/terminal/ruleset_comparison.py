"""Where rulesets differ on one model, as text."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.document.comparison_groups import RulesetGroup, outcome_texts, ruleset_groups
from decay_audit.reports.folding import MAX_PATTERNS, fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import Column, PaintedText, Style, paint
from decay_audit.reports.totals import share, size
from decay_audit.roles.words import NOUNS
from decay_audit.rulesets.diff import RulesetComparison
from decay_audit.text import count_noun, escape_control, first_few, format_coefficient, join_words


def render(comparison: RulesetComparison, target: str, options: Options) -> str:
    """Write where rulesets differ."""
    return "\n".join(_text(comparison, target, options))


def _text(comparison: RulesetComparison, target: str, options: Options) -> Iterator[str]:
    names = [escape_control(ruleset.name) for ruleset in comparison.rulesets]
    elements = size(comparison.numel, comparison.parameters)
    base = f"weight_decay {format_coefficient(comparison.weight_decay)}"
    yield from layout.heading(escape_control(target), (elements, base), options.width, color=options.color)
    yield ""
    if not comparison.differences:
        yield from layout.paragraph(
            "  ", f"{join_words(names)} make the same decision on every parameter", options.width
        )
    for group in ruleset_groups(comparison):
        yield from _difference(group, names, options)
    for text in outcome_texts(comparison):
        yield from layout.paragraph("  ", text, options.width)
    if comparison.differences:
        yield from _gaps(comparison, options)
    for refusal in comparison.refused:
        yield from layout.paragraph("  left out: ", escape_control(refusal.reason), options.width)


def _difference(group: RulesetGroup, names: Sequence[str], options: Options) -> Iterator[str]:
    title = count_noun(len(group.names), *NOUNS[group.role])
    yield f"  {paint(title, 'title', color=options.color)}, {count_noun(group.numel, 'element')}"
    name_width, treatment_width = max(map(len, names)), max(12, *map(len, group.treatments))
    for name, decision, treatment in zip(names, group.decisions, group.treatments, strict=True):
        rule = f"{decision.rule} ({escape_control(decision.location)})" if decision.location else decision.rule
        style: Style = "decay" if decision.weight_decay else "dim"
        painted = paint(f"{treatment:<{treatment_width}}", style, color=options.color)
        yield f"    {escape_control(name):<{name_width}}  {painted}  {escape_control(rule)}"
    patterns = [escape_control(pattern) for pattern in fold_names(group.names, shorten=not options.full)]
    yield from layout.paragraph(
        "    ", first_few(patterns, len(patterns) if options.full else MAX_PATTERNS), options.width
    )
    yield ""


def _gaps(comparison: RulesetComparison, options: Options) -> Iterator[str]:
    """Write how many parameters differ: one line for two rulesets, a matrix for more."""
    names = [escape_control(ruleset.name) for ruleset in comparison.rulesets]
    if len(names) == 2:
        (gap,) = comparison.gaps
        yield (
            f"  {join_words(names)} differ in {gap.parameters:,} of {count_noun(comparison.parameters, 'parameter')}, "
            f"{share(gap.numel, comparison.numel)} of the elements"
        )
        return
    gaps = {(gap.first, gap.second): gap.parameters for gap in comparison.gaps}
    yield "  parameters that differ"
    table_width = sum(len(name) + 2 for name in names) + max(map(len, names)) + 2
    narrow = options.width is not None and table_width > options.width  # then numbers stand over the columns
    heads = [str(number) for number in range(1, len(names) + 1)] if narrow else names
    columns = [Column(title=""), *(Column(title=head, align_right=True) for head in heads)]
    rows: list[list[PaintedText]] = [
        [
            (f"{heads[row]} {name}" if narrow else name, ""),
            *((_gap(gaps, row, column), "") for column in range(len(names))),
        ]
        for row, name in enumerate(names)
    ]
    yield from layout.table(columns, rows, options.width, color=options.color)


def _gap(gaps: dict[tuple[int, int], int], row: int, column: int) -> str:
    return "-" if row == column else f"{gaps[min(row, column), max(row, column)]:,}"
