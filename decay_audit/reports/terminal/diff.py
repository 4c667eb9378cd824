"""Rulesets side by side on one model, and how well each tells what an optimizer does, as text and as JSON."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from decay_audit.model.choices import Format
from decay_audit.reports.fold import fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import Cell, Column, paint
from decay_audit.reports.wording import factors, share, size
from decay_audit.roles.words import NOUNS, Role
from decay_audit.rulesets.diff import RulesetComparison, RulesetDecision, RulesetDifference, RulesetMatch
from decay_audit.rulesets.plan import FROZEN
from decay_audit.text import count_noun, escape_control, first_few, format_coefficient, join_words

SHOWN = 12
"""How many patterns of names stand under a difference, unless everything is asked for."""


def render(comparison: RulesetComparison, target: str, format: Format, options: Options) -> str:  # noqa: A002
    """Say where rulesets differ."""
    if format is Format.JSON:
        return msgspec.json.format(msgspec.json.encode(_document(comparison, target)), indent=2).decode()
    return "\n".join(_text(comparison, target, options))


def _text(comparison: RulesetComparison, target: str, options: Options) -> Iterator[str]:
    names = [ruleset.name for ruleset in comparison.rulesets]
    whole = size(comparison.numel, comparison.parameters)
    base = f"weight_decay {format_coefficient(comparison.weight_decay)}"
    yield from layout.heading(escape_control(target), (whole, base), options.width, color=options.color)
    yield ""
    if not comparison.differences:
        yield f"  {join_words(names)} decide every parameter alike"
    for alike in _but_for_learning_rates(comparison.differences):
        yield from _difference(alike, names, options)
    if comparison.differences:
        yield from _gaps(comparison, options)
    for one in comparison.refused:
        yield from layout.paragraph("  left out: ", escape_control(one.reason), options.width)


def _but_for_learning_rates(differences: Sequence[RulesetDifference]) -> list[list[RulesetDifference]]:
    """Put together differences that only differ in the factors on the learning rate, the largest first."""
    alike: dict[tuple[Role, tuple[RulesetDecision, ...]], list[RulesetDifference]] = {}
    for one in differences:
        alike.setdefault((one.role, tuple(replace(side, lr_scale=1.0) for side in one.sides)), []).append(one)
    return sorted(alike.values(), key=lambda same: -sum(one.numel for one in same))


def _difference(alike: Sequence[RulesetDifference], names: Sequence[str], options: Options) -> Iterator[str]:
    parameters = [name for one in alike for name in one.parameters]
    what = count_noun(len(parameters), *NOUNS[alike[0].role])
    numel = sum(one.numel for one in alike)
    yield f"  {paint(what, 'title', color=options.color)}, {count_noun(numel, 'element')}"
    sides = list(zip(*(one.sides for one in alike), strict=True))
    amounts = [_amount(each) for each in sides]
    width, wide = max(map(len, names)), max(12, *map(len, amounts))
    for name, (side, *_), said in zip(names, sides, amounts, strict=True):
        place = f"{side.rule} ({escape_control(side.location)})" if side.location else side.rule
        amount_ = paint(f"{said:<{wide}}", "decay" if side.weight_decay else "dim", color=options.color)
        yield f"    {escape_control(name):<{width}}  {amount_}  {escape_control(place)}"
    patterns = [escape_control(pattern) for pattern in fold_names(parameters)]
    yield from layout.paragraph("    ", first_few(patterns, len(patterns) if options.full else SHOWN), options.width)
    yield ""


def _amount(sides: Sequence[RulesetDecision]) -> str:
    """Say what a ruleset does to parameters to which it does the same but for their learning rates."""
    side, scales = sides[0], [one.lr_scale for one in sides]
    if side.rule == FROZEN:
        return "in no group"
    said = [
        format_coefficient(side.weight_decay) if side.weight_decay else "spared",
        f"lr {factors(scales)}" if any(scale != 1.0 for scale in scales) else "",
        escape_control(side.use or ""),
    ]
    return ", ".join(filter(None, said))


def _gaps(comparison: RulesetComparison, options: Options) -> Iterator[str]:
    """One line for two rulesets, a matrix for more."""
    names = [escape_control(ruleset.name) for ruleset in comparison.rulesets]
    if len(names) == 2:
        (gap,) = comparison.gaps
        yield (
            f"  {join_words(names)} differ in {gap.parameters:,} of {count_noun(comparison.parameters, 'parameter')}, "
            f"{share(gap.numel, comparison.numel)} of the elements"
        )
        return
    apart = {(gap.first, gap.second): gap.parameters for gap in comparison.gaps}
    yield "  parameters that differ"
    whole = sum(len(name) + 2 for name in names) + max(map(len, names)) + 2
    narrow = options.width is not None and whole > options.width  # then numbers stand over the columns
    heads = [str(number) for number in range(1, len(names) + 1)] if narrow else names
    columns = [Column(title=""), *(Column(title=head, right=True) for head in heads)]
    rows: list[list[Cell]] = [
        [
            (f"{heads[row]} {name}" if narrow else name, ""),
            *((_apart(apart, row, column), "") for column in range(len(names))),
        ]
        for row, name in enumerate(names)
    ]
    yield from layout.table(columns, rows, options.width, color=options.color)


def _apart(apart: dict[tuple[int, int], int], row: int, column: int) -> str:
    return "-" if row == column else f"{apart[min(row, column), max(row, column)]:,}"


def _document(comparison: RulesetComparison, target: str) -> dict[str, object]:
    names = [ruleset.name for ruleset in comparison.rulesets]
    return {
        "schema_version": 1,
        "target": target,
        "weight_decay": comparison.weight_decay,
        "rulesets": names,
        "totals": {"parameters": comparison.parameters, "numel": comparison.numel},
        "differences": comparison.differences,
        "gaps": [
            {
                "rulesets": [names[gap.first], names[gap.second]],
                "parameters": gap.parameters,
                "numel": gap.numel,
            }
            for gap in comparison.gaps
        ],
        "refused": comparison.refused,
    }


def matches(found: Sequence[RulesetMatch], format: Format, options: Options) -> str:  # noqa: A002
    """Say which rulesets reproduce what an optimizer does, the best first; or the nearest ones, with what differs."""
    if format is Format.JSON:
        documents = [
            {
                "ruleset": one.ruleset.name,
                "weight_decay": one.weight_decay,
                "exact": one.exact,
                "parameters": one.parameters,
                "unplaced": one.unplaced,
                "mismatches": one.mismatches,
                "unmatched": one.unmatched,
                "scales": one.scales,
                "routes": one.routes,
                "no_effect": one.no_effect,
                "refused": one.refused,
                "needs_model": one.needs_model,
            }
            for one in found
        ]
        return msgspec.json.format(msgspec.json.encode(documents), indent=2).decode()
    return "\n".join(_matches(found, options))


def _matches(found: Sequence[RulesetMatch], options: Options) -> Iterator[str]:
    if not found:
        yield "nothing decays here, and that fits every ruleset with weight_decay 0"
        return
    yield from _unplaced(found, options)
    exact: dict[str, list[RulesetMatch]] = {}
    for one in found:
        if one.exact:
            exact.setdefault(_kind(one), []).append(one)
    for kind, alike in exact.items():
        yield from _exact(kind, alike, options)
    if not exact:
        yield "no preset does exactly this; the nearest:"
        for one in [match for match in found if not match.refused][: 10 if options.full else 3]:
            yield from _nearest(one, options)
    yield from _refused([one.ruleset.name for one in found if one.refused and not one.needs_model], options)
    yield from _asking([one.ruleset.name for one in found if one.needs_model], options)


def _unplaced(found: Sequence[RulesetMatch], options: Options) -> Iterator[str]:
    placed, unplaced = max(one.parameters for one in found), found[0].unplaced
    if not unplaced:
        return
    every = count_noun(placed + unplaced, "parameter")
    if placed:
        said = f"compared {placed:,} of {every}: the saved optimizer does not say at which positions the others are"
    else:
        said = (
            f"compared only how many of {every} have each weight_decay: "
            "the saved optimizer does not say at which positions they are"
        )
    yield from layout.paragraph("", said, options.width)


def _kind(match: RulesetMatch) -> str:
    """How well an exact match tells what an optimizer does, whose coefficients alone were seen."""
    more = ["scale learning rates"] * match.scales + ["route to several optimizers"] * match.routes
    if more:
        return f"the same weight decay, but they also {join_words(more)}"
    if match.no_effect:
        return "these agree too, but only because none of their rules matches this model"
    return "as far as that tells, this is what these do" if match.unplaced else "this is exactly what these do"


def _exact(kind: str, alike: Sequence[RulesetMatch], options: Options) -> Iterator[str]:
    """A line for each, and the coefficient once if it is the same for all."""
    coefficients = {one.weight_decay for one in alike}
    shared = f", with weight_decay {format_coefficient(alike[0].weight_decay)}" if len(coefficients) == 1 else ""
    yield from layout.paragraph("", f"{kind}{shared}:", options.width)
    names = [escape_control(one.ruleset.name) for one in alike]
    width = max(map(len, names))
    for name, one in zip(names, alike, strict=True):
        own = "" if shared else f"   weight_decay {format_coefficient(one.weight_decay)}"
        first, *others = layout.paragraph(
            f"  {name:<{width}}{own}   ", escape_control(one.ruleset.title), options.width
        )
        yield first.replace(name, paint(name, "title", color=options.color), 1)
        yield from others


def _asking(names: Sequence[str], options: Options) -> Iterator[str]:
    """Rulesets that only a model could answer: few words, for they are many."""
    if names:
        said = "ask for classes, hooks or attributes, which a checkpoint does not have: name its model with --model"
        yield from layout.paragraph("  ", f"{count_noun(len(names), 'preset')} {said}", options.width)
        if options.full:
            yield from layout.paragraph("    ", ", ".join(map(escape_control, names)), options.width)


def _refused(names: Sequence[str], options: Options) -> Iterator[str]:
    if names:
        yield from layout.paragraph("  no answer from ", ", ".join(map(escape_control, names)), options.width)


def _nearest(match: RulesetMatch, options: Options) -> Iterator[str]:
    said = f"{escape_control(match.ruleset.name)}, weight_decay {format_coefficient(match.weight_decay)}"
    size = f"{len(match.mismatches):,} of {count_noun(match.parameters, 'parameter')} differ"
    if not match.parameters:
        size = f"{match.unmatched:,} of {count_noun(match.unplaced, 'parameter')} differ"
    elif match.unplaced:
        size += f", and {match.unmatched:,} of the {match.unplaced:,} others"
    yield f"  {paint(said, 'title', color=options.color)}   {size}"
    for expected, found in dict.fromkeys((one.expected, one.found) for one in match.mismatches):
        alike = [one.parameter for one in match.mismatches if (one.expected, one.found) == (expected, found)]
        patterns = [escape_control(pattern) for pattern in fold_names(alike)]
        head = f"    {_value(expected)} there, {_value(found)} here: "
        yield from layout.paragraph(head, first_few(patterns, SHOWN), options.width)


def _value(weight_decay: float | None) -> str:
    if weight_decay is None:
        return "in no group"
    return format_coefficient(weight_decay) if weight_decay else "spared"
