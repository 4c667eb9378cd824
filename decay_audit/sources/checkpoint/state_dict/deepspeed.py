"""Read what DeepSpeed saves next to a state dict: names of buffers, and shapes of parameters that ZeRO sharded."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from decay_audit.sources.checkpoint.contents import Tensor
from decay_audit.sources.checkpoint.pickle.allowlist import read_shape
from decay_audit.sources.checkpoint.state_dict.pickled_modules import NamedTensors, items_of

Shape = tuple[int, ...]


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
    names = frozenset(name for name in buffers if isinstance(name, str))
    return replace(state_dict, tensors=tensors, buffers=state_dict.buffers | names)


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
