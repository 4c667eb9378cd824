"""Assume the results of operators whose real result would depend on the values of tensors.

A number that the model reads from data is 1, a condition is true, and every element is selected. So only one branch is
traced, and a note of the trace says so.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from decay_audit.sources.trace.tensor_states import MAX_CONSTANT

DISTINCT_VALUES = 2
"""How many distinct values a tensor is assumed to hold."""


def _scalar(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    dtype = args[0].dtype
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


def _nonzero(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Return all indices, with real values, so that a loop over experts or classes visits all of them."""
    if args[0].numel() > MAX_CONSTANT:
        return torch.empty((args[0].numel(), args[0].dim()), dtype=torch.int64)
    with unset_fake_temporarily():
        return torch.ones(args[0].shape, dtype=torch.bool).nonzero()


def _masked_select(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Assume that the mask selects every element; `where` only broadcasts the values and the mask to one shape."""
    return torch.where(args[1], args[0], args[0]).flatten()


def _index(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Assume that a mask selects as many rows as it has elements; an index without a mask needs no assumption."""
    table, indices = args[0], args[1]
    masks = [index for index in indices if index is not None and index.dtype in (torch.bool, torch.uint8)]
    if not masks:
        return None
    unmasked: list[Any] = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            unmasked.append(index)
        else:
            unmasked += [torch.zeros((index.numel(),), dtype=torch.int64)] * index.dim()
    return func(table, unmasked)


def _unique(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Assume few distinct values, so that a loop over them is short."""
    values = args[0].reshape(-1)[:DISTINCT_VALUES]
    return values.clone(), torch.empty(args[0].shape, dtype=torch.int64), torch.empty(values.shape, dtype=torch.int64)


def _repeat_interleave(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    size = kwargs.get("output_size")
    return torch.empty((args[0].numel() if size is None else size,), dtype=torch.int64)


def _bincount(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    return torch.empty((max(int(kwargs.get("minlength", 0)), 2),), dtype=torch.int64)


def _all_boxes(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Assume that non-maximum suppression removes no box."""
    return torch.empty((args[0].shape[0],), dtype=torch.int64)


def _equal(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    return True


def _grouped_product(func: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401, ARG001
    """Return a product with a stack of matrices, of any dtype; torch 2.13's own fake kernel takes bfloat16 only."""
    rows, stack = args[0], args[1]
    if stack.dim() == 3 and rows.dim() == 2:
        return rows.new_empty((rows.shape[0], stack.shape[2]))
    return None


Kernel = Callable[[Any, Any, Any], Any]
"""Makes the result of an operator from the operator, its args and kwargs; None keeps the fake tensors' own result."""

REPLACED_KERNELS: dict[str, Kernel] = {"_grouped_mm": _grouped_product}
"""For operators that fake tensors do not support: a result of the right shape. Nothing is assumed about values."""

ASSUMED_RESULTS: dict[str, Kernel] = {
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
    "torchvision::nms": _all_boxes,
}
"""For operators whose result depends on values: a result that some values would give."""
