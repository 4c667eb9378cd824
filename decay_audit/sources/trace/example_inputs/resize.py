"""A size that a layer did not accept, put right: the inputs and what torch said in, other inputs or nothing out.

A guess of an input gets its number of dimensions right more often than their sizes; the first layer that complains
says which size it wants. Knows torch.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from msgspec.structs import replace

from decay_audit.sources.trace.example_inputs import Inputs
from decay_audit.text import format_shape

LAST = (-1,)
_WIDTHS = (
    re.compile(r"got \[(?:\d+, )*(?P<got>\d+)\] X \[(?P<want>\d+), \d+\]"),
    re.compile(r"normalized_shape=\[(?P<want>\d+)\].*\b(?P<got>\d+)\]\)?$"),
    re.compile(r"dimension of length (?P<want>\d+) at -1!.*\b(?P<got>\d+)\]$"),
)
_CHANNELS = re.compile(r"expected input\[(?P<shape>[\d, ]+)\] to have (?P<want>\d+) channels, but got (?P<got>\d+)")
_SIDE = re.compile(r"\(?(?P<got>\d+)(\*\d+)?\)? doesn't match model \((?P<want>\d+)")


def corrected(inputs: Inputs, failure: str) -> Inputs | None:
    """Give the inputs another size, if the failure says which one was wanted and they had the wrong one."""
    dimensions, got, want = _complaint(failure)
    args = tuple(_resized(value, dimensions, got, want) for value in inputs.args)
    kwargs = {name: _resized(value, dimensions, got, want) for name, value in inputs.kwargs.items()}
    changed = [new.shape for new, old in zip(_tensors(args, kwargs), _tensors(inputs.args, inputs.kwargs), strict=True)
               if new.shape != old.shape]  # fmt: skip
    if not changed:
        return None
    shapes = " and ".join(format_shape(shape) for shape in changed)
    return replace(inputs, args=args, kwargs=kwargs, notes=(f"traced with an input of shape {shapes}, which fits",))


def _complaint(failure: str) -> tuple[tuple[int, ...], int, int]:
    """Say which dimensions are wrong, counted from the last, which size they had, and which was wanted."""
    side = _SIDE.search(failure)
    if side is not None:
        return (-2, -1), int(side["got"]), int(side["want"])
    channels = _CHANNELS.search(failure)
    if channels is not None:
        return (1 - len(channels["shape"].split(",")),), int(channels["got"]), int(channels["want"])
    width = next(filter(None, (pattern.search(failure) for pattern in _WIDTHS)), None)
    return (LAST, int(width["got"]), int(width["want"])) if width is not None else ((), 0, 0)


def _resized(value: Any, dimensions: tuple[int, ...], got: int, want: int) -> Any:  # noqa: ANN401
    """Resize a tensor of numbers; a width may have been folded, so that a multiple of it arrived at the layer."""
    if not isinstance(value, torch.Tensor) or not value.dtype.is_floating_point or got == 0:
        return value
    shape = list(value.shape)
    for place in dimensions:
        if -place > len(shape):
            return value
        folded = dimensions == LAST and got % shape[place] == 0 and want * shape[place] % got == 0
        if shape[place] != got and not folded:
            return value
        shape[place] = want * shape[place] // got
    return torch.empty(shape, dtype=value.dtype, device=value.device)


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
