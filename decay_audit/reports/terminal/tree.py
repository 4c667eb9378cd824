"""The model as a tree of modules, each with its elements, the share that decays, and its own parameters' decay."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.reports.columns import decay
from decay_audit.reports.folding import DEEPEST, foldable, join_alternatives
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
    Column(title="", right=True),
    Column(title="type", dropped=1),
    Column(title="elements", right=True),
    Column(title="decayed", right=True),
    Column(title="its own parameters"),
)


class ModuleNode(Struct, frozen=True, kw_only=True):
    """A module, or several that are alike.

    Attributes:
        names: its name within its parent, and the names of the modules that are folded into it.
        type: its class; "" if unknown.
        own: the decay of its own parameters, in words.
        alike: a key; siblings with an equal key are folded into one node.
    """

    names: tuple[str, ...]
    type: str
    own: str
    children: "tuple[ModuleNode, ...]"
    numel: int
    decayed: int
    alike: Hashable


def render(report: Report, options: Options) -> str:
    """Write a report as a tree, with the header and the totals of the table."""
    members = [(_parts(decision), decision) for decision in report.plan.decisions]
    root = _node("", "", members, _types(report), full=options.full)
    rows = layout.table(_COLUMNS, _rows(root, 0), options.width, color=options.color)
    return "\n".join([*header(report, options), "", *rows, "", *footer(report, options), ""])


def _parts(decision: Decision) -> tuple[str, ...]:
    *parents, leaf = decision.name.split(".", DEEPEST)
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
    shown = tuple(children) if full else _folded(children)
    type_name, own_text = types.get(path, ""), _own_text(own)
    return ModuleNode(
        names=(name,),
        type=type_name,
        own=own_text,
        children=shown,
        numel=sum(decision.numel for _, decision in own) + sum(child.numel for child in children),
        decayed=sum(decision.numel for _, decision in own if decision.decays)
        + sum(child.decayed for child in children),
        alike=(type_name, own_text, tuple((child.names, child.alike) for child in shown)),
    )


def _own_text(members: Iterable[tuple[str, Decision]]) -> str:
    """Write the decay of a module's own parameters: `weight 5e-4, bias -`."""
    leaves: dict[str, list[str]] = defaultdict(list)
    for leaf, decision in members:
        leaves["frozen" if decision.rule == FROZEN else decay(decision)].append(leaf)
    return ", ".join(f"{_leaf_pattern(names)} {text}" for text, names in leaves.items())


def _leaf_pattern(leaves: list[str]) -> str:
    return join_alternatives(leaves) if all(map(foldable, leaves)) else ", ".join(leaves)


def _folded(nodes: Iterable[ModuleNode]) -> tuple[ModuleNode, ...]:
    """Fold siblings that are alike: blocks over their numbers, and modules without modules under any names."""
    alike: dict[Hashable, list[ModuleNode]] = {}
    for node in nodes:
        name = node.names[0]
        stem = _DIGITS.sub("#", name) if node.children else ""
        alike.setdefault((stem, node.alike) if foldable(name) else name, []).append(node)
    return tuple(replace(_add_up(same), names=tuple(node.names[0] for node in same)) for same in alike.values())


def _add_up(same: Sequence[ModuleNode]) -> ModuleNode:
    """Add up nodes that are alike, all the way down."""
    first = same[0]
    if len(same) == 1:
        return first
    return replace(
        first,
        children=tuple(map(_add_up, zip(*(node.children for node in same), strict=True))),
        numel=sum(node.numel for node in same),
        decayed=sum(node.decayed for node in same),
    )


def _rows(node: ModuleNode, depth: int, prefix: str = "", parents: int = 1) -> Iterator[Sequence[PaintedText]]:
    """Make a row for the node, then rows for its children. A module that only holds one module shares its row.

    Args:
        parents: the number of parents that were folded into one; the numbers of the node are sums over all of them.
    """
    count = parents * len(node.names)
    name = prefix + (join_alternatives(list(node.names)) if len(node.names) > 1 else node.names[0])
    if name and len(node.children) == 1 and not node.own:
        yield from _rows(node.children[0], depth, f"{name}.", count)
        return
    decays = share(node.decayed, node.numel)
    yield (
        (layout.INDENT * depth + escape_control(name or "(model)"), "" if node.children else "dim"),
        (f"x{count}" if count > 1 else "", "dim"),
        (escape_control(node.type), "dim"),
        (amount(node.numel), ""),
        (decays, "decay" if node.decayed else "dim"),
        (escape_control(node.own), ""),
    )
    for child in node.children:
        yield from _rows(child, depth + 1, parents=count)
