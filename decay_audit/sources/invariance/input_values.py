"""Give example inputs values: noise, token ids that every embedding has, masks that hide nothing.

Where shapes were only inferred, smaller images are tried first, because they give the same answer in less time.
BatchNorm needs several samples: with two, its output would only show which of them is larger.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn

from decay_audit.sources.trace.example_inputs import ExampleInputs

SMALL_IMAGES = (32, 96)
SAMPLES = 4
"""The size of a batch for models with BatchNorm."""
_FEW_ROWS = 16
"""An embedding with fewer rows is not a table of tokens, but of token types, say."""


def input_variants(model: nn.Module, inputs: ExampleInputs) -> Iterator[ExampleInputs]:
    """Yield the inputs to try for one candidate, the cheapest first. Their tensors have no values yet."""
    has_statistics = any("running_mean" in module._buffers for module in model.modules())
    batches = (_with_batch(inputs), inputs) if has_statistics else (inputs,)
    for batch in batches:
        if batch.inferred:
            yield from (_with_images(batch, size) for size in SMALL_IMAGES if _has_larger_images(batch, size))
        yield batch


def text_of(inputs: ExampleInputs) -> str:
    """Write the shapes of inputs: `4x3x64x64`, `input_ids 1x8`."""
    named = [("", value) for value in inputs.args] + list(inputs.kwargs.items())
    texts = [
        f"{name} {'x'.join(map(str, value.shape)) or 'scalar'}".strip()
        for name, value in named
        if isinstance(value, torch.Tensor)
    ]
    return ", ".join(texts)


def with_values(model: nn.Module, inputs: ExampleInputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Make the positional and the named arguments of a forward pass, with values, from inputs that have only shapes."""
    generator = torch.Generator().manual_seed(1)
    rows = _rows(model)
    args = tuple(_value("", value, rows, generator) for value in inputs.args)
    kwargs = {name: _value(name, value, rows, generator) for name, value in inputs.kwargs.items()}
    return args, {**kwargs, **inputs.constants}


def _rows(model: nn.Module) -> int:
    """Return the number of rows of the smallest table of tokens: smaller ids are valid in every such table."""
    rows = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    return min([count for count in rows if count >= _FEW_ROWS] or rows or [_FEW_ROWS])


def _value(name: str, value: Any, rows: int, generator: torch.Generator) -> Any:  # noqa: ANN401
    match value:
        case torch.Tensor():
            return _tensor(name, value, rows, generator)
        case list() | tuple():
            return type(value)(_value(name, item, rows, generator) for item in value)
        case Mapping():
            return {key: _value(str(key), item, rows, generator) for key, item in value.items()}
        case _:
            return value


def _tensor(name: str, tensor: torch.Tensor, rows: int, generator: torch.Generator) -> torch.Tensor:
    shape = tensor.shape
    if "mask" in name or tensor.dtype == torch.bool:
        dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
        return torch.ones(shape, dtype=dtype)
    if tensor.is_floating_point():
        return torch.randn(shape, dtype=torch.float64, generator=generator)
    if tensor.is_complex():
        return torch.randn(shape, dtype=torch.complex128, generator=generator)
    if "position" in name and shape:
        return torch.arange(shape[-1], dtype=tensor.dtype).expand(shape)
    high = 2 if "type" in name else rows
    return torch.randint(0, high, shape, dtype=tensor.dtype, generator=generator)


def _with_batch(inputs: ExampleInputs) -> ExampleInputs:
    """Take SAMPLES samples instead of one, if the first dimension of every tensor is 1."""
    tensors = [value for value in (*inputs.args, *inputs.kwargs.values()) if isinstance(value, torch.Tensor)]
    if not tensors or any(tensor.dim() == 0 or tensor.shape[0] != 1 for tensor in tensors):
        return inputs
    return _map_tensors(inputs, lambda tensor: (SAMPLES, *tensor.shape[1:]))


def _has_larger_images(inputs: ExampleInputs, size: int) -> bool:
    """Whether all tensors of the inputs are images, and larger than this."""
    tensors = [value for value in (*inputs.args, *inputs.kwargs.values()) if isinstance(value, torch.Tensor)]
    images = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.dim() == 4]
    return len(images) == len(tensors) > 0 and all(min(tensor.shape[-2:]) > size for tensor in images)


def _with_images(inputs: ExampleInputs, size: int) -> ExampleInputs:
    return _map_tensors(inputs, lambda tensor: (*tensor.shape[:2], size, size))


def _map_tensors(inputs: ExampleInputs, shape: Any) -> ExampleInputs:  # noqa: ANN401 - a function of a tensor
    def resized(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, torch.Tensor):
            return value
        return torch.empty(shape(value), dtype=value.dtype, device="meta")

    args = tuple(map(resized, inputs.args))
    return replace(inputs, args=args, kwargs={name: resized(value) for name, value in inputs.kwargs.items()})
