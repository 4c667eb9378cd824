"""A list of rulesets: for each, what it spares and where it comes from."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.options import Options
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.layout import paint
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.text import escape_control, format_coefficient


def render(rulesets: Sequence[RuleSet], options: Options) -> str:
    """List rulesets: name, base coefficient, title, the rules that spare, and the source."""
    width = max((layout.cell_width(escape_control(ruleset.name)) for ruleset in rulesets), default=0)
    return "".join(f"{line}\n" for ruleset in rulesets for line in _lines(ruleset, width, options))


def _lines(ruleset: RuleSet, width: int, options: Options) -> Iterator[str]:
    name = escape_control(ruleset.name)
    gap = " " * (width - layout.cell_width(name))
    head = f"{name}{gap}  {format_coefficient(ruleset.weight_decay):<7}"
    first, *more = layout.paragraph(head, escape_control(ruleset.title), options.width)
    yield paint(name, "title", color=options.color) + first[len(name) :]
    yield from more
    indent = " " * layout.cell_width(head)
    yield from layout.paragraph(indent, f"spares {_sparing_rules(ruleset)}", options.width)
    if ruleset.source:
        for line in layout.paragraph(indent, escape_control(ruleset.source), options.width):
            yield paint(line, "dim", color=options.color)


def _sparing_rules(ruleset: RuleSet) -> str:
    """Name the rules that spare: the strict rules, then, after a semicolon, the lenient rules."""
    sparing = [rule for rule in ruleset.rules if rule.amount.coefficient(ruleset.weight_decay) == 0]
    strict = [escape_control(rule.name) for rule in sparing if not rule.lenient]
    lenient = [escape_control(rule.name) for rule in sparing if rule.lenient]
    texts = (", ".join(strict), f"lenient: {', '.join(lenient)}" if lenient else "")
    return "; ".join(filter(None, texts)) or "nothing"
