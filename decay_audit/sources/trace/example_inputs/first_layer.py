"""A model that declares no inputs in, guesses from its first layer out: several sizes where the layer takes any.

Knows torch.
"""

from collections.abc import Sequence

from msgspec.structs import replace
from torch import nn

from decay_audit.sources.trace.example_inputs.candidates import (
    TOKENS,
    ExampleInputs,
    float_tensor,
    int_tensor,
    required_arguments,
)
from decay_audit.text import format_shape

IMAGE_SIDES = (224, 32, 28, 64, 96, 128, 256, 299, 331, 384, 512)
"""Heights and widths to try, in this order."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.RNNBase, nn.Embedding)


def guessed_inputs(model: nn.Module) -> tuple[ExampleInputs, ...]:
    """Guess the inputs from the first layer that has parameters."""
    further = required_arguments(model)[1:]
    return tuple(full for candidate in _first_arguments(model) for full in _with_further(candidate, further))


def _with_further(candidate: ExampleInputs, names: Sequence[str]) -> tuple[ExampleInputs, ...]:
    """Add the other required arguments: each like the first (a second image), or one number per sample (a time)."""
    if not names or not candidate.args:
        return (candidate,)
    (first,) = candidate.args
    return tuple(
        replace(candidate, args=(first, *further))
        for further in ([first] * len(names), [int_tensor(first.shape[0])] * len(names))
    )


def _first_arguments(model: nn.Module) -> tuple[ExampleInputs, ...]:
    shapes: list[tuple[int, ...]]
    first = next((module for module in model.modules() if isinstance(module, LAYERS)), None)
    match first:
        case nn.Conv1d():
            shapes = [(2, first.in_channels, side * 8) for side in IMAGE_SIDES[:4]]
        case nn.Conv2d():
            shapes = [(1, first.in_channels, side, side) for side in IMAGE_SIDES]
        case nn.Conv3d():
            shapes = [(1, first.in_channels, 16, side, side) for side in (224, 112, 32)]
        case nn.Linear():
            shapes = [(2, first.in_features), (2, TOKENS, first.in_features)]
        case nn.RNNBase():
            shapes = [(2, TOKENS, first.input_size)]
        case nn.Embedding():
            note = f"traced with int64 ids of shape 1x{TOKENS}, guessed from the first layer"
            return (ExampleInputs(args=(int_tensor(),), notes=(note,)),)
        case _:
            return ()
    return tuple(ExampleInputs(args=(float_tensor(*shape),), notes=(_note(shape),)) for shape in shapes)


def _note(shape: tuple[int, ...]) -> str:
    return f"traced with an input of shape {format_shape(shape)}, guessed from the first layer"
