"""Describe one tensor of a module: its shape, dtype and attributes, without running the code of tensor subclasses."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from decay_audit.model.parameters import Owner, Parameter, declared_no_decay, is_quantized

Shape = tuple[int, ...]

_PLAIN_CLASSES = frozenset({nn.Parameter, Tensor})
_DTYPE_NAMES = {
    dtype: str(dtype).removeprefix("torch.") for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)
}


def shapes_of(module: nn.Module) -> Mapping[str, Shape]:
    """Give the shape of each parameter and buffer of a module, as torch stores it; () for a lazy tensor."""
    tensors: Mapping[str, Tensor | None] = module._parameters
    if module._buffers:
        tensors = {**tensors, **module._buffers}
    with torch._C.DisableTorchFunctionSubclass():
        return {
            name: tuple(tensor.shape) if type(tensor) in _PLAIN_CLASSES or not is_lazy(tensor) else ()
            for name, tensor in tensors.items()
            if tensor is not None
        }


def quantized_tensors(module: nn.Module) -> frozenset[str]:
    """Give the names of a module's parameters and buffers whose dtype is that of quantized values."""
    tensors = {**module._parameters, **module._buffers}
    with torch._C.DisableTorchFunctionSubclass():
        return frozenset(
            name for name, tensor in tensors.items() if tensor is not None and is_quantized(_DTYPE_NAMES[tensor.dtype])
        )


def as_parameter(
    tensor: Tensor, name: str, raw_name: str, shape: Shape, owner: Owner, declaring: tuple[Owner, ...]
) -> Parameter:
    """Describe a tensor as a Parameter.

    Args:
        shape: its shape, from `shapes_of` its module.
        declaring: the modules with declarations of what should not decay, from its owner up to the root.
    """
    attributes = tuple(key for key, value in tensor.__dict__.items() if _is_set(key, value)) if tensor.__dict__ else ()
    if is_plain := type(tensor) in _PLAIN_CLASSES:
        dtype, trainable = tensor.dtype, tensor.requires_grad
    else:
        with torch._C.DisableTorchFunctionSubclass():
            dtype, trainable = tensor.dtype, tensor.requires_grad
    return Parameter(
        name=name,
        raw_name=raw_name,
        shape=shape,
        dtype=_DTYPE_NAMES.get(dtype) or str(dtype).removeprefix("torch."),
        owner=owner,
        trainable=trainable,
        lazy=not is_plain and is_lazy(tensor),
        attributes=attributes,
        declared_no_decay=declared_no_decay(name, declaring, attributes) if declaring or attributes else None,
    )


def _is_set(name: str, value: object) -> bool:
    """Whether an attribute has a true value; a tensor with many elements has no truth value and counts as set."""
    if name == "_is_param":  # torch sets it on a Parameter of another class
        return False
    try:
        return bool(value)
    except Exception:  # noqa: BLE001
        return True


def whole_shapes(model: nn.Module) -> dict[int, Shape]:
    """Give the unsharded shapes of the parameters that FSDP1 has sharded, by the ids of the tensors.

    With use_orig_params=True, a parameter of FSDP1 is a one-dimensional part of its matrix, and often empty. A DTensor
    reports its unsharded shape itself.
    """
    return {
        key: shape for module in model.modules() if "_handle" in module.__dict__ for key, shape in _flattened(module)
    }


def _flattened(module: nn.Module) -> Iterator[tuple[int, Shape]]:
    """Yield the id and the whole shape of each tensor that a flat parameter is made of."""
    flat = getattr(module.__dict__["_handle"], "flat_param", None)
    tensors, shapes = getattr(flat, "_params", None), getattr(flat, "_shapes", None)
    if tensors and shapes:
        yield from ((id(tensor), tuple(shape)) for tensor, shape in zip(tensors, shapes, strict=True))
