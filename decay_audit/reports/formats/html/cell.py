"""A report in a cell of a notebook: the verdict, the findings, and the modules as a tree that folds."""

from collections.abc import Iterator
from html import escape

from decay_audit.checks.codes import Finding
from decay_audit.reports.findings.summary import parameter_names, verdict
from decay_audit.reports.folding.patterns import join_alternatives
from decay_audit.reports.module_tree import ModuleNode, module_tree
from decay_audit.reports.report import Report
from decay_audit.reports.totals import amount, share
from decay_audit.text import count_noun, escape_control

_MAX_NAMES = 8
_OPEN_LEVELS = 1
_MAX_NODES = 500
_COLORS = {"error": "#b3261e", "warning": "#8a5a00", "note": "#4a5568"}


def render(report: Report) -> str:
    """Write a report as HTML for the output of a cell; a tree of more than 500 nodes is cut."""
    nodes = list(_tree(module_tree(report), 0))
    rest = len(nodes) - _MAX_NODES
    cut = f"<div>and {rest:,} more lines: report.to_html(path) shows them</div>" if rest > 0 else ""
    return "".join(
        (
            "<div style='font-family:sans-serif;line-height:1.5'>",
            f"<div><b>{_text(report.inventory.target)}</b> under {_text(report.plan.ruleset.name)}: ",
            f"{_text(verdict(report))}</div>",
            *map(_finding, (*report.findings, *report.excepted)),
            "<div style='font-family:monospace;margin-top:.5em'>",
            *_folding_elements(nodes[:_MAX_NODES]),
            cut,
            "</div></div>",
        )
    )


def _finding(finding: Finding) -> str:
    names = f"<div><code>{_text(parameter_names(finding, _MAX_NAMES))}</code></div>" if finding.parameters else ""
    fix = f"<div>fix: <code>{_text(finding.fix)}</code></div>" if finding.fix else ""
    accepted = f"<div>accepted: {_text(finding.exception)}</div>" if finding.exception else ""
    return (
        f"<details><summary><b style='color:{_COLORS[finding.severity]}'>{finding.code}</b> "
        f"{_text(finding.message)}</summary><div style='margin-left:1.2em'>{names}{fix}{accepted}</div></details>"
    )


Line = tuple[int, str, bool]
"""The depth of a node, its text, and whether it has children."""


def _tree(node: ModuleNode, depth: int, prefix: str = "", parents: int = 1) -> Iterator[Line]:
    """List the nodes of the tree from the top. A module that only holds one module shares its line.

    Args:
        parents: how many modules the nodes above stand for.
    """
    count = parents * len(node.names)
    name = prefix + (join_alternatives(node.names) if len(node.names) > 1 else node.names[0])
    if name and len(node.children) == 1 and not node.own_decay:
        yield from _tree(node.children[0], depth, f"{name}.", count)
        return
    times = f" x{count}" if count > 1 else ""
    type_name = f" <span style='opacity:.65'>{_text(node.type)}</span>" if node.type else ""
    own_decay = f": {_text(node.own_decay)}" if node.own_decay else ""
    elements = count_noun(node.numel, "element") if node.numel == 1 else f"{amount(node.numel)} elements"
    decayed = f"{elements}, {share(node.decayed, node.numel)} decayed"
    yield depth, f"{_text(name or '(model)')}{times}{type_name}{own_decay} ({decayed})", bool(node.children)
    for child in node.children:
        yield from _tree(child, depth + 1, parents=count)


def _folding_elements(lines: list[Line]) -> Iterator[str]:
    """Write each node with children as `<details>`, and close it after its last descendant."""
    depths: list[int] = []
    for depth, text, has_children in lines:
        while depths and depths[-1] >= depth:
            depths.pop()
            yield "</div></details>"
        if has_children:
            depths.append(depth)
            opened = " open" if depth < _OPEN_LEVELS else ""
            yield f"<details{opened}><summary>{text}</summary><div style='margin-left:1.2em'>"
        else:
            yield f"<div style='margin-left:1.1em'>{text}</div>"
    yield "</div></details>" * len(depths)


def _text(text: str) -> str:
    return escape(escape_control(text))
