"""The rulesets that decide what an optimizer does, as text."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.folding import MAX_PATTERNS, fold_names
from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.rulesets.diff import RulesetMatch
from decay_audit.text import count_noun, escape_control, first_few, format_coefficient, join_words

_MOST_TITLES = 3
"""How many rulesets that say the same are shown with their titles; `--full` shows all."""


def render(matches: Sequence[RulesetMatch], options: Options, packages: Sequence[str] = ()) -> str:
    """Write which rulesets reproduce what an optimizer does, the best first; or the nearest ones, with what differs.

    Args:
        packages: the Python packages of the model's classes; of equally good rulesets, theirs come first.
    """
    ordered = sorted(matches, key=lambda match: not (match.exact and _is_of_codebase(match, packages)))
    return "\n".join(_text(ordered, options))


def _text(matches: Sequence[RulesetMatch], options: Options) -> Iterator[str]:
    if not matches:
        yield "nothing decays here: every ruleset with weight_decay 0 does this"
        return
    yield from _unplaced(matches, options)
    exact: dict[str, list[RulesetMatch]] = {}
    for match in matches:
        if match.exact:
            exact.setdefault(_heading(match), []).append(match)
    for heading, members in exact.items():
        yield from _exact(heading, members, options)
    if not exact:
        yield "no preset decides exactly as the optimizer does; the nearest:"
        for match in [match for match in matches if not match.refused][: 10 if options.full else 3]:
            yield from _nearest(match, options)
    yield from _refused([match.ruleset.name for match in matches if match.refused and not match.needs_model], options)
    yield from _needing_a_model([match.ruleset.name for match in matches if match.needs_model], options)


def _unplaced(matches: Sequence[RulesetMatch], options: Options) -> Iterator[str]:
    placed, unplaced = max(match.parameters for match in matches), matches[0].unplaced
    if not unplaced:
        return
    parameters = count_noun(placed + unplaced, "parameter")
    if placed:
        compared, others = f"{placed:,} of {parameters}", "the others"
    else:
        compared, others = f"only the number of parameters with each weight_decay, of {parameters}", "they"
    text = f"compared {compared}: the saved optimizer does not say at which positions {others} are"
    yield from layout.paragraph("", text, options.width)


def _heading(match: RulesetMatch) -> str:
    """Write the heading for rulesets that reproduce the coefficients: what else they do or do not reproduce."""
    if match.same_rates is False and not match.scales:
        return "these decay the same, but have one learning rate where the optimizer has several"
    scales = [] if match.same_rates or not match.scales else ["scale learning rates"]
    more = scales + ["use several optimizers"] * match.routes
    if more:
        return f"these decay the same, but also {join_words(more)}"
    if match.no_effect:
        return "these agree too, but only because none of their rules matches this model"
    return (
        "these presets agree with everything that could be compared"
        if match.unplaced
        else "these presets decide exactly as the optimizer does"
    )


def _exact(heading: str, matches: Sequence[RulesetMatch], options: Options) -> Iterator[str]:
    """Write the first rulesets with their titles, and the names of the others.

    If all have the same coefficient, only the heading has it.
    """
    coefficients = {match.weight_decay for match in matches}
    common_text = f", with weight_decay {format_coefficient(matches[0].weight_decay)}" if len(coefficients) == 1 else ""
    yield from layout.paragraph("", f"{heading}{common_text}:", options.width)
    most = len(matches) if options.full or len(matches) <= _MOST_TITLES + 1 else _MOST_TITLES
    names = [escape_control(match.ruleset.name) for match in matches]
    width = max(map(len, names[:most]))
    for name, match in zip(names[:most], matches, strict=False):
        own_text = "" if common_text else f"   weight_decay {format_coefficient(match.weight_decay)}"
        first, *others = layout.paragraph(
            f"  {name:<{width}}{own_text}   ", escape_control(match.ruleset.title), options.width
        )
        yield first.replace(name, paint(name, "title", color=options.color), 1)
        yield from others
    if rest := names[most:]:
        yield from layout.paragraph(f"  {len(rest)} more say the same of this model: ", ", ".join(rest), options.width)


def _is_of_codebase(match: RulesetMatch, packages: Sequence[str]) -> bool:
    """Whether a preset is that of a package, by its name (`timm-layer-decay`) or the repository of its source."""
    name, repository = match.ruleset.name, match.ruleset.source.partition(",")[0].lower()
    return any(
        name == package or name.startswith(f"{package}-") or repository.endswith(f"/{package}")
        for package in packages
        if package != "torch"  # each model has classes of torch
    )


def _needing_a_model(names: Sequence[str], options: Options) -> Iterator[str]:
    """Count the rulesets that need a model. They are many, so only `--full` shows their names."""
    if names:
        need = "need classes, declarations or attributes, which a checkpoint does not have: name its model with --model"
        yield from layout.paragraph("  ", f"{count_noun(len(names), 'preset')} {need}", options.width)
        if options.full:
            yield from layout.paragraph("    ", ", ".join(map(escape_control, names)), options.width)


def _refused(names: Sequence[str], options: Options) -> Iterator[str]:
    if names:
        text = ", ".join(map(escape_control, names))
        yield from layout.paragraph("", f"presets that raise an error for this model: {text}", options.width)


def _nearest(match: RulesetMatch, options: Options) -> Iterator[str]:
    title = f"{escape_control(match.ruleset.name)}, weight_decay {format_coefficient(match.weight_decay)}"
    size = f"{len(match.mismatches):,} of {count_noun(match.parameters, 'parameter')} differ"
    if not match.parameters:
        size = f"{match.unmatched:,} of {count_noun(match.unplaced, 'parameter')} differ"
    elif match.unplaced:
        size += f", and {match.unmatched:,} of the {match.unplaced:,} others"
    yield f"  {paint(title, 'title', color=options.color)}   {size}"
    for expected, actual in dict.fromkeys((mismatch.expected, mismatch.observed) for mismatch in match.mismatches):
        names = [
            mismatch.parameter
            for mismatch in match.mismatches
            if (mismatch.expected, mismatch.observed) == (expected, actual)
        ]
        patterns = [escape_control(pattern) for pattern in fold_names(names, shorten=True)]
        head = f"    {_coefficient(expected)} by the preset, {_coefficient(actual)} in the optimizer: "
        yield from layout.paragraph(head, first_few(patterns, MAX_PATTERNS), options.width)


def _coefficient(weight_decay: float | None) -> str:
    if weight_decay is None:
        return "in no group"
    return format_coefficient(weight_decay) if weight_decay else "spared"
