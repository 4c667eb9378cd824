"""A saved optimizer without names goes in, seen through the live one that would load it. Knows no torch and no file."""

from collections.abc import Mapping

from msgspec.structs import replace

from decay_audit.model.observations import Optimizer, ParamGroup

Shape = tuple[int, ...]

_BY_SHAPE = "the saved positions have no names; their shapes are those of the live groups, whose names they are given"


def placed(saved: Optimizer, live: Optimizer, shapes: Mapping[str, Shape]) -> Optimizer:
    """Name the positions of a saved optimizer as the live one does, if it has no names and every state fits there.

    Without a live optimizer a file without names is read in the order of the model, which not every optimizer keeps.

    Args:
        shapes: of the model's parameters, by canonical name.
    """
    pairs = [*zip(saved.groups, live.groups, strict=False)]
    if not _loads(saved, live) or all(then.parameters == now.parameters for then, now in pairs):
        return saved
    if not all(_fits(then, now, shapes) for then, now in pairs):
        return replace(
            saved, mismatched_state=(), name_caveats=()
        )  # what they do not fit is the live groups, and said of those
    groups = tuple(replace(then, parameters=now.parameters) for then, now in pairs)
    return replace(saved, groups=groups, mismatched_state=(), name_caveats=(_BY_SHAPE,))


def _loads(saved: Optimizer, live: Optimizer) -> bool:
    """Whether the groups have the same sizes, no positions have names, and every coefficient could be read."""
    sizes = [[len(group.parameters) for group in one.groups] for one in (saved, live)]
    return sizes[0] == sizes[1] and all(
        len(group.shapes) == len(group.parameters) and "weight_decay" in group.hyperparameters for group in saved.groups
    )


def _fits(then: ParamGroup, now: ParamGroup, shapes: Mapping[str, Shape]) -> bool:
    return all(shape in (None, shapes.get(name)) for shape, name in zip(then.shapes, now.parameters, strict=True))
