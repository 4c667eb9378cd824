"""The parameters of a report as a tree of modules: their elements, and how many decay. Equal blocks are one node."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.reports.columns import DIFFERS, decay, differing_names
from decay_audit.reports.folding import MAX_DOTS, foldable
from decay_audit.reports.folding.patterns import join_alternatives
from decay_audit.reports.report import Report
from decay_audit.rulesets.plan import FROZEN, Decision

_DIGITS = re.compile(r"[0-9]+")
_MOST_RUNS = 8
"""If equal blocks form more runs than this, such as every 4th of 48 layers, all equal blocks are one node."""


class ModuleNode(Struct, frozen=True, kw_only=True):
    """A module, or several modules that are folded into one node.

    Attributes:
        names: the names of these modules within their parent.
        type: their class; "" if unknown.
        own_decay: the decay of their own parameters, in words; parameters that differ are marked.
        numel, decayed: how many elements they have with all their descendants, and how many of these decay.
        parameters, decayed_parameters, differing: the same as numbers of parameters, and how many differ.
        fold_key: siblings with an equal key are folded into one node.
    """

    names: tuple[str, ...]
    type: str
    own_decay: str
    children: "tuple[ModuleNode, ...]"
    numel: int
    decayed: int
    parameters: int
    decayed_parameters: int
    differing: int
    fold_key: Hashable


def module_tree(report: Report, *, full: bool = False) -> ModuleNode:
    """Make the root of the tree; `full` folds nothing."""
    members = [(_name_parts(decision), decision) for decision in report.plan.decisions]
    facts = _Facts(types=_types_by_module(report), differing=differing_names(report))
    return _node("", "", members, facts, full=full)


class _Facts(Struct, frozen=True, kw_only=True):
    """What all nodes of a tree need: the class of each module, and the names of the parameters that differ."""

    types: Mapping[str, str]
    differing: frozenset[str]


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
    facts: _Facts,
    *,
    full: bool,
) -> ModuleNode:
    own_decisions = [(parts[0], decision) for parts, decision in members if len(parts) == 1]
    by_child: dict[str, list[tuple[tuple[str, ...], Decision]]] = defaultdict(list)
    for parts, decision in members:
        if len(parts) > 1:
            by_child[parts[0]].append((parts[1:], decision))
    prefix = f"{path}." if path else ""
    children = [_node(f"{prefix}{child}", child, inner, facts, full=full) for child, inner in by_child.items()]
    nodes = tuple(children) if full else _folded(children)
    type_name, own_decay = facts.types.get(path, ""), _own_decay(own_decisions, facts.differing)
    decisions = [decision for _, decision in own_decisions]
    return ModuleNode(
        names=(name,),
        type=type_name,
        own_decay=own_decay,
        children=nodes,
        numel=sum(decision.numel for decision in decisions) + sum(child.numel for child in children),
        decayed=sum(decision.numel for decision in decisions if decision.decays)
        + sum(child.decayed for child in children),
        parameters=len(decisions) + sum(child.parameters for child in children),
        decayed_parameters=sum(decision.decays for decision in decisions)
        + sum(child.decayed_parameters for child in children),
        differing=sum(decision.name in facts.differing for decision in decisions)
        + sum(child.differing for child in children),
        fold_key=(type_name, own_decay, tuple((child.names, child.fold_key) for child in nodes)),
    )


def _own_decay(members: Iterable[tuple[str, Decision]], differing: frozenset[str]) -> str:
    """Write the decay of a module's own parameters, marked where an optimizer differs: `weight 5e-4, bias - !`."""
    leaves: dict[str, list[str]] = defaultdict(list)
    for leaf, decision in members:
        text = "frozen" if decision.rule == FROZEN else decay(decision)
        leaves[text + (DIFFERS if decision.name in differing else "")].append(leaf)
    return ", ".join(f"{_leaf_pattern(names)} {text}" for text, names in leaves.items())


def _leaf_pattern(leaves: list[str]) -> str:
    return join_alternatives(leaves) if all(map(foldable, leaves)) else ", ".join(leaves)


def _folded(nodes: Sequence[ModuleNode]) -> tuple[ModuleNode, ...]:
    """Fold siblings with equal keys: blocks whose names differ in a number, and modules without children.

    Few blocks keep their order: only neighbours fold, so that layer1 stands before layer2 even if layer4 is like it.
    """
    runs = [run for run, node in zip(_runs(nodes), nodes, strict=True) if node.children]
    keep_order = len(set(runs)) <= _MOST_RUNS
    nodes_by_key: dict[Hashable, list[ModuleNode]] = {}
    for run, node in zip(_runs(nodes), nodes, strict=True):
        name = node.names[0]
        key = (_stem(node), node.fold_key, run if keep_order and node.children else 0)
        nodes_by_key.setdefault(key if foldable(name) else name, []).append(node)
    return tuple(
        replace(_add_up(members), names=tuple(node.names[0] for node in members)) for members in nodes_by_key.values()
    )


def _stem(node: ModuleNode) -> str:
    """Return what the names of equal nodes must share to fold; modules without children need nothing in common."""
    return _DIGITS.sub("#", node.names[0]) if node.children else ""


def _runs(nodes: Iterable[ModuleNode]) -> Iterator[int]:
    """Number the runs of blocks that stand beside each other and have equal keys."""
    number, previous = 0, None
    for node in nodes:
        key = (_stem(node), node.fold_key)
        number += node.children != () and key != previous
        previous = key if node.children else previous
        yield number


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
        parameters=sum(node.parameters for node in nodes),
        decayed_parameters=sum(node.decayed_parameters for node in nodes),
        differing=sum(node.differing for node in nodes),
    )
