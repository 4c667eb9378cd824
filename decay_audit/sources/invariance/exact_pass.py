"""Run a forward pass that rounds nothing to float32 and drops nothing, and collect the tensors of its output.

Code may cast to float32, call a normalization with a literal `eps`, or call `F.dropout` itself: the modes below change
such calls. A constant up to 1e-3 that is added, or that bounds a value from below, counts as an `eps`.
"""

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from decay_audit.sources.invariance.float64_copy import TINY, NotMeasurableError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_LARGEST_EPS = 1e-3
_ROUNDED = (torch.float32, torch.float16, torch.bfloat16)
_aten = torch.ops.aten
_EPS_POSITIONS = {_aten.add.Tensor: 1, _aten.add_.Tensor: 1, _aten.add.Scalar: 1, _aten.clamp.default: 1}
_EPS_POSITIONS |= {_aten.clamp_min.default: 1, _aten.clamp_min_.default: 1, _aten.clamp_.default: 1}
"""The position of the argument that may be an `eps`, for operators that add a constant or clamp with one."""
_DROPOUT_P = 4
"""The position of the argument `dropout_p` of scaled_dot_product_attention."""
_CACHES = ("past_key_values", "cache", "mems")
"""Names of outputs that only save work in a later pass."""


def run(model: nn.Module, arguments: Arguments, buffers: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """Run the model on arguments, and return the float tensors of its output.

    Args:
        buffers: the values that the model's buffers get before the pass, by name.

    Raises:
        NotMeasurableError: the output has no float tensor, or values that are infinite or NaN.
        Exception: whatever the model's code raises.
    """
    args, kwargs = arguments
    current = dict(model.named_buffers())
    with torch.no_grad():
        for name, value in buffers.items():
            if name in current and current[name].shape == value.shape:
                current[name].copy_(value)
    with _equal_random_numbers(), _float64_on_one_thread(), _ExactFunctions(), _ExactOperators():  # type: ignore[no-untyped-call]
        output = model(*args, **kwargs)
    tensors = list(_float_tensors(output))
    if not tensors:
        raise NotMeasurableError("the output has no float tensor")
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise NotMeasurableError("with random weights, the output has values that are infinite or NaN")
    return tensors


def difference(output: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """Compute the largest difference of two outputs, relative to the largest value of each tensor."""
    if [tensor.shape for tensor in output] != [tensor.shape for tensor in other]:
        return 1.0
    largest = 0.0
    for tensor, changed in zip(output, other, strict=True):
        if tensor.numel():
            scale = max(tensor.abs().max().item(), changed.abs().max().item())
            largest = max(largest, (tensor - changed).abs().max().item() / scale if scale else 0.0)
    return largest


class _ExactOperators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Casts to float64 where code asks for a shorter float, and takes the `eps` out of operators."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _ROUNDED:
            kwargs["dtype"] = torch.float64
        args = list(args)
        position = _EPS_POSITIONS.get(func)
        if position is not None and position < len(args) and _is_eps(args[position]):
            args[position] = TINY
        for index, argument in enumerate(func._schema.arguments):
            if argument.name == "eps":
                if index < len(args):
                    args[index] = TINY
                else:
                    kwargs["eps"] = TINY
        return func(*args, **kwargs)


class _ExactFunctions(TorchFunctionMode):
    """Returns the input of each dropout function, and computes grouped products in float64, as torch does not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func is functional.scaled_dot_product_attention:
            if len(args) > _DROPOUT_P:
                args = (*args[:_DROPOUT_P], 0.0, *args[_DROPOUT_P + 1 :])
            else:
                kwargs["dropout_p"] = 0.0
        elif "dropout" in name:
            values = [value for value in (*args[:1], kwargs.get("input")) if isinstance(value, torch.Tensor)]
            if values:
                return values[0]
        elif "grouped_mm" in name and len(args) == 2 and args[0].dim() == 2 and "offs" in kwargs:
            return _grouped_product(args[0], args[1], kwargs["offs"])
        return func(*args, **kwargs)


def _grouped_product(rows: torch.Tensor, matrices: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Multiply the rows of each group by the matrix of the group; `ends` are the ends of the groups."""
    groups = rows.tensor_split(ends.tolist()[:-1])
    return torch.cat([group @ matrix for group, matrix in zip(groups, matrices, strict=True)])


def _is_eps(value: object) -> bool:
    return isinstance(value, float) and 0 < value <= _LARGEST_EPS


@contextmanager
def _equal_random_numbers() -> Iterator[None]:
    """Give each pass the same random numbers, and restore the random state."""
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random.seed(0)
            yield
    finally:
        random.setstate(state)


@contextmanager
def _float64_on_one_thread() -> Iterator[None]:
    """Make float64 the default dtype. The inputs are small: more threads would mostly wait for each other."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def _float_tensors(value: Any, depth: int = 5) -> Iterator[torch.Tensor]:  # noqa: ANN401
    """List the float tensors in an output: in lists, dicts and dataclasses, but not in caches."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            yield torch.view_as_real(value)
        elif value.is_floating_point():
            yield value
    elif depth:
        for item in _parts(value):
            yield from _float_tensors(item, depth - 1)


def _parts(value: Any) -> list[Any]:  # noqa: ANN401
    if dataclasses.is_dataclass(value) and not isinstance(value, Mapping):
        value = vars(value)
    if isinstance(value, Mapping):
        return [item for name, item in value.items() if name not in _CACHES]
    return list(value) if isinstance(value, list | tuple) else []
