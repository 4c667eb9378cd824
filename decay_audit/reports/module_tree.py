"""The parameters of a report as a tree of modules: their elements, and how many decay. Equal blocks are one node."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.reports.columns import decay
from decay_audit.reports.folding import MAX_DOTS, foldable
from decay_audit.reports.folding.patterns import join_alternatives
from decay_audit.reports.report import Report
from decay_audit.rulesets.plan import FROZEN, Decision

_DIGITS = re.compile(r"[0-9]+")


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


def module_tree(report: Report, *, full: bool = False) -> ModuleNode:
    """Make the root of the tree; `full` folds nothing."""
    members = [(_name_parts(decision), decision) for decision in report.plan.decisions]
    return _node("", "", members, _types_by_module(report), full=full)


def _name_parts(decision: Decision) -> tuple[str, ...]:
    *parents, leaf = decision.name.split(".", MAX_DOTS)
    return (*parents, leaf)


def _types_by_module(report: Report) -> Mapping[str, str]:
    """Find the class of each module that holds a parameter, and of each module above it."""
    types: dict[str, str] = {}
    for decision in report.plan.decisions:
        for owner in decision.classified.parameter.owner.lineage():
            if owner.name in types:
                break  # the modules above it are known, too
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
    own_decisions = [(parts[0], decision) for parts, decision in members if len(parts) == 1]
    by_child: dict[str, list[tuple[tuple[str, ...], Decision]]] = defaultdict(list)
    for parts, decision in members:
        if len(parts) > 1:
            by_child[parts[0]].append((parts[1:], decision))
    prefix = f"{path}." if path else ""
    children = [_node(f"{prefix}{child}", child, inner, types, full=full) for child, inner in by_child.items()]
    nodes = tuple(children) if full else _folded(children)
    type_name, own_decay = types.get(path, ""), _own_decay(own_decisions)
    return ModuleNode(
        names=(name,),
        type=type_name,
        own_decay=own_decay,
        children=nodes,
        numel=sum(decision.numel for _, decision in own_decisions) + sum(child.numel for child in children),
        decayed=sum(decision.numel for _, decision in own_decisions if decision.decays)
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
        # modules without children fold even if their names differ in words: `{q,k,v}_proj`
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
