"""Find the cheapest conditions that select the kinds of parameters in each param group, and make branches of them.

The branches are an `if` and its `elif`s. A condition may hold for kinds of earlier branches, because those branches
have taken them; it must not hold for kinds of later branches. The search takes a weighted greedy cover, drops the
conditions that it does not need, and then tries every set of up to three conditions.
"""

from collections.abc import Collection, Sequence
from itertools import combinations

from msgspec import Struct

from decay_audit.emit.rule.conditions import Condition, is_specific, list_conditions, price, whole_names
from decay_audit.emit.rule.kinds import Kind

MOST_CANDIDATES = 40
"""Sets of up to three conditions are made from this many candidates, those with the lowest cost per selected kind."""
COST_OF_DECAY_FIRST = 1.0
"""Added to the cost of a branch for a decaying group, because most code tests first for what does not decay."""


class Branch(Struct, frozen=True, kw_only=True):
    """The conditions that select a param group. A branch without conditions takes every remaining parameter."""

    group: int
    conditions: tuple[Condition, ...]


def find_branches(
    kinds: Sequence[Kind], ruleset_keys: Collection[str], spared: Collection[int], *, guard: bool
) -> tuple[Branch, ...]:
    """Find the branches of the cheapest function.

    Args:
        ruleset_keys: the keys that the conditions of the ruleset use.
        spared: the param groups that do not decay.
        guard: whether the last branch has conditions, too (on classes and specific names), and not only `else`.
    """
    conditions = list_conditions(kinds, ruleset_keys)
    remaining = dict.fromkeys(kind.group for kind in kinds)
    # with few groups, each of them is tried as the first branch; with more, the cheapest one is the first
    firsts = [*remaining] if len(remaining) <= 3 else [None]
    return min((_branches(kinds, conditions, remaining, first, spared, guard=guard) for first in firsts), key=_cost)[1]


def _cost(result: tuple[float, tuple[Branch, ...]]) -> float:
    return result[0]


def _branches(
    kinds: Sequence[Kind],
    conditions: Sequence[Condition],
    groups: Collection[int],
    first: int | None,
    spared: Collection[int],
    *,
    guard: bool,
) -> tuple[float, tuple[Branch, ...]]:
    """Choose one branch after another: the group `first`, if it is given, and then always the cheapest group.

    With a guard, and if some group does not decay, decaying groups are selected by specific conditions only:
    `p.ndim >= 2` would also hold for parameters of classes that the model does not have.
    """
    masks = {group: _mask(kinds, group) for group in groups}
    total, branches = 0.0, []
    while len(masks) > 1:
        covers = {
            group: _cover(
                kinds,
                [*filter(is_specific, conditions)] if guard and spared and group not in spared else conditions,
                members,
                sum(masks.values()) & ~members,
            )
            for group, members in masks.items()
            if first is None or group == first
        }
        costs = {
            group: price(cover) + (0.0 if group in spared else COST_OF_DECAY_FIRST) for group, cover in covers.items()
        }
        cheapest = min(costs, key=lambda group: costs[group])
        branches.append(Branch(group=cheapest, conditions=covers[cheapest]))
        total += costs[cheapest]
        del masks[cheapest]
        first = None
    ((group, members),) = masks.items()
    last = _cover(kinds, [*filter(is_specific, conditions)], members, 0) if guard else ()
    return total + price(last), (*branches, Branch(group=group, conditions=last))


def _mask(kinds: Sequence[Kind], group: int) -> int:
    """Return the kinds of a group as a bit mask: bit `index` stands for `kinds[index]`."""
    return sum(1 << index for index, kind in enumerate(kinds) if kind.group == group)


def _cover(
    kinds: Sequence[Kind], conditions: Sequence[Condition], members: int, later_mask: int
) -> tuple[Condition, ...]:
    """Find conditions that together hold for every kind of a group, and for no kind of the later groups.

    Args:
        members: the kinds of the group, as a bit mask.
        later_mask: the kinds of the groups whose branches come later, as a bit mask.
    """
    candidates = [
        condition for condition in conditions if condition.holds_for & members and not condition.holds_for & later_mask
    ]
    candidates = _without_dominated(candidates, members)
    missing = members & ~_union(candidates)
    # a kind for which no candidate holds is selected by the whole names of its parameters
    names = [whole_names(kind, index) for index, kind in enumerate(kinds) if missing >> index & 1]
    needed = members & ~missing
    best = _prune(_greedy(candidates, needed), needed)
    candidates = candidates[:MOST_CANDIDATES]
    for count in (1, 2, 3):
        for chosen in combinations(candidates, count):
            if not needed & ~_union(chosen) and price(chosen) < price(best):
                best = chosen
    return (*_in_order(best, candidates), *names)


def _in_order(chosen: Collection[Condition], candidates: Sequence[Condition]) -> list[Condition]:
    """Sort conditions as the candidates are sorted, by cost per selected kind; any other condition comes first."""
    return sorted(chosen, key=lambda condition: candidates.index(condition) if condition in candidates else 0)


def _without_dominated(candidates: Sequence[Condition], members: int) -> list[Condition]:
    """Drop each condition that another one can replace at no higher cost; sort by the cost per selected kind."""
    ordered = sorted(
        candidates, key=lambda condition: (price([condition]), -(condition.holds_for & members).bit_count())
    )
    undominated: list[Condition] = []
    for condition in ordered:
        selected = condition.holds_for & members
        if not any(
            not selected & ~other.holds_for and other.form == condition.form for other in undominated
        ) and not any(not selected & ~other.holds_for and price([other]) <= condition.cost for other in undominated):
            undominated.append(condition)
    return sorted(undominated, key=lambda condition: price([condition]) / (condition.holds_for & members).bit_count())


def _greedy(candidates: Sequence[Condition], needed: int) -> list[Condition]:
    """Choose conditions one by one, each with the lowest cost per newly selected kind, until all are selected."""
    chosen: list[Condition] = []
    while needed:
        best = min(
            (condition for condition in candidates if condition.holds_for & needed),
            key=lambda condition: (
                (price([*chosen, condition]) - price(chosen)) / (condition.holds_for & needed).bit_count()
            ),
        )
        chosen.append(best)
        needed &= ~best.holds_for
    return chosen


def _prune(chosen: list[Condition], needed: int) -> tuple[Condition, ...]:
    """Drop each condition that the others make superfluous, the most expensive first."""
    for condition in sorted(chosen, key=lambda condition: -price([condition])):
        rest = [other for other in chosen if other is not condition]
        if not needed & ~_union(rest):
            chosen = rest
    return tuple(chosen)


def _union(conditions: Collection[Condition]) -> int:
    """Return the kinds for which at least one condition holds, as a bit mask."""
    union = 0
    for condition in conditions:
        union |= condition.holds_for
    return union
