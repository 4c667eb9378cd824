"""What DeepSpeed writes beside a state dict: names of buffers, and shapes of parameters that ZeRO spread over ranks."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from decay_audit.sources.checkpoint.pickle.allowlist import shape_of
from decay_audit.sources.checkpoint.pickle.values import Tensor
from decay_audit.sources.checkpoint.state_dict.pickled_modules import Flat, mapping

Shape = tuple[int, ...]


def completed(flat: Flat, beside: Mapping[Any, object]) -> Flat:
    """Give the tensors the shapes and the buffers the names that stand beside the state dict, if they do.

    A file of ZeRO's third stage holds empty tensors in place of its parameters.

    Raises:
        MalformedError: a shape is none.
    """
    buffers = beside.get("buffer_names")
    trained = _shapes(beside.get("param_shapes"))
    frozen = _shapes(beside.get("frozen_param_shapes"))
    if not isinstance(buffers, list) or not trained:
        return flat
    shapes = trained | frozen
    tensors = {
        name: _whole(tensor, shapes[name], trainable=name in trained) if name in shapes else tensor
        for name, tensor in flat.tensors.items()
    }
    named = frozenset(name for name in buffers if isinstance(name, str))
    return replace(flat, tensors=tensors, buffers=flat.buffers | named)


def _shapes(listed: object) -> dict[str, Shape]:
    """Read a table of shapes by name, or a list of one for each group of the optimizer."""
    tables = listed if isinstance(listed, list) else [listed]
    return {
        name: shape_of(shape) for table in tables for name, shape in mapping(table).items() if isinstance(name, str)
    }


def _whole(tensor: Tensor, shape: Shape, *, trainable: bool) -> Tensor:
    if 0 in tensor.shape:
        return Tensor(shape=shape, dtype=tensor.dtype, trainable=trainable)
    return replace(tensor, trainable=trainable)
