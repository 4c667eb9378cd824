"""Give a saved optimizer without names the names of the live optimizer that would load it."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.model.optimizer_pairs import group_sizes

Shapes = Mapping[str, tuple[int, ...]]

_NAMED_BY_SHAPE = (
    "the saved optimizer has no names; its shapes match, so each position has the name of the live parameter there"
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
    return replace(
        saved,
        groups=groups,
        mismatched_state=(),
        name_caveats=(_NAMED_BY_SHAPE,),
        state_of=_names_in_another_order(saved, live, [*shapes]),
    )


def _names_in_another_order(saved: Optimizer, live: Optimizer, model_order: Sequence[str]) -> dict[str, str]:
    """Map live names to the names at these positions in the order of the file's own model, if that order differs.

    Both optimizers must have the same parameters, each group in the order of its model. A file whose names are sorted
    does not show the order of its model.
    """
    position_of = {name: position for position, name in enumerate(model_order)}
    names: dict[str, str] = {}
    for group, live_group in zip(saved.groups, live.groups, strict=True):
        if sorted(group.parameters) != sorted(live_group.parameters):
            return {}
        if [*live_group.parameters] != sorted(live_group.parameters, key=lambda name: position_of.get(name, 0)):
            return {}
        names.update(zip(live_group.parameters, group.parameters, strict=True))
    is_sorted = all([*group.parameters] == sorted(group.parameters) for group in saved.groups)
    return {} if is_sorted else {name: other for name, other in names.items() if name != other}


def _can_take_names(saved: Optimizer, live: Optimizer) -> bool:
    """Whether no saved position has a name, the groups have the live sizes, and every coefficient could be read."""
    # Only a group without names has shapes. Its `parameters` are then guessed, in the order of the model.
    return group_sizes(saved) == group_sizes(live) and all(
        len(group.shapes) == len(group.parameters) and "weight_decay" in group.hyperparameters for group in saved.groups
    )


def _fits(saved: ParamGroup, live: ParamGroup, shapes: Shapes) -> bool:
    return all(
        shape is None or shape == shapes.get(name) for shape, name in zip(saved.shapes, live.parameters, strict=True)
    )
