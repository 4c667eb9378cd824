"""Make example inputs from a model and the value of `--trace`."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources.module import evaluate
from decay_audit.sources.trace.example_inputs.candidates import ExampleInputs, with_alternatives
from decay_audit.sources.trace.example_inputs.declared import declared_inputs
from decay_audit.sources.trace.example_inputs.first_layer import guessed_inputs

# int() refuses numbers of more than 4,300 digits
_SHAPE = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?:(?P<dtype>[a-z]\w*):)?(?P<shape>\d{1,4000}(?:x\d{1,4000})*)")
_WITH_COMMAS = re.compile(r"\d{1,9}(?: *, *\d{1,9})+")
"""A shape in the spelling of Python, which would be several inputs of one dimension."""
FORMS = "1x3x224x224, input_ids=int64:1x8, several separated by commas, or a Python expression for tensors"


def make_example_inputs(
    model: nn.Module, text: str | None = None, namespace: Mapping[str, Any] | None = None
) -> ExampleInputs:
    """Make the arguments for a traced forward pass.

    Args:
        model: the model to be traced.
        text: shapes (`1x3x224x224`), named and typed ones (`input_ids=int64:1x8`), several separated by commas, or a
            Python expression: a tensor, a tuple of positional arguments, or a dict of named ones. None: infer the
            inputs from the model.
        namespace: the names that an expression may use, besides `torch` and `model`.

    Raises:
        TargetError: the text has none of these forms, or no inputs can be inferred from the model.
    """
    if text is not None and _WITH_COMMAS.fullmatch(text.strip(" ()[]")):
        shape = "x".join(size.strip() for size in text.strip(" ()[]").split(","))
        raise TargetError(
            f"{text!r} has commas between numbers",
            f"a shape is written with x: {shape}; several inputs of one dimension: (torch.empty(8), torch.empty(8))",
        )
    if text is not None:
        return _parse(text) or _evaluate(text, model, namespace or {})
    candidates = declared_inputs(model) or guessed_inputs(model)
    if not candidates:
        raise TargetError(
            f"cannot infer the input shapes of {type(model).__name__}", f"pass them with --trace: {FORMS}"
        )
    return with_alternatives(candidates)


def _parse(text: str) -> ExampleInputs | None:
    args: list[torch.Tensor] = []
    kwargs: dict[str, torch.Tensor] = {}
    for part in text.split(","):
        match = _SHAPE.fullmatch(part.strip())
        if match is None:
            return None
        shape = tuple(int(size) for size in match["shape"].split("x"))
        dtype = _dtype(match["dtype"] or "float32", text)
        try:
            tensor = torch.empty(shape, dtype=dtype, device="meta")
        except (RuntimeError, TypeError, OverflowError) as error:
            raise TargetError(
                f"--trace {text!r}: torch cannot make a tensor of this size", f"accepted: {FORMS}"
            ) from error
        if match["name"]:
            kwargs[match["name"]] = tensor
        else:
            args.append(tensor)
    return ExampleInputs(args=tuple(args), kwargs=kwargs)


def _dtype(name: str, text: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise TargetError(f"--trace {text!r}: {name!r} is not a torch dtype", "e.g. float32, bfloat16, int64, bool")
    return dtype


def _evaluate(text: str, model: nn.Module, namespace: Mapping[str, Any]) -> ExampleInputs:
    try:
        value = evaluate(text, namespace, torch=torch, model=model)
    except TargetError as error:
        raise TargetError(f"--trace {text!r}: {error.message}", f"accepted: {FORMS}") from error
    match value:
        case torch.Tensor():
            return ExampleInputs(args=(value,))
        case tuple() | list():
            return ExampleInputs(args=tuple(value))
        case dict():
            return ExampleInputs(kwargs=value)
        case _:
            raise TargetError(
                f"--trace {text!r} is of type {type(value).__name__}; expected a tensor, a tuple or a dict",
                f"accepted: {FORMS}",
            )
