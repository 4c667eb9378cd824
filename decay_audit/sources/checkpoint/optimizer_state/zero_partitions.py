"""Name the parameters of an optimizer that DeepSpeed's ZeRO has flattened: one vector for each group and process.

The files of the model list the names and shapes of each group in the order of that vector.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

from msgspec.structs import replace

from decay_audit.sources.checkpoint.contents import SavedOptimizer, Tensor
from decay_audit.sources.checkpoint.optimizer_state.position_names import param_groups, read_positions, state_of
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel
from decay_audit.sources.checkpoint.state_dict.pickled_modules import items_of

Shapes = Mapping[str, tuple[int, ...]]

_PADDING_FOR_EACH: Final = 2
"""ZeRO fills up each vector to a multiple of so many elements for each process."""


def with_group_names(optimizer: SavedOptimizer, groups: Sequence[Shapes], model: MergedModel) -> SavedOptimizer:
    """Put the names that `groups` lists into the param groups, and the shapes into the states.

    An optimizer whose states are whole, or have other sizes than `groups` needs, is returned as it is.
    """
    saved = param_groups(optimizer)
    if not optimizer.partitions or len(saved) != len(groups):
        return optimizer
    flat_shapes = [positions.shapes for positions in read_positions(optimizer, model, 0)]
    if not all(_fits(flat, shapes, optimizer.partitions) for flat, shapes in zip(flat_shapes, groups, strict=True)):
        return optimizer
    slots = _slots(optimizer)
    state = {
        name: {slot: Tensor(shape=shape, dtype=dtype) for slot, dtype in slots.items()}
        for shapes in groups
        for name, shape in shapes.items()
    }
    named = [{**group, "params": list(shapes)} for group, shapes in zip(saved, groups, strict=True)]
    return replace(optimizer, content={"state": state, "param_groups": named}, partitions=0)


def _fits(flat_shapes: Sequence[tuple[int, ...] | None], shapes: Shapes, partitions: int) -> bool:
    """Tell whether one process's part has the size that these parameters need. Without a state, it is not known.

    Stage 3 splits each parameter. Stages 1 and 2 split all of them together, and fill up the end.
    """
    size = sum(prod(shape) for shape in flat_shapes if shape is not None)
    if None in flat_shapes:
        return True
    sizes = [prod(shape) for shape in shapes.values()]
    if size == sum(-(-elements // partitions) for elements in sizes):
        return True
    return 0 <= size * partitions - sum(sizes) <= _PADDING_FOR_EACH * partitions * (len(sizes) + 1)


def _slots(optimizer: SavedOptimizer) -> Mapping[str, str]:
    """Return the dtype of each slot that has the shape of its parameter."""
    states = items_of(optimizer.content.get("state")).values()
    first: Mapping[Any, object] = next((state_of(state) for state in states), {})
    return {
        name: value.dtype
        for name, value in first.items()
        if isinstance(name, str) and type(value) is Tensor and value.shape
    }
