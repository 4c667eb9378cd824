"""Correct inputs by the error message of a layer that rejects their size.

Guessed inputs have the right number of dimensions more often than the right sizes; the first layer that rejects them
says which size it expects.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.sources.trace.example_inputs.candidates import ExampleInputs
from decay_audit.text import format_shape

LAST = (-1,)
ANY: tuple[int, ...] = ()
"""The message does not say which dimension is wrong: every one that has this size is changed, except the batch."""
HEIGHT_AND_WIDTH = (-2, -1)


class SizeMessage(Struct, frozen=True, kw_only=True):
    """An error message of one library about the size of an input.

    Attributes:
        library: the library and the layer that raise it.
        pattern: matches the message; its groups `actual` and `expected` are sizes.
        dimensions: gives the dimensions of the wrong size from a match, counted from the last; ANY if it is unknown.
    """

    library: str
    pattern: re.Pattern[str]
    dimensions: Callable[[re.Match[str]], tuple[int, ...]] = lambda _: LAST


SIZE_MESSAGES = (
    SizeMessage(
        library="timm 1, transformers 5: patch embeddings",
        pattern=re.compile(r"\(?(?P<actual>\d+)(\*\d+)?\)? doesn't match model \((?P<expected>\d+)"),
        dimensions=lambda _: HEIGHT_AND_WIDTH,
    ),
    SizeMessage(
        library="torch 2: convolution",
        pattern=re.compile(
            r"expected input\[(?P<shape>[\d, ]+)\] to have (?P<expected>\d+) channels, but got (?P<actual>\d+)"
        ),
        dimensions=lambda match: (1 - len(match["shape"].split(",")),),
    ),
    SizeMessage(
        library="torch 2: mm on fake tensors",
        pattern=re.compile(r"got \[(?:\d+, )*(?P<actual>\d+)\] X \[(?P<expected>\d+), \d+\]"),
    ),
    SizeMessage(
        library="torch 2: layer_norm",
        pattern=re.compile(r"normalized_shape=\[(?P<expected>\d+)\].*\b(?P<actual>\d+)\]\)?$"),
    ),
    SizeMessage(
        library="torch 2: einsum, with the parameter after the input",
        pattern=re.compile(
            r"has size (?P<expected>\d+) for operand [1-9] which does not broadcast with previously seen size "
            r"(?P<actual>\d+)"
        ),
        dimensions=lambda _: ANY,
    ),
    SizeMessage(
        library="torch 2: broadcasting of fake tensors",
        pattern=re.compile(r"dimension of length (?P<expected>\d+) at -1!.*\b(?P<actual>\d+)\]$"),
    ),
)
"""The known messages, in the order in which they are tried."""


def corrected(inputs: ExampleInputs, failure: str) -> ExampleInputs | None:
    """Return the inputs with the size that the message asks for; None if it names no size of these inputs."""
    matches = ((message, message.pattern.search(failure)) for message in SIZE_MESSAGES)
    message, match = next(((message, match) for message, match in matches if match), (None, None))
    if message is None or match is None:
        return None
    dimensions, actual, expected = message.dimensions(match), int(match["actual"]), int(match["expected"])
    args = tuple(_resized(value, dimensions, actual, expected) for value in inputs.args)
    kwargs = {name: _resized(value, dimensions, actual, expected) for name, value in inputs.kwargs.items()}
    pairs = zip(_tensors(args, kwargs), _tensors(inputs.args, inputs.kwargs), strict=True)
    changed = [format_shape(new.shape) for new, old in pairs if new.shape != old.shape]
    if not changed:
        return None
    note = f"traced with an input of shape {' and '.join(changed)}, which a layer's error message asks for"
    return replace(inputs, args=args, kwargs=kwargs, notes=(note,))


def _resized(value: Any, dimensions: tuple[int, ...], actual: int, expected: int) -> Any:  # noqa: ANN401
    """Change the size `actual` of these dimensions of a float tensor to `expected`; return other values as they are.

    If the layer got a multiple of the last dimension, because an earlier layer joined dimensions, the size is scaled.
    """
    if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point or actual == 0:
        return value
    shape = list(value.shape)
    if dimensions == ANY:
        dimensions = tuple(index - len(shape) for index, size in enumerate(shape) if index and size == actual)
    for dimension in dimensions:
        if -dimension > len(shape):
            return value
        size = shape[dimension]
        # an earlier layer may have joined the last dimension with others
        folded = dimensions == LAST and actual % size == 0 and expected * size % actual == 0
        if size != actual and not folded:
            return value
        shape[dimension] = expected * size // actual
    return torch.empty(shape, dtype=value.dtype, device=value.device)


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
