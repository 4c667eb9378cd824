"""What to feed a model: the `--trace` text, or else what the model says that it eats, becomes inputs. Knows torch."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources.module import evaluate
from decay_audit.sources.trace.example_inputs.declared import Meal, appetite, guesses

SHAPE = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?:(?P<dtype>[a-z]\w*):)?(?P<shape>\d+(?:x\d+)*)")
FORMS = "1x3x224x224, input_ids=int64:1x8, several separated by commas, or a Python expression for tensors"


class Inputs(Struct, frozen=True, kw_only=True):
    """The arguments of one forward pass. Tensors need a shape and a dtype; their values are never used.

    Attributes:
        constants: further named arguments, which say how the others are laid out: their values count.
        guessed: nobody asked for these very sizes: another one may do.
        otherwise: to try one after the other if the pass fails: where a size was guessed.
        notes: what was assumed, one sentence each.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    constants: Mapping[str, Any] = {}
    guessed: bool = False
    otherwise: tuple["Inputs", ...] = ()
    notes: tuple[str, ...] = ()


def inputs(model: nn.Module, text: str | None = None, namespace: Mapping[str, Any] | None = None) -> Inputs:
    """Make the arguments for a traced forward pass.

    Args:
        model: what is to be fed.
        text: shapes (`1x3x224x224`), named and typed ones (`input_ids=int64:1x8`), several separated by commas, or a
            Python expression: a tensor, a tuple of positional arguments, or a dict of named ones. None: ask the model.
        namespace: the names that an expression may use; `torch` and `model` are always there.

    Raises:
        TargetError: the text is neither, or the model does not say what it eats.
    """
    if text is not None:
        return _parsed(text) or _evaluated(text, model, namespace or {})
    meals = appetite(model) or guesses(model)
    if not meals:
        raise TargetError(f"{type(model).__name__} does not say what its forward pass takes", f"pass --trace: {FORMS}")
    return served(meals)


def served(meals: Sequence[Meal]) -> Inputs:
    """Turn what a model says that it eats into arguments, and the further meals into what to try next."""
    first, *others = [
        Inputs(args=meal.args, kwargs=meal.kwargs, constants=meal.constants, notes=meal.notes, guessed=True)
        for meal in meals
    ]
    return replace(first, otherwise=tuple(others))


def _parsed(text: str) -> Inputs | None:
    args: list[torch.Tensor] = []
    kwargs: dict[str, torch.Tensor] = {}
    for part in text.split(","):
        match = SHAPE.fullmatch(part.strip())
        if match is None:
            return None
        shape = tuple(int(size) for size in match["shape"].split("x"))
        dtype = _dtype(match["dtype"] or "float32", text)
        try:
            tensor = torch.empty(shape, dtype=dtype, device="meta")
        except (RuntimeError, TypeError, OverflowError) as error:
            raise TargetError(f"--trace {text!r}: no tensor has that size", f"accepted: {FORMS}") from error
        if match["name"]:
            kwargs[match["name"]] = tensor
        else:
            args.append(tensor)
    return Inputs(args=tuple(args), kwargs=kwargs)


def _dtype(name: str, text: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise TargetError(f"--trace {text!r}: {name!r} is not a dtype of torch", "e.g. float32, bfloat16, int64, bool")
    return dtype


def _evaluated(text: str, model: nn.Module, namespace: Mapping[str, Any]) -> Inputs:
    try:
        value = evaluate(text, namespace, torch=torch, model=model)
    except TargetError as error:
        raise TargetError(f"--trace {text!r}: {error.message}", f"accepted: {FORMS}") from error
    match value:
        case torch.Tensor():
            return Inputs(args=(value,))
        case tuple() | list():
            return Inputs(args=tuple(value))
        case dict():
            return Inputs(kwargs=value)
        case _:
            raise TargetError(f"--trace {text!r} is a {type(value).__name__}, not tensors", f"accepted: {FORMS}")
