"""Kinds and conditions become branches: for each param group the cheapest conditions that select it, in order.

A branch may use conditions that hold for kinds of earlier branches, which have been taken; never for kinds of later
ones. The search is a weighted greedy cover, pruned, and then every set of up to three conditions.
"""

from collections.abc import Collection, Sequence
from itertools import combinations

from msgspec import Struct

from decay_audit.emit.rule.conditions import Condition, is_specific, list_conditions, price, whole_names
from decay_audit.emit.rule.kinds import Kind

MOST_CANDIDATES = 40
"""Sets of two and three are tried among this many conditions: the cheapest for what they select."""
DECAY_FIRST = 1.0
"""The cost of a first branch that decays: most code names what it spares first."""


class Branch(Struct, frozen=True, kw_only=True):
    """The conditions that select a param group; none: it takes every parameter that is left."""

    group: int
    conditions: tuple[Condition, ...]


def find_branches(
    kinds: Sequence[Kind], ruleset_keys: Collection[str], spared: Collection[int], *, guard: bool
) -> tuple[Branch, ...]:
    """Find the branches of the cheapest function.

    Args:
        ruleset_keys: the keys that the conditions of the ruleset use.
        spared: the param groups that do not decay.
        guard: the last branch has conditions too, of classes and specific names, so that anything else can be refused.
    """
    conditions = list_conditions(kinds, ruleset_keys)
    remaining = dict.fromkeys(kind.group for kind in kinds)
    starts = [*remaining] if len(remaining) <= 3 else [None]
    return min((_branches(kinds, conditions, remaining, start, spared, guard=guard) for start in starts), key=_cost)[1]


def _cost(result: tuple[float, tuple[Branch, ...]]) -> float:
    return result[0]


def _branches(
    kinds: Sequence[Kind],
    conditions: Sequence[Condition],
    groups: Collection[int],
    start: int | None,
    spared: Collection[int],
    *,
    guard: bool,
) -> tuple[float, tuple[Branch, ...]]:
    """Choose the branches one after another, the cheapest first, or `start` before any other.

    With a guard, what decays is selected by specific conditions: `p.ndim >= 2` holds for classes never met, too.
    """
    members = {group: _mask(kinds, group) for group in groups}
    total, branches = 0.0, []
    while len(members) > 1:
        covers = {
            group: _cover(
                kinds,
                [*filter(is_specific, conditions)] if guard and spared and group not in spared else conditions,
                wanted,
                sum(members.values()) & ~wanted,
            )
            for group, wanted in members.items()
            if start is None or group == start
        }
        costs = {group: price(cover) + (0.0 if group in spared else DECAY_FIRST) for group, cover in covers.items()}
        cheapest = min(costs, key=lambda group: costs[group])
        branches.append(Branch(group=cheapest, conditions=covers[cheapest]))
        total += costs[cheapest]
        del members[cheapest]
        start = None
    ((group, wanted),) = members.items()
    last = _cover(kinds, [*filter(is_specific, conditions)], wanted, 0) if guard else ()
    return total + price(last), (*branches, Branch(group=group, conditions=last))


def _mask(kinds: Sequence[Kind], group: int) -> int:
    return sum(1 << index for index, kind in enumerate(kinds) if kind.group == group)


def _cover(
    kinds: Sequence[Kind], conditions: Sequence[Condition], wanted: int, forbidden: int
) -> tuple[Condition, ...]:
    """Find conditions that together hold for all that is wanted, and for nothing that is forbidden."""
    candidates = [condition for condition in conditions if condition.holds & wanted and not condition.holds & forbidden]
    candidates = _without_dominated(candidates, wanted)
    missing = wanted & ~_union(candidates)
    names = [whole_names(kind, index) for index, kind in enumerate(kinds) if missing >> index & 1]
    needed = wanted & ~missing
    best = _prune(_greedy(candidates, needed), needed)
    candidates = candidates[:MOST_CANDIDATES]
    for count in (1, 2, 3):
        for chosen in combinations(candidates, count):
            if not needed & ~_union(chosen) and price(chosen) < price(best):
                best = chosen
    return (*_in_order(best, candidates), *names)


def _in_order(chosen: Collection[Condition], candidates: Sequence[Condition]) -> list[Condition]:
    return sorted(chosen, key=lambda condition: candidates.index(condition) if condition in candidates else 0)


def _without_dominated(candidates: Sequence[Condition], wanted: int) -> list[Condition]:
    """Drop a condition if another holds for as much and costs no more; sort by the cost for each kind selected."""
    ordered = sorted(candidates, key=lambda condition: (price([condition]), -(condition.holds & wanted).bit_count()))
    undominated: list[Condition] = []
    for condition in ordered:
        selected = condition.holds & wanted
        if not any(not selected & ~other.holds and other.form == condition.form for other in undominated) and not any(
            not selected & ~other.holds and price([other]) <= condition.cost for other in undominated
        ):
            undominated.append(condition)
    return sorted(undominated, key=lambda condition: price([condition]) / (condition.holds & wanted).bit_count())


def _greedy(candidates: Sequence[Condition], needed: int) -> list[Condition]:
    chosen: list[Condition] = []
    while needed:
        best = min(
            (condition for condition in candidates if condition.holds & needed),
            key=lambda condition: (
                (price([*chosen, condition]) - price(chosen)) / (condition.holds & needed).bit_count()
            ),
        )
        chosen.append(best)
        needed &= ~best.holds
    return chosen


def _prune(chosen: list[Condition], needed: int) -> tuple[Condition, ...]:
    """Drop conditions without which the rest still holds for all that is needed, the most expensive first."""
    for condition in sorted(chosen, key=lambda condition: -price([condition])):
        rest = [other for other in chosen if other is not condition]
        if not needed & ~_union(rest):
            chosen = rest
    return tuple(chosen)


def _union(conditions: Collection[Condition]) -> int:
    union = 0
    for condition in conditions:
        union |= condition.holds
    return union
