"""Guess inputs for a model that declares none: from the first layer, the first matrix, then token ids and numbers."""

import inspect
from collections.abc import Iterator, Sequence
from math import isqrt

import torch
from msgspec.structs import replace
from torch import nn

from decay_audit.sources.trace.example_inputs.candidates import (
    TOKENS,
    ExampleInputs,
    int_tensor,
    required_arguments,
)
from decay_audit.text import format_shape

IMAGE_SIDES = (224, 32, 28, 64, 96, 128, 256, 299, 331, 384, 512)
"""Heights and widths to try, in this order."""

LENGTH, SIDE = 11, 24
"""The length of sequences and the side of images for a model whose first matrix shows its sizes.

Layers seldom have these sizes. So a size in the wrong dimension is an error, and the next candidate is tried.
"""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.RNNBase, nn.Embedding)
"""Classes of layers that show which input they take."""
ID_ARGUMENTS = frozenset({"input_ids", "ids", "idx", "tokens", "token_ids"})
"""Names of a first argument that is a sequence of token ids."""

Shape = tuple[int, ...]


def guessed_inputs(model: nn.Module) -> tuple[ExampleInputs, ...]:
    """Guess the inputs from the first layer, then from the first matrix; try token ids and single numbers last."""
    if not inspect.signature(model.forward).parameters:
        return (ExampleInputs(),)
    required = required_arguments(model)
    candidates = _first_arguments(model, required[0] if required else "")
    return tuple(full for candidate in candidates for full in _with_other_arguments(candidate, required[1:]))


def _with_other_arguments(candidate: ExampleInputs, names: Sequence[str]) -> Iterator[ExampleInputs]:
    """Yield candidates with the other required arguments: by their names, then like the first, then integers."""
    if not names or not candidate.args:
        yield candidate
        return
    (first,) = candidate.args
    by_name = [_argument(name, first) for name in names]
    if any(argument is not first for argument in by_name):
        yield replace(candidate, args=(first, *by_name))
    for others in ([first] * len(names), [int_tensor(first.shape[0])] * len(names)):
        yield replace(candidate, args=(first, *others))


def _argument(name: str, first: torch.Tensor) -> torch.Tensor:
    """Make the tensor for a further argument by its name; an unknown name gets the first tensor."""
    if "mask" in name:
        return torch.empty(first.shape[:2], dtype=torch.bool, device="meta")
    if name in {"edge_index", "adj_t"}:
        return int_tensor(2, TOKENS)
    if name in {"batch", "lengths", "t", "time", "timestep", "timesteps"}:
        return int_tensor(first.shape[0])
    return first


def _first_arguments(model: nn.Module, name: str) -> list[ExampleInputs]:
    """List the candidates for the first argument."""
    first = next((module for module in model.modules() if isinstance(module, LAYERS)), None)
    ids = []
    if isinstance(first, nn.Embedding):
        ids = [_ids("guessed from the first layer")]
    elif name in ID_ARGUMENTS:
        ids = [_ids(f"guessed from the name of the argument, `{name}`")]
    dtype = next((parameter.dtype for parameter in model.parameters() if _is_numeric(parameter)), torch.float32)
    # A model with complex parameters may take real data, which it transforms to complex numbers (a Fourier transform).
    dtypes = (dtype, dtype.to_real()) if dtype.is_complex else (dtype,)
    fitting_layer = [_floats(shape, dtype, "the first layer") for shape in _layer_shapes(first)]
    has_forward = type(model).forward is not nn.Module.forward
    matrix_shapes = _matrix_shapes(model) if has_forward else ()
    shapes = dict.fromkeys(shape for shape in matrix_shapes if shape not in _layer_shapes(first))
    fitting_matrix = [_floats(shape, dtype, "the first matrix or vector") for shape in shapes for dtype in dtypes]
    if not has_forward:
        return [*ids, *fitting_layer]
    token_ids = [] if ids else [_ids("as no float input that was tried fits")]
    return [*ids, *fitting_layer, *fitting_matrix, *token_ids, *_numbers(dtype)]


