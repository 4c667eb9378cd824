"""Give a saved optimizer without names the names of the live optimizer that would load it."""

from collections.abc import Mapping

from msgspec.structs import replace

from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.model.optimizer_pairs import group_sizes

Shapes = Mapping[str, tuple[int, ...]]

_NAMED_BY_SHAPE = (
    "the saved positions have no names; their shapes match the live groups, so they get the names of those"
)


def name_positions(saved: Optimizer, live: Optimizer, shapes: Shapes) -> Optimizer:
    """Give the saved positions the names of the live positions, if they have no names and all shapes agree.

    Without a live optimizer, a file without names is read in the order of the model, which not every optimizer keeps.

    Args:
        shapes: the shapes of the model's parameters, by canonical name.
    """
    pairs = [*zip(saved.groups, live.groups, strict=False)]
    if not _can_take_names(saved, live) or all(
        group.parameters == live_group.parameters for group, live_group in pairs
    ):
        return saved
    if not all(_fits(group, live_group, shapes) for group, live_group in pairs):
        # check_resume reports that the shapes do not fit the live groups
        return replace(saved, mismatched_state=(), name_caveats=())
    groups = tuple(replace(group, parameters=live_group.parameters) for group, live_group in pairs)
    return replace(saved, groups=groups, mismatched_state=(), name_caveats=(_NAMED_BY_SHAPE,))


def _can_take_names(saved: Optimizer, live: Optimizer) -> bool:
    """Whether no saved position has a name, the groups have the live sizes, and every coefficient could be read."""
    return group_sizes(saved) == group_sizes(live) and all(
        len(group.shapes) == len(group.parameters) and "weight_decay" in group.hyperparameters for group in saved.groups
    )


def _fits(saved: ParamGroup, live: ParamGroup, shapes: Shapes) -> bool:
    return all(
        shape is None or shape == shapes.get(name) for shape, name in zip(saved.shapes, live.parameters, strict=True)
    )
