"""The model as a tree of modules, each with its elements, the share that decays, and the decay of its parameters."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.reports.columns import decay
from decay_audit.reports.folding import MAX_DOTS, foldable, join_alternatives
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.reports.terminal import layout
from decay_audit.reports.terminal.frame import footer, header
from decay_audit.reports.terminal.layout import Column, PaintedText
from decay_audit.reports.wording import amount, share
from decay_audit.rulesets.plan import FROZEN, Decision
from decay_audit.text import escape_control

_DIGITS = re.compile(r"[0-9]+")

_COLUMNS = (
    Column(title="module"),
    Column(title="", align_right=True),
    Column(title="type", drop_order=1),
    Column(title="elements", align_right=True),
    Column(title="decayed", align_right=True),
    Column(title="its own parameters"),
)


class ModuleNode(Struct, frozen=True, kw_only=True):
    """A module, or several modules that are folded into one node.

    Attributes:
        names: the names of these modules within their parent.
        type: their class; "" if unknown.
        own_decay: the decay of their own parameters, in words.
        fold_key: siblings with an equal key are folded into one node.
    """

    names: tuple[str, ...]
    type: str
    own_decay: str
    children: "tuple[ModuleNode, ...]"
    numel: int
    decayed: int
    fold_key: Hashable


def render(report: Report, options: Options) -> str:
    """Write a report as a tree, with the header and the totals of the table."""
    members = [(_parts(decision), decision) for decision in report.plan.decisions]
    root = _node("", "", members, _types(report), full=options.full)
    rows = layout.table(_COLUMNS, _rows(root, 0), options.width, color=options.color)
    return "\n".join([*header(report, options), "", *rows, "", *footer(report, options), ""])


def _parts(decision: Decision) -> tuple[str, ...]:
    *parents, leaf = decision.name.split(".", MAX_DOTS)
    return (*parents, leaf)


def _types(report: Report) -> Mapping[str, str]:
    """Find the class of each module that holds a parameter, and of each module above it."""
    types: dict[str, str] = {}
    for decision in report.plan.decisions:
        for owner in decision.classified.parameter.owner.lineage():
            if owner.name in types:
                break
            types[owner.name] = owner.type_name
    return types


def _node(
    path: str,
    name: str,
    members: Sequence[tuple[tuple[str, ...], Decision]],
    types: Mapping[str, str],
    *,
    full: bool,
) -> ModuleNode:
    own = [(parts[0], decision) for parts, decision in members if len(parts) == 1]
    by_child: dict[str, list[tuple[tuple[str, ...], Decision]]] = defaultdict(list)
    for parts, decision in members:
        if len(parts) > 1:
            by_child[parts[0]].append((parts[1:], decision))
    prefix = f"{path}." if path else ""
    children = [_node(f"{prefix}{child}", child, inner, types, full=full) for child, inner in by_child.items()]
    nodes = tuple(children) if full else _folded(children)
    type_name, own_decay = types.get(path, ""), _own_decay(own)
    return ModuleNode(
        names=(name,),
        type=type_name,
        own_decay=own_decay,
        children=nodes,
        numel=sum(decision.numel for _, decision in own) + sum(child.numel for child in children),
        decayed=sum(decision.numel for _, decision in own if decision.decays)
        + sum(child.decayed for child in children),
        fold_key=(type_name, own_decay, tuple((child.names, child.fold_key) for child in nodes)),
    )


def _own_decay(members: Iterable[tuple[str, Decision]]) -> str:
    """Write the decay of a module's own parameters: `weight 5e-4, bias -`."""
    leaves: dict[str, list[str]] = defaultdict(list)
    for leaf, decision in members:
        leaves["frozen" if decision.rule == FROZEN else decay(decision)].append(leaf)
    return ", ".join(f"{_leaf_pattern(names)} {text}" for text, names in leaves.items())


def _leaf_pattern(leaves: list[str]) -> str:
    return join_alternatives(leaves) if all(map(foldable, leaves)) else ", ".join(leaves)


def _folded(nodes: Iterable[ModuleNode]) -> tuple[ModuleNode, ...]:
    """Fold siblings with equal keys: blocks whose names differ in a number, and modules without children."""
    nodes_by_key: dict[Hashable, list[ModuleNode]] = {}
    for node in nodes:
        name = node.names[0]
        stem = _DIGITS.sub("#", name) if node.children else ""
        nodes_by_key.setdefault((stem, node.fold_key) if foldable(name) else name, []).append(node)
    return tuple(
        replace(_add_up(members), names=tuple(node.names[0] for node in members)) for members in nodes_by_key.values()
    )


def _add_up(nodes: Sequence[ModuleNode]) -> ModuleNode:
    """Add up the elements of nodes with equal keys, and of their descendants."""
    first = nodes[0]
    if len(nodes) == 1:
        return first
    return replace(
        first,
        children=tuple(map(_add_up, zip(*(node.children for node in nodes), strict=True))),
        numel=sum(node.numel for node in nodes),
        decayed=sum(node.decayed for node in nodes),
    )


def _rows(node: ModuleNode, depth: int, prefix: str = "", parents: int = 1) -> Iterator[Sequence[PaintedText]]:
    """Make a row for the node, then rows for its children. A module that only holds one module shares its row.

    Args:
        parents: the number of parents that were folded into one node; the sums of this node are over all of them.
    """
    count = parents * len(node.names)
    name = prefix + (join_alternatives(list(node.names)) if len(node.names) > 1 else node.names[0])
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
