"""What differs between the decisions on two models, as text."""

from collections.abc import Iterator, Sequence

from decay_audit.checks.lock.changes import ModelComparison
from decay_audit.reports.document.comparison_groups import ChangeGroup, change_groups
from decay_audit.reports.folding import MAX_PATTERNS, fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.text import count_noun, escape_control, first_few


def render(comparison: ModelComparison, options: Options) -> str:
    """Write what differs between the decisions on two models."""
    return "\n".join(_text(comparison, options))


def _text(comparison: ModelComparison, options: Options) -> Iterator[str]:
    before, after = comparison.before, comparison.after
    title = f"{escape_control(before.label)} -> {escape_control(after.label)}"
    counts = f"{len(before.entries):,} -> {count_noun(len(after.entries), 'parameter')}"
    facts = (counts, escape_control(comparison.ruleset_text))
    yield from layout.heading(title, facts, options.width, color=options.color)
    yield ""
    if not comparison.changes:
        yield "  no decision differs"
    for group in change_groups(comparison):
        yield from _group(group, options)
        yield ""


def _group(group: ChangeGroup, options: Options) -> Iterator[str]:
    roles = paint(group.roles, "title", color=options.color)
    if not (group.old_names and group.new_names):
        yield f"  {roles} {group.title}: {escape_control(', '.join(group.before or group.after))}"
    else:
        yield f"  {roles} {group.title}"
        for head, texts in (("    before  ", group.before), ("    after   ", group.after)):
            if texts:
                yield from layout.paragraph(head, escape_control(", ".join(texts)), options.width)
    names = _names(group.new_names or group.old_names, options)
    text = f"{_names(group.old_names, options)} -> {names}" if group.renamed else names
    yield from layout.paragraph("    ", text, options.width)


def _names(names: Sequence[str], options: Options) -> str:
    patterns = [*map(escape_control, fold_names(names, shorten=not options.full))]
    return first_few(patterns, len(patterns) if options.full else MAX_PATTERNS)
