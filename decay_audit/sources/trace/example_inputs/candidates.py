"""The arguments of one forward pass, with alternatives to try; and the functions that build them."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn

TOKENS = 8
"""Length of a sequence in example inputs."""


class ExampleInputs(Struct, frozen=True, kw_only=True):
    """The arguments of one forward pass. Of tensors, only shape and dtype are used.

    Attributes:
        constants: further named arguments whose values count, because they describe the layout of the inputs.
        inferred: the sizes are guesses, so that other sizes may be tried.
        alternatives: candidates to try one after the other if the pass fails.
        notes: what was assumed, one sentence each.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    constants: Mapping[str, Any] = {}
    inferred: bool = False
    alternatives: tuple["ExampleInputs", ...] = ()
    notes: tuple[str, ...] = ()


def with_alternatives(candidates: Sequence[ExampleInputs]) -> ExampleInputs:
    """Return the first candidate, with the others as its alternatives."""
    first, *others = (replace(candidate, inferred=True) for candidate in candidates)
    return replace(first, alternatives=tuple(others))


def float_tensor(*shape: int) -> torch.Tensor:
    """Return a float tensor without values."""
    return torch.empty(shape, device="meta")


def int_tensor(*shape: int) -> torch.Tensor:
    """Return an int64 tensor without values; without a shape, one sequence of token ids."""
    return torch.empty(shape or (1, TOKENS), dtype=torch.int64, device="meta")


def setting(config: Any, *names: str) -> Any:  # noqa: ANN401
    """Return the first of these settings that is not None; the config is a mapping or an object."""
    for name in names:
        value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
        if value is not None:
            return value
    return None


def required_arguments(model: nn.Module) -> list[str]:
    """Return the names of the arguments of `forward` that have no default."""
    return [
        name
        for name, argument in inspect.signature(model.forward).parameters.items()
        if argument.default is inspect.Parameter.empty
        and argument.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
