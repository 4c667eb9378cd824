"""Read what DeepSpeed saves next to a state dict: names of buffers, and the parameters that ZeRO sharded."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from decay_audit.sources.checkpoint.contents import Storage, Tensor
from decay_audit.sources.checkpoint.pickle.allowlist import read_shape
from decay_audit.sources.checkpoint.state_dict.pickled_modules import NamedTensors, items_of

Shape = tuple[int, ...]

MASTER_WEIGHTS: Final = frozenset(
    {"single_partition_of_fp32_groups", "fp32_flat_groups", "fp32_groups", "fp32_from_fp16_params", "fp32_from_fp16"}
)
"""The names under which DeepSpeed, Megatron-LM and Apex save float32 copies of the parameters beside an optimizer."""
NO_STATE_DICTS: Final = frozenset({"frozen_param_fragments"})
"""The names of dicts with parts of parameters: no model is saved there."""


def with_deepspeed_shapes(state_dict: NamedTensors, siblings: Mapping[Any, object]) -> NamedTensors:
    """Add the shapes, the names of buffers, and whether each parameter is trained.

    ZeRO stage 3 saves empty tensors in place of the parameters, and their shapes beside the state dict.

    Args:
        siblings: the dict that holds the state dict. If it is not a file of DeepSpeed, nothing is added.

    Raises:
        MalformedError: a shape is malformed.
    """
    buffers = siblings.get("buffer_names")
    trained = _shapes(siblings.get("param_shapes"))
    frozen = _shapes(siblings.get("frozen_param_shapes"))
    if not isinstance(buffers, list) or not trained:
        return state_dict
    shapes = trained | frozen
    tensors = {
        name: _with_shape(tensor, shapes[name], trainable=name in trained) if name in shapes else tensor
        for name, tensor in state_dict.tensors.items()
    }
    tensors |= _tied(tensors, siblings.get("shared_params"))
    names = frozenset(name for name in buffers if isinstance(name, str))
    return replace(state_dict, tensors=tensors, buffers=state_dict.buffers | names)


def group_shapes(siblings: Mapping[Any, object]) -> tuple[Mapping[str, Shape], ...]:
    """Return the names and shapes of the parameters in each param group of ZeRO's optimizer; () without ZeRO.

    Raises:
        MalformedError: a shape is malformed.
    """
    listed = siblings.get("param_shapes")
    if not isinstance(siblings.get("buffer_names"), list) or not isinstance(listed, list):
        return ()
    return tuple(_shapes(shapes) for shapes in listed)


def _tied(tensors: Mapping[str, Tensor], shared: object) -> dict[str, Tensor]:
    """Give tied parameters that were saved empty the shape of the first of them, and one storage."""
    tied: dict[str, Tensor] = {}
    for name, first in items_of(shared).items():
        if not (isinstance(name, str) and isinstance(first, str) and name in tensors and first in tensors):
            continue
        tensor = tied.get(first, tensors[first])
        if 0 in tensors[name].shape and 0 not in tensor.shape:
            if tensor.storage is None:
                tensor = replace(tensor, storage=Storage(key=f"shared with {first}", dtype=tensor.dtype))
            tied |= {first: tensor, name: tensor}
    return tied


def _shapes(listed: object) -> dict[str, Shape]:
    """Read the shapes by name: from one dict, or from a list of dicts, one for each param group."""
    dicts = listed if isinstance(listed, list) else [listed]
    return {
        name: read_shape(shape) for shapes in dicts for name, shape in items_of(shapes).items() if isinstance(name, str)
    }


def _with_shape(tensor: Tensor, shape: Shape, *, trainable: bool) -> Tensor:
    if 0 in tensor.shape:
        return Tensor(shape=shape, dtype=tensor.dtype, trainable=trainable)
    return replace(tensor, trainable=trainable)
