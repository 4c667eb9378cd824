"""What the user's code makes beside the model: an optimizer, from an expression that may use it."""

import ast
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeGuard

import torch
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources import target as targets
from decay_audit.sources.module.build import Built
from decay_audit.sources.module.example_calls import required
from decay_audit.sources.module.user_code.evaluate import evaluate
from decay_audit.sources.module.user_code.import_context import Namespace, home, running
from decay_audit.sources.module.user_code.load import load
from decay_audit.sources.module.user_code.user_errors import failure
from decay_audit.sources.target import CheckpointTarget, FileTarget, ModuleTarget


def make(text: str, built: Built) -> object:
    """Evaluate an expression beside a model: in another file or module, or among the names of the model's own.

    Args:
        text: `train.py:make_optimizer`, `torch.optim:SGD(model.parameters(), lr=0.1)`, `model.configure_optimizers()`.
            `model` is the model. What is a function, or a class, is called with it; a method of the model without.

    Raises:
        TargetError: it cannot be found or evaluated, is an optimizer class that nobody called, or raises; the
            exception is chained.
    """
    spec = _elsewhere(text, built)
    if spec is None:
        return _called(evaluate(text, built.namespace, torch=torch, model=built.model), text, built)
    namespace, expression = _namespace(spec, built)
    if not expression:
        raise TargetError(f"{text} names no optimizer", f"name it after a colon: {text}:make_optimizer")
    return _called(evaluate(expression, namespace, model=built.model), text, built)


def _elsewhere(text: str, built: Built) -> FileTarget | ModuleTarget | None:
    """The file or module that an expression names; None if it is one for the model's own namespace."""
    if text in built.namespace or _is_of_model(text, built.model):
        return None
    if meant := _class_of_torch(text):
        raise _uncalled(text, f"torch.optim:{meant}") if text == meant else _misspelt(text, meant)
    if _is_expression(text) and not (text.endswith(".py") or _is_dotted(text)):
        return None
    spec = targets.parse(text)
    if isinstance(spec, CheckpointTarget):
        raise TargetError(f"{text} is a checkpoint, not code that makes an optimizer", "name a file of Python")
    return spec


def _class_of_torch(text: str) -> str:
    """The optimizer class of torch.optim that a bare word names, if not to the letter; "" if there is none like it."""
    if not text.isidentifier():
        return ""
    known = {name.lower(): name for name, value in vars(torch.optim).items() if _is_optimizer_class(value)}
    return known.get(targets.nearest(text.lower().replace("_", ""), known), "")


def _is_of_model(text: str, model: nn.Module) -> bool:
    """Whether it names an attribute of the model, and not a module of that name."""
    head, _, rest = text.partition(".")
    return head == "model" and _is_dotted(rest) and hasattr(model, rest.partition(".")[0])


def _is_expression(text: str) -> bool:
    """Whether it is Python as it stands: with the colon of a dict or a lambda it is, with one behind a file not."""
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ":" not in text
    return True


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _namespace(spec: FileTarget | ModuleTarget, built: Built) -> tuple[Namespace, str]:
    """The names to evaluate in: the model's own if its file is the one that is named, so that nothing runs twice."""
    own = built.namespace
    if isinstance(spec, FileTarget) and isinstance(own, Namespace) and _same(Path(own.home.program), spec.path):
        return own, spec.expression
    place = home(spec)
    try:
        with running(place):
            module, expression = load(spec)
    except (Exception, SystemExit) as error:
        raise failure(error, spec.label, place) from error
    return Namespace(module, place), expression


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def _called(value: object, text: str, built: Built) -> object:
    if isinstance(value, nn.Module) or not callable(value) or hasattr(value, "param_groups"):
        return value
    if _is_optimizer_class(value):
        known = getattr(torch.optim, value.__name__, None) is value
        raise _uncalled(value.__name__, f"torch.optim:{value.__name__}" if known else text)
    if _is_method_of(built.model, value):
        return evaluate("method()", built.namespace, method=value)
    _must_take_the_model(value, text)
    return evaluate("factory(model)", built.namespace, factory=value, model=built.model)


def _must_take_the_model(value: Callable[..., object], text: str) -> None:
    try:
        inspect.signature(value).bind(None)
    except TypeError as error:
        needed = [each.name for each in required(value)]
        arguments = ", ".join(["model", *(f"{name}=..." for name in needed[1:])] if needed else [])
        raise TargetError(
            f"{text} cannot be called with the model alone: {error}",
            f"call it: {shlex.quote(f'{text}({arguments})')}",
        ) from error
    except ValueError:
        return  # a function of C has no signature to look at


def _is_optimizer_class(value: object) -> TypeGuard[type[torch.optim.Optimizer]]:
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def _is_method_of(model: nn.Module, value: object) -> bool:
    return inspect.ismethod(value) and value.__self__ is model


def _misspelt(text: str, meant: str) -> TargetError:
    return TargetError(
        f"there is neither a file, a module nor a name `{text}`", f"did you mean {_call(f'torch.optim:{meant}')}?"
    )


def _uncalled(name: str, place: str) -> TargetError:
    return TargetError(f"{name} is an optimizer class: it takes parameters, not the model", f"call it: {_call(place)}")


def _call(place: str) -> str:
    return shlex.quote(f"{place}(model.parameters(), lr=1e-3)")
