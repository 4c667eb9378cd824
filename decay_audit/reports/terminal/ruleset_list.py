"""A list of rulesets: a line for each; or, where more is asked for, also what each spares and where it comes from."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.text import count_noun, escape_control, format_coefficient

_FEW_RULESETS = 3
"""A list of no more rulesets than this shows everything about them."""


def render(rulesets: Sequence[RuleSet], options: Options) -> str:
    """List rulesets: name, base coefficient, title; of a few, or with `verbose`, also what they spare and a source."""
    names = [escape_control(ruleset.name) for ruleset in rulesets]
    width = max(map(layout.cell_width, ["ruleset", *names]))
    head = f"{'ruleset':<{width}}  decay    what it does"
    lines = [paint(head, "dim", color=options.color)]
    whole = options.verbose or len(rulesets) <= _FEW_RULESETS
    for ruleset in rulesets:
        lines.extend(_lines(ruleset, width, options, whole=whole))
    if not whole:
        note = (
            f"{count_noun(len(rulesets), 'ruleset')}; `decay-audit rules list WORD` finds some of them, --verbose "
            "shows what each spares and its source, `decay-audit rules show NAME` the file"
        )
        lines += ["", *layout.paragraph("", note, options.width)]
    return "".join(f"{line}\n" for line in lines)


def _lines(ruleset: RuleSet, width: int, options: Options, *, whole: bool) -> Iterator[str]:
    name = escape_control(ruleset.name)
    gap = " " * (width - layout.cell_width(name))
    head = f"{name}{gap}  {format_coefficient(ruleset.weight_decay):<7}"
    first, *more = layout.paragraph(f"{head}  ", escape_control(ruleset.title), options.width)
    yield paint(name, "title", color=options.color) + first[len(name) :]
    yield from more
    if not whole:
        return
    indent = " " * (layout.cell_width(head) + 2)
    yield from layout.paragraph(indent, f"spares {_sparing_rules(ruleset)}", options.width)
    if ruleset.source:
        for line in layout.paragraph(indent, escape_control(ruleset.source), options.width):
            yield paint(line, "dim", color=options.color)


def _sparing_rules(ruleset: RuleSet) -> str:
    """Name the rules that spare: the strict rules, then, after a semicolon, the lenient rules."""
    strict, lenient = (list(map(escape_control, names)) for names in ruleset.sparing_rules())
    texts = (", ".join(strict), f"lenient: {', '.join(lenient)}" if lenient else "")
    return "; ".join(filter(None, texts)) or "nothing"
