"""The model as a tree of modules, each with its elements, how many parameters decay, and the decay of its own."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.columns import DIFFERS
from decay_audit.reports.folding.patterns import join_alternatives, shorten_pattern
from decay_audit.reports.module_tree import ModuleNode, module_tree
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.frame import footer, header
from decay_audit.reports.terminal.layout import Column, PaintedText, Style, paint
from decay_audit.reports.totals import amount
from decay_audit.text import escape_control

_COLUMNS = (
    Column(title="module"),
    Column(title="", align_right=True),
    Column(title="type", drop_order=2),
    Column(title="elements", align_right=True, drop_order=3),
    Column(title="decayed", align_right=True),
    Column(title="", drop_order=1),
    Column(title="differ", align_right=True),
    Column(title="its own parameters"),
)
_BAR_WIDTH = 8


def render(report: Report, options: Options) -> str:
    """Write a report as a tree, with the header and the totals of the table."""
    root = module_tree(report, full=options.full)
    rows = [*layout.table(_COLUMNS, _rows(root, 0), options.width, color=options.color)]
    legend = "! differs from what the ruleset decides; the table shows what the optimizer does"
    marks = [paint(f"{layout.INDENT}{legend}", "dim", color=options.color)] if root.differing else []
    return "\n".join([*header(report, options), "", *rows, *marks, "", *footer(report, options), ""])


def _rows(node: ModuleNode, depth: int, prefix: str = "", parents: int = 1) -> Iterator[Sequence[PaintedText]]:
    """Make a row for the node, then rows for its children. A module that only holds one module shares its row.

    Args:
        parents: the number of parents that were folded into one node; the sums of this node are over all of them.
    """
    count = parents * len(node.names)
    name = prefix + (shorten_pattern(join_alternatives(node.names)) if len(node.names) > 1 else node.names[0])
    if name and len(node.children) == 1 and not node.own_decay:
        yield from _rows(node.children[0], depth, f"{name}.", count)
        return
    style: Style = "error" if node.differing else "" if node.children else "dim"
    yield (
        (layout.INDENT * depth + escape_control(name or "(model)"), style),
        (f"x{count}" if count > 1 else "", "dim"),
        (escape_control(node.type), "dim"),
        (amount(node.numel), ""),
        (f"{node.decayed_parameters:,} of {node.parameters:,}", "decay" if node.decayed_parameters else "dim"),
        (_bar(node.decayed_parameters, node.parameters), "decay" if node.decayed_parameters else "dim"),
        (f"{node.differing:,}{DIFFERS}" if node.differing else "", "error"),
        (escape_control(node.own_decay), ""),
    )
    for child in node.children:
        yield from _rows(child, depth + 1, parents=count)


def _bar(part: int, whole: int) -> str:
    """Draw a share. Only the whole fills the bar, and only nothing leaves it empty.

    >>> _bar(0, 9), _bar(1, 900), _bar(899, 900), _bar(9, 9)
    ('........', '#.......', '#######.', '########')
    """
    filled = _BAR_WIDTH if part == whole else min(max(round(_BAR_WIDTH * part / whole), part > 0), _BAR_WIDTH - 1)
    return "#" * filled + "." * (_BAR_WIDTH - filled)
