"""What differs between the decisions on two models, as text."""

from collections.abc import Iterator, Sequence

from decay_audit.checks.lock.changes import Change, ComparedSide, ModelComparison
from decay_audit.checks.lock.entries import Entry
from decay_audit.checks.lock.entry_text import count_roles, decision_and_rule, optimizer_text, role_text
from decay_audit.reports.folding import MAX_PATTERNS, fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.text import count_noun, escape_control, first_few, join_words


def render(comparison: ModelComparison, options: Options) -> str:
    """Write what differs between the decisions on two models."""
    return "\n".join(_text(comparison, options))


def _text(comparison: ModelComparison, options: Options) -> Iterator[str]:
    before, after, changes = comparison.before, comparison.after, comparison.changes
    title = f"{escape_control(before.label)} -> {escape_control(after.label)}"
    counts = f"{len(before.entries):,} -> {count_noun(len(after.entries), 'parameter')}"
    yield from layout.heading(title, (counts,), options.width, color=options.color)
    yield ""
    if not changes:
        yield "  no decision differs"
        return
    groups: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes.changed:
        texts = _before_and_after(change, comparison)
        groups.setdefault((_title(change), *texts), []).append(change)
    for (title, old, new), members in groups.items():
        yield f"  {paint(count_roles([change.after for change in members]), 'title', color=options.color)} {title}"
        for head, text in (("    before  ", old), ("    after   ", new)):
            if text:
                yield from layout.paragraph(head, escape_control(text), options.width)
        yield from _names(members, options)
        yield ""
    for title, names, side in (("added", changes.added, after), ("gone", changes.gone, before)):
        yield from _one_sided(title, names, side, options)


def _title(change: Change) -> str:
    """Say what differs: `renamed, decided differently`."""
    before, after = change.before, change.after
    facts = {
        "renamed": change.renamed,
        "decided differently": change.decided_differently,
        "treated differently by the optimizer": change.observed_differently,
        "with another role": before.role != after.role,
        "with another shape": before.shape != after.shape,
        "decided by another rule": before.rule != after.rule and not change.decided_differently,
    }
    return join_words([text for text, is_true in facts.items() if is_true])


def _before_and_after(change: Change, comparison: ModelComparison) -> tuple[str, str]:
    """Write what differs on each side; both texts are empty for a parameter that was only renamed."""
    sides = ((change.before, comparison.before, change.old_name), (change.after, comparison.after, change.name))
    before, after = (_side_text(change, entry, side.evidence.get(name, "")) for entry, side, name in sides)
    return before, after


def _side_text(change: Change, entry: Entry, evidence: str) -> str:
    """Write the decision, the optimizer, the role and the shape, each if it differs."""
    before, after = change.before, change.after
    decision_differs = change.decided_differently or before.rule != after.rule
    role = role_text(entry) + (f" ({evidence})" if evidence else "")
    texts = {
        decision_and_rule(entry): decision_differs,
        optimizer_text(entry): change.observed_differently,
        role: decision_differs or before.role != after.role,
        entry.shape: before.shape != after.shape,
    }
    return ", ".join(text for text, differs in texts.items() if differs)


def _names(members: Sequence[Change], options: Options) -> Iterator[str]:
    renamed = [change.old_name for change in members if change.renamed]
    new = fold_names((change.name for change in members), shorten=not options.full)
    patterns = [*map(escape_control, new)]
    old = [*map(escape_control, fold_names(renamed, shorten=not options.full))]
    limit = len(patterns) if options.full else MAX_PATTERNS
    text = f"{first_few(old, limit)} -> {first_few(patterns, limit)}" if old else first_few(patterns, limit)
    yield from layout.paragraph("    ", text, options.width)


def _one_sided(title: str, names: Sequence[str], side: ComparedSide, options: Options) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(decision_and_rule(side.entries[name]), []).append(name)
    for decision, members in groups.items():
        roles = count_roles([side.entries[name] for name in members])
        yield f"  {paint(roles, 'title', color=options.color)} {title}: {escape_control(decision)}"
        patterns = [escape_control(pattern) for pattern in fold_names(members, shorten=not options.full)]
        names_text = first_few(patterns, len(patterns) if options.full else MAX_PATTERNS)
        yield from layout.paragraph("    ", names_text, options.width)
        yield ""
