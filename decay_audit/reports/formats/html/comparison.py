"""A comparison as a page: a column for each side or ruleset, a row for parameters that differ in the same way.

It needs no script. The JSON document of the comparison is in it.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from decay_audit.checks.lock.changes import ModelComparison
from decay_audit.reports.document.comparison_groups import (
    ChangeGroup,
    RulesetGroup,
    change_groups,
    outcome_texts,
    ruleset_groups,
)
from decay_audit.reports.folding import fold_names
from decay_audit.reports.formats.html.environment import embed, environment, text
from decay_audit.reports.totals import share, size
from decay_audit.roles.words import NOUNS
from decay_audit.rulesets.diff import RulesetComparison, RulesetDecision
from decay_audit.rulesets.plan import DEFAULT, FROZEN
from decay_audit.text import count_noun, escape_control, format_coefficient, join_words

_MOST_PATTERNS = 6
"""How many folded names a cell shows before it is opened."""
_MOST_NAMES = 500
"""How many names an opened cell shows; the JSON in the page has all."""


class NameList(Struct, frozen=True, kw_only=True):
    """Names of parameters: folded, and each by itself; `left_out` says how many names are not shown."""

    patterns: tuple[str, ...]
    names: tuple[str, ...] = ()
    left_out: str = ""


class ComparisonCell(Struct, frozen=True, kw_only=True):
    """What one side says; it is empty where a side has nothing. `state` is the colour: `decays`, `spared`, `frozen`."""

    state: str = ""
    texts: tuple[str, ...] = ()
    names: NameList | None = None


class ComparisonRow(Struct, frozen=True, kw_only=True):
    """Parameters that differ in the same way: how many, how they differ, and a cell for each column."""

    title: str
    detail: str
    cells: tuple[ComparisonCell, ...]
    names: NameList | None = None


class ComparisonContext(Struct, frozen=True, kw_only=True):
    """Everything that the page writes of a comparison."""

    title: str
    verdict: str
    facts: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    notes: tuple[str, ...] = ()


def render_model_comparison(comparison: ModelComparison, document: str) -> str:
    """Write what differs between two models as a page; `document` is the JSON of the comparison."""
    before, after, changes = comparison.before, comparison.after, comparison.changes
    counts = {
        "changed": len(changes.changed),
        "added": len(changes.added),
        "gone": len(changes.gone),
    }
    shown = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    context = ComparisonContext(
        title=f"{escape_control(before.label)} → {escape_control(after.label)}",
        verdict=f"parameters: {shown}" if shown else "no decision differs",
        facts=(
            f"{len(before.entries):,} → {count_noun(len(after.entries), 'parameter')}",
            escape_control(comparison.ruleset_text.replace("->", "→")),
        ),
        columns=(f"before: {escape_control(before.label)}", f"after: {escape_control(after.label)}"),
        rows=tuple(map(_change_row, change_groups(comparison))),
    )
    return _page(context, document)


def _change_row(group: ChangeGroup) -> ComparisonRow:
    sides = zip((group.before, group.after), (group.old_names, group.new_names), group.states, strict=True)
    same_names = group.old_names == group.new_names
    return ComparisonRow(
        title=group.roles,
        detail=group.title,
        cells=tuple(
            ComparisonCell(
                state=state,
                texts=tuple(map(escape_control, texts)),
                names=None if same_names or not names else _name_list(names),
            )
            for texts, names, state in sides
        ),
        names=_name_list(group.new_names) if same_names else None,
    )


def render_ruleset_comparison(comparison: RulesetComparison, target: str, document: str) -> str:
    """Write where rulesets differ on one model as a page; `document` is the JSON of the comparison."""
    names = [escape_control(ruleset.name) for ruleset in comparison.rulesets]
    context = ComparisonContext(
        title=escape_control(target),
        verdict=_gap_text(comparison, names),
        facts=(
            size(comparison.numel, comparison.parameters),
            f"weight_decay {format_coefficient(comparison.weight_decay)}",
        ),
        columns=tuple(names),
        rows=tuple(map(_ruleset_row, ruleset_groups(comparison))),
        notes=tuple(_notes(comparison, names)),
    )
    return _page(context, document)


def _gap_text(comparison: RulesetComparison, names: Sequence[str]) -> str:
    if not comparison.differences:
        return f"{join_words(names)} make the same decision on every parameter"
    if len(names) > 2:
        differing = sum(len(difference.parameters) for difference in comparison.differences)
        return f"{join_words(names)} differ in {differing:,} of {count_noun(comparison.parameters, 'parameter')}"
    (gap,) = comparison.gaps
    of_all = f"{gap.parameters:,} of {count_noun(comparison.parameters, 'parameter')}"
    return f"{join_words(names)} differ in {of_all}, {share(gap.numel, comparison.numel)} of the elements"


def _ruleset_row(group: RulesetGroup) -> ComparisonRow:
    return ComparisonRow(
        title=count_noun(len(group.names), *NOUNS[group.role]),
        detail=count_noun(group.numel, "element"),
        cells=tuple(
            ComparisonCell(
                state="decays" if decision.weight_decay else "spared",
                texts=(_treatment(treatment, decision), _rule(decision)),
            )
            for decision, treatment in zip(group.decisions, group.treatments, strict=True)
        ),
        names=_name_list(group.names),
    )


def _treatment(treatment: str, decision: RulesetDecision) -> str:
    return f"weight_decay {treatment}" if decision.weight_decay else treatment


def _rule(decision: RulesetDecision) -> str:
    """Name what decided, and where it is written: `rule vectors (timm.yaml:13)`."""
    decider = decision.rule if decision.rule in (DEFAULT, FROZEN) else f"rule {decision.rule}"
    return escape_control(f"{decider} ({decision.location})" if decision.location else decider)


def _notes(comparison: RulesetComparison, names: Sequence[str]) -> Iterator[str]:
    yield from outcome_texts(comparison)
    if len(names) > 2:
        for gap in comparison.gaps:
            pair = join_words([names[gap.first], names[gap.second]])
            yield f"{pair} differ in {count_noun(gap.parameters, 'parameter')}"
    for refusal in comparison.refused:
        yield f"left out: {escape_control(refusal.reason)}"


def _name_list(names: Sequence[str]) -> NameList:
    patterns = [escape_control(pattern) for pattern in fold_names(names)]
    if len(patterns) == len(names) <= _MOST_PATTERNS:
        return NameList(patterns=tuple(patterns))
    more = len(patterns) - _MOST_PATTERNS
    return NameList(
        patterns=(*patterns[:_MOST_PATTERNS], *([f"and {more:,} more"] if more > 0 else [])),
        names=tuple(map(escape_control, names[:_MOST_NAMES])),
        left_out=f"{len(names) - _MOST_NAMES:,} more are in the JSON" if len(names) > _MOST_NAMES else "",
    )


def _page(context: ComparisonContext, document: str) -> str:
    media_type, data = embed(document)
    page: str = (
        environment()
        .get_template("comparison.html.jinja")
        .render(comparison=context, css=text("templates/page.css"), media_type=media_type, data=data)
    )
    return page + "\n"
