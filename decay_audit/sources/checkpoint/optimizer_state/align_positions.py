"""Which parameter each position of an optimizer's groups stands for, told from shapes alone: certain, or not said.

Positions are in the model's order within a group. Parameters may be missing from all groups (frozen ones).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

MAX_STATES: Final = 600_000

Shape = tuple[int, ...]
Position = tuple[int, int]
State = tuple[int, ...]


def align(
    shapes: Sequence[Shape],
    groups: Sequence[Sequence[Shape | None]],
    alike: Sequence[object],
    *,
    ordered: bool,
) -> Mapping[Position, int]:
    """Match positions with parameters.

    Args:
        shapes: of the parameters, in the model's order if `ordered`.
        groups: for each position of each group the shape of its state; None where the file holds none.
        alike: for each group what has to be certain about it (its coefficient): groups where this is equal may be
            mixed up with each other, and a match with any of them is then as good as certain.
        ordered: the order of `shapes` is the model's own; groups keep to it, or shapes alone must tell.

    Returns:
        (group, position) -> index of the parameter, where every way to match leads to a group that is `alike`.
    """
    found = _by_order(shapes, groups, alike) if ordered else _all_in_one(shapes, groups)
    if found is None or (not found and len(groups) > 1):
        return _by_shape(shapes, groups, alike)
    return found


def _all_in_one(shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]]) -> dict[Position, int] | None:
    """Put every parameter into the only group, if it has as many positions: its order does not matter then."""
    (index, group), *others = [(index, group) for index, group in enumerate(groups) if group] or [(0, ())]
    if others or len(group) != len(shapes):
        return None
    waiting: dict[Shape, list[int]] = {}
    for parameter in range(len(shapes) - 1, -1, -1):
        waiting.setdefault(shapes[parameter], []).append(parameter)
    known = {at: waiting[shape].pop() for at, shape in enumerate(group) if shape is not None and waiting.get(shape)}
    rest = iter(sorted(parameter for left in waiting.values() for parameter in left))
    if len(known) != sum(shape is not None for shape in group):
        return None
    return {(index, at): known[at] if at in known else next(rest) for at in range(len(group))}


def _by_shape(
    shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]], alike: Sequence[object]
) -> dict[Position, int]:
    """Match the shapes that as many parameters as positions have, if those positions are all alike."""
    if any(shape is None for group in groups for shape in group):
        return {}
    positions: dict[Shape | None, list[Position]] = {}
    for index, group in enumerate(groups):
        for at, shape in enumerate(group):
            positions.setdefault(shape, []).append((index, at))
    names: dict[Shape, list[int]] = {}
    for index, shape in enumerate(shapes):
        names.setdefault(shape, []).append(index)
    return {
        position: index
        for shape, indices in names.items()
        if len(found := positions.get(shape, [])) == len(indices) and _all_alike(found, alike)
        for position, index in zip(found, indices, strict=True)
    }


def _all_alike(positions: Sequence[Position], alike: Sequence[object]) -> bool:
    return all(alike[group] == alike[positions[0][0]] for group, _ in positions)


def _by_order(
    shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]], alike: Sequence[object]
) -> dict[Position, int] | None:
    """Walk the parameters in order, every way that fits, and keep what all ways agree on; None if they are too many.

    A state is how far each group has been used up.
    """
    levels = _forward(shapes, groups)
    goal = tuple(map(len, groups))
    if levels is None or goal not in levels[-1]:
        return None if levels is None else {}
    found: dict[Position, int] = {}
    reachable, current = {goal}, goal
    for index in range(len(shapes) - 1, -1, -1):
        steps = list(_backward(shapes[index], groups, reachable, levels[index]))
        took = {group for _, _, group in steps}
        before, group = next((earlier, group) for earlier, later, group in steps if later == current)
        if group is not None and None not in took and len({alike[each] for each in took if each is not None}) == 1:
            found[group, before[group]] = index
        reachable, current = {earlier for earlier, _, _ in steps}, before
    return found


def _forward(shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]]) -> list[set[State]] | None:
    """List the states that can be reached after each parameter, none where nothing fits; None if they are too many."""
    if len(groups) ** 2 > MAX_STATES:
        return None
    spare = len(shapes) - sum(map(len, groups))
    levels: list[set[State]] = [{(0,) * len(groups)}]
    total = 0
    for index, shape in enumerate(shapes):
        reached: set[State] = set()
        for state in levels[-1]:
            reached.update(later for later, _ in _next(shape, groups, state, skip=index - sum(state) < spare))
            if (total + len(reached)) * len(groups) > MAX_STATES:
                return None
        total += len(reached)
        levels.append(reached)
    return levels


def _next(
    shape: Shape, groups: Sequence[Sequence[Shape | None]], state: State, *, skip: bool
) -> Iterator[tuple[State, int | None]]:
    """Give every step from a state: into the group whose next position fits, or into none."""
    if skip:
        yield state, None
    for group, (held, used) in enumerate(zip(groups, state, strict=True)):
        if used < len(held) and (held[used] is None or held[used] == shape):
            yield (*state[:group], used + 1, *state[group + 1 :]), group


def _backward(
    shape: Shape, groups: Sequence[Sequence[Shape | None]], later: set[State], earlier: set[State]
) -> Iterator[tuple[State, State, int | None]]:
    """Give every step from `earlier` that leads into `later`."""
    for state in earlier:
        for reached, group in _next(shape, groups, state, skip=True):
            if reached in later:
                yield state, reached, group