def _is_numeric(tensor: torch.Tensor) -> bool:
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


def _layer_shapes(layer: nn.Module | None) -> list[Shape]:
    match layer:
        case nn.Conv1d():
            return [(2, layer.in_channels, side * 8) for side in IMAGE_SIDES[:4]]
        case nn.Conv2d():
            return [(1, layer.in_channels, side, side) for side in IMAGE_SIDES]
        case nn.Conv3d():
            return [(1, layer.in_channels, 16, side, side) for side in (224, 112, 32)]
        case nn.Linear():
            features = layer.in_features
            grid = (2, TOKENS, TOKENS, features)  # an image of tokens, as attention in windows takes it
            return [(2, features), (2, TOKENS, features), *_patched_images(features), grid]
        case nn.RNNBase():
            return [(2, TOKENS, layer.input_size)]
        case _:
            return []


def _patched_images(features: int) -> list[Shape]:
    """Return shapes of images whose square patches have `features` values: a layer may take flattened patches."""
    for channels in (3, 1):
        side = isqrt(features // channels)
        if side > 1 and channels * side**2 == features:
            return [(1, channels, size, size) for size in (224, 32, 64, 256, 8 * side)]
    return []


def _matrix_shapes(model: nn.Module) -> Iterator[Shape]:
    """Yield shapes of features, sequences, images and volumes, for each size of the first matrix or else vector."""
    shapes = [tuple(parameter.shape) for parameter in model.parameters() if parameter.numel() > 1]
    # A vector in several dimensions (1x1x12) shows no size of the input beside its own.
    matrices = [shape for shape in shapes if sum(size > 1 for size in shape) > 1]
    several = [shape for shape in shapes if len(shape) > 1]
    matrix = next(iter([*matrices, *several, *shapes]), (SIDE,))
    if len(matrix) > 3:  # a kernel
        yield (2, matrix[1], *(SIDE for _ in matrix[2:]))
        matrix = (*matrix[2:], *matrix[:2])  # its channels are tried first, from the end
    if len(matrix) == 3 and matrix[1] > 1:  # a stack of matrices, one for each entry
        yield (2, *matrix[:2])
        yield (matrix[0], LENGTH, matrix[1])
    sizes = dict.fromkeys(size for size in reversed(matrix) if size > 1)
    for size in sizes:
        yield (2, LENGTH, size)
        yield (2, size)
        yield (2, size, SIDE, SIDE)
        yield (2, size, LENGTH)
    if len(matrix) == 1:  # a number for each of several tensors, such as the outputs of all layers
        yield (*matrix, 2, LENGTH, SIDE)
    for size in sizes:
        yield (2, SIDE, SIDE, size)
        yield (2, size, SIDE, SIDE, SIDE)
    if len(matrix) == 2:  # a number for each place of an image, such as the gain of a norm
        yield (2, 1, *matrix)


def _ids(reason: str) -> ExampleInputs:
    note = f"traced with int64 ids of shape 1x{TOKENS}, {reason}"
    return ExampleInputs(args=(int_tensor(),), notes=(note,))


def _numbers(dtype: torch.dtype) -> list[ExampleInputs]:
    """List inputs with one number for each item of a batch: times, then ids of classes."""
    tensors = (torch.empty(TOKENS, dtype=dtype, device="meta"), int_tensor(TOKENS))
    reason = "as no input of more dimensions that was tried fits"
    return [
        ExampleInputs(args=(tensor,), notes=(f"traced with {kind} of shape {TOKENS}, {reason}",))
        for tensor, kind in zip(tensors, ("an input", "int64 ids"), strict=True)
    ]


def _floats(shape: Shape, dtype: torch.dtype, source: str) -> ExampleInputs:
    note = f"traced with an input of shape {format_shape(shape)}, guessed from {source}"
    return ExampleInputs(args=(torch.empty(shape, dtype=dtype, device="meta"),), notes=(note,))
