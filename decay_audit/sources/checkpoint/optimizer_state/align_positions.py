"""Match the positions of an optimizer's groups with parameters by shapes and order, where the match is certain.

Within a group, positions are in the model's order. A parameter may be in no group (a frozen one).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_MAX_PROGRESSES: Final = 600_000
"""The most entries of all progresses together; if there would be more, shapes alone decide."""

Shape = tuple[int, ...]
Position = tuple[int, int]
"""The index of a group, and an index into its parameters."""
Progress = tuple[int, ...]
"""How many positions of each group are matched with the parameters up to some point."""


def align(
    shapes: Sequence[Shape],
    groups: Sequence[Sequence[Shape | None]],
    weight_decays: Sequence[object],
    *,
    in_model_order: bool,
) -> Mapping[Position, int]:
    """Match positions with parameters.

    Args:
        shapes: the shapes of the parameters.
        groups: for each position of each group the shape of its state; None if the file has no state for it.
        weight_decays: the weight_decay of each group. Groups with equal weight_decay need not be told apart.
        in_model_order: whether `shapes` are in the model's order; if not, shapes alone decide.

    Returns:
        (group, position) -> index of the parameter, where all possible matches have the same weight_decay.
    """
    matches = _by_order(shapes, groups, weight_decays) if in_model_order else _single_group(shapes, groups)
    if matches is None or (not matches and len(groups) > 1):
        return _by_shape(shapes, groups, weight_decays)
    return matches


def _single_group(shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]]) -> dict[Position, int] | None:
    """Match every parameter with the only group, if the group has as many positions: then the order does not matter."""
    (index, group), *others = [(index, group) for index, group in enumerate(groups) if group] or [(0, ())]
    if others or len(group) != len(shapes):
        return None
    by_shape: dict[Shape, list[int]] = {}
    for parameter in range(len(shapes) - 1, -1, -1):
        by_shape.setdefault(shapes[parameter], []).append(parameter)
    matches = {
        index_in_group: by_shape[shape].pop()
        for index_in_group, shape in enumerate(group)
        if shape is not None and by_shape.get(shape)
    }
    remaining = iter(sorted(parameter for parameters in by_shape.values() for parameter in parameters))
    if len(matches) != sum(shape is not None for shape in group):
        return None
    return {
        (index, index_in_group): matches[index_in_group] if index_in_group in matches else next(remaining)
        for index_in_group in range(len(group))
    }


def _by_shape(
    shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]], weight_decays: Sequence[object]
) -> dict[Position, int]:
    """Match parameters by shape, if as many positions have that shape, and these positions have one weight_decay."""
    if any(shape is None for group in groups for shape in group):
        return {}
    positions: dict[Shape | None, list[Position]] = {}
    for index, group in enumerate(groups):
        for index_in_group, shape in enumerate(group):
            positions.setdefault(shape, []).append((index, index_in_group))
    parameters: dict[Shape, list[int]] = {}
    for index, shape in enumerate(shapes):
        parameters.setdefault(shape, []).append(index)
    return {
        position: index
        for shape, indices in parameters.items()
        if len(same_shape := positions.get(shape, [])) == len(indices) and _one_weight_decay(same_shape, weight_decays)
        for position, index in zip(same_shape, indices, strict=True)
    }


def _one_weight_decay(positions: Sequence[Position], weight_decays: Sequence[object]) -> bool:
    return all(weight_decays[group] == weight_decays[positions[0][0]] for group, _ in positions)


def _by_order(
    shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]], weight_decays: Sequence[object]
) -> dict[Position, int] | None:
    """Match the parameters in order. Keep what all possible matchings agree on; None if there are too many to list."""
    levels = _forward(shapes, groups)
    goal = tuple(map(len, groups))
    if levels is None or goal not in levels[-1]:
        return None if levels is None else {}
    matches: dict[Position, int] = {}
    reachable, current = {goal}, goal
    for index in range(len(shapes) - 1, -1, -1):
        steps = list(_backward(shapes[index], groups, reachable, levels[index]))
        possible = {group for _, _, group in steps}
        previous, group = next((earlier, group) for earlier, later, group in steps if later == current)
        certain = (
            None not in possible
            and len({weight_decays[candidate] for candidate in possible if candidate is not None}) == 1
        )
        if group is not None and certain:
            matches[group, previous[group]] = index
        reachable, current = {earlier for earlier, _, _ in steps}, previous
    return matches


def _forward(shapes: Sequence[Shape], groups: Sequence[Sequence[Shape | None]]) -> list[set[Progress]] | None:
    """List every possible progress after each parameter; None if there are too many."""
    if len(groups) ** 2 > _MAX_PROGRESSES:
        return None
    spare = len(shapes) - sum(map(len, groups))  # so many parameters are in no group
    levels: list[set[Progress]] = [{(0,) * len(groups)}]
    total = 0
    for index, shape in enumerate(shapes):
        reached: set[Progress] = set()
        for progress in levels[-1]:
            can_skip = index - sum(progress) < spare
            reached.update(later for later, _ in _next(shape, groups, progress, can_skip=can_skip))
            if (total + len(reached)) * len(groups) > _MAX_PROGRESSES:
                return None
        total += len(reached)
        levels.append(reached)
    return levels


def _next(
    shape: Shape, groups: Sequence[Sequence[Shape | None]], progress: Progress, *, can_skip: bool
) -> Iterator[tuple[Progress, int | None]]:
    """List the steps for one parameter: into each group whose next position fits, or into no group."""
    if can_skip:
        yield progress, None
    for index, (group, matched) in enumerate(zip(groups, progress, strict=True)):
        if matched < len(group) and (group[matched] is None or group[matched] == shape):
            yield (*progress[:index], matched + 1, *progress[index + 1 :]), index


def _backward(
    shape: Shape, groups: Sequence[Sequence[Shape | None]], later: set[Progress], earlier: set[Progress]
) -> Iterator[tuple[Progress, Progress, int | None]]:
    """List the steps for one parameter that lead from `earlier` to `later`."""
    for progress in earlier:
        for reached, group in _next(shape, groups, progress, can_skip=True):
            if reached in later:
                yield progress, reached, group
