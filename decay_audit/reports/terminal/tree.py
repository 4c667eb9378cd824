"""The model as a tree of modules, each with its elements, the share that decays, and the decay of its parameters."""

from collections.abc import Iterator, Sequence

from decay_audit.reports.folding.patterns import join_alternatives, shorten_pattern
from decay_audit.reports.module_tree import ModuleNode, module_tree
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.frame import footer, header
from decay_audit.reports.terminal.layout import Column, PaintedText
from decay_audit.reports.totals import amount, share
from decay_audit.text import escape_control

_COLUMNS = (
    Column(title="module"),
    Column(title="", align_right=True),
    Column(title="type", drop_order=1),
    Column(title="elements", align_right=True),
    Column(title="decayed", align_right=True),
    Column(title="its own parameters"),
)


def render(report: Report, options: Options) -> str:
    """Write a report as a tree, with the header and the totals of the table."""
    rows = layout.table(_COLUMNS, _rows(module_tree(report, full=options.full), 0), options.width, color=options.color)
    return "\n".join([*header(report, options), "", *rows, "", *footer(report, options), ""])


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
    decays = share(node.decayed, node.numel)
    yield (
        (layout.INDENT * depth + escape_control(name or "(model)"), "" if node.children else "dim"),
        (f"x{count}" if count > 1 else "", "dim"),
        (escape_control(node.type), "dim"),
        (amount(node.numel), ""),
        (decays, "decay" if node.decayed else "dim"),
        (escape_control(node.own_decay), ""),
    )
    for child in node.children:
        yield from _rows(child, depth + 1, parents=count)
