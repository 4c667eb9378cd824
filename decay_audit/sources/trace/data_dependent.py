"""What a trace takes for granted where a result would depend on values that nobody computed. Knows torch.

A number read off the data is 1, a condition holds, every element is selected. The pass takes one of its ways then;
the trace says so in a note.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from decay_audit.sources.trace.tensor_state import MAX_CONSTANT

DIFFERENT = 2


def _scalar(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    dtype = args[0].dtype
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


def _nonzero(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """List every place, with its real numbers: a loop over experts or classes goes through all of them."""
    if args[0].numel() > MAX_CONSTANT:
        return torch.empty((args[0].numel(), args[0].dim()), dtype=torch.int64)
    with unset_fake_temporarily():
        return torch.ones(args[0].shape, dtype=torch.bool).nonzero()


def _masked_select(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    return torch.where(args[1], args[0], args[0]).flatten()


def _index(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Take every row that a mask might select; an index without a mask needs no assumption."""
    table, indices = args[0], args[1]
    masks = [index for index in indices if index is not None and index.dtype in (torch.bool, torch.uint8)]
    if not masks:
        return None
    chosen: list[Any] = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            chosen.append(index)
        else:
            chosen += [torch.zeros((index.numel(),), dtype=torch.int64)] * index.dim()
    return func(table, chosen)


def _unique(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Find a few different values, so that a loop over them is short."""
    values = args[0].reshape(-1)[:DIFFERENT]
    return values.clone(), torch.empty(args[0].shape, dtype=torch.int64), torch.empty(values.shape, dtype=torch.int64)


def _repeat_interleave(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    size = kwargs.get("output_size")
    return torch.empty((args[0].numel() if size is None else size,), dtype=torch.int64)


def _bincount(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    return torch.empty((max(int(kwargs.get("minlength", 0)), 2),), dtype=torch.int64)


def _kept(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Suppress no box."""
    return torch.empty((args[0].shape[0],), dtype=torch.int64)


def _equal(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    return True


def _grouped_product(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """The shape of a product with a stack of matrices, in any dtype; torch's own fake kernel takes bfloat16 only."""
    rows, stack = args[0], args[1]
    if stack.dim() == 3 and rows.dim() == 2:
        return rows.new_empty((rows.shape[0], stack.shape[2]))
    return None


STOOD_IN: dict[str, Callable[[Any, Any, Any], Any]] = {"_grouped_mm": _grouped_product}
"""By operator: a result of the right shape where the fake one cannot be had; nothing is assumed about values."""

ASSUMED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "_local_scalar_dense": _scalar,
    "item": _scalar,
    "is_nonzero": lambda func, args, kwargs: True,  # noqa: ARG005
    "equal": _equal,
    "nonzero": _nonzero,
    "masked_select": _masked_select,
    "index": _index,
    "_unique2": _unique,
    "unique_dim": _unique,
    "unique_consecutive": _unique,
    "repeat_interleave": _repeat_interleave,
    "bincount": _bincount,
    "torchvision::nms": _kept,
}
"""By operator: a result in place of the real one, or None where nothing needs to be assumed."""
