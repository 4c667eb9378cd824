"""Parameters whose tensors hold this rank's shard only: their whole shapes. DTensors say theirs themselves.

FSDP1 with use_orig_params=True leaves one-dimensional pieces, many of them empty, where matrices were.
"""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace
from torch import nn

from decay_audit.model.parameters import Parameter


def whole(model: nn.Module, parameters: Mapping[int, Parameter]) -> dict[int, Parameter]:
    """Give the parameters that FSDP1 has cut up, by the ids of their tensors, the shapes that they have as a whole."""
    return {
        key: replace(parameters[key], shape=shape)
        for module in model.modules()
        if "_handle" in module.__dict__
        for key, shape in _cut_up(module)
        if key in parameters
    }


def _cut_up(module: nn.Module) -> Iterator[tuple[int, tuple[int, ...]]]:
    """What the flat parameter remembers of what was packed into it: tensors and shapes, in one order."""
    flat = getattr(module.__dict__["_handle"], "flat_param", None)
    tensors, shapes = getattr(flat, "_params", None), getattr(flat, "_shapes", None)
    if tensors and shapes:
        yield from ((id(tensor), tuple(shape)) for tensor, shape in zip(tensors, shapes, strict=True))
