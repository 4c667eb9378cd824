"""Evaluate the user's expression for an optimizer, in which `model` is the built model."""

import ast
import inspect
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeGuard

import torch
from msgspec import Struct
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources import target as targets
from decay_audit.sources.module.build import BuiltModel
from decay_audit.sources.module.build_devices import BUILD_DEVICES
from decay_audit.sources.module.example_calls import required_parameters
from decay_audit.sources.module.user_code.evaluate import evaluate
from decay_audit.sources.module.user_code.import_context import (
    Namespace,
    activate,
    context_of_namespace,
    context_of_target,
)
from decay_audit.sources.module.user_code.load import failure_note, load, stop_note
from decay_audit.sources.module.user_code.stop_at_training import (
    TrainingStarted,
    models_and_optimizers,
    stop_at_training,
    tensors,
)
from decay_audit.sources.module.user_code.user_errors import (
    SAME_ON_EVERY_DEVICE,
    as_target_error,
    location_in_user_code,
)
from decay_audit.sources.target import CheckpointTarget, FileTarget, ModuleTarget


class EvaluatedOptimizer(Struct, frozen=True, kw_only=True, eq=False):
    """The value of an expression for an optimizer.

    Attributes:
        source: the beginning of a sentence about the value: `train.py:make_optimizer(model) returned`.
        notes: the place where the code was stopped because it started to train.
    """

    value: object
    source: str
    notes: tuple[str, ...] = ()


def evaluate_optimizer(text: str, built: BuiltModel) -> EvaluatedOptimizer:
    """Evaluate an expression in another file or module, or among the names of the model's own module.

    Args:
        text: `train.py:make_optimizer`, `torch.optim:SGD(model.parameters(), lr=0.1)`, `model.configure_optimizers()`.
            A function, or a class, is called with the model; a method of the model is called without arguments.

    Returns:
        The value. Code that starts to train is stopped; the value is then a list of its optimizers and models. The
        value is such a list also if the code raises after it has made an optimizer of a model.

    Raises:
        TargetError: the expression cannot be found or evaluated, is an optimizer class that is not called, or raises;
            the exception is chained.
    """
    with BUILD_DEVICES["cpu"]():  # the code may move the model to a GPU before it makes the optimizer
        try:
            with stop_at_training() as optimizers:
                return _evaluate(text, built)
        except TrainingStarted as started:
            return _optimizers_before_training(text, built, started)
        except TargetError as error:
            interrupted = _optimizers_before_error(text, built, error, optimizers)
            if interrupted is None:
                raise
            return interrupted


def evaluate_expression(text: str, built: BuiltModel, **names: object) -> object:
    """Evaluate an expression in another file or module, or among the names of the model's module. Call no function.

    Args:
        names: further names for the expression, beside `model`.

    Raises:
        TargetError: as for an optimizer.
    """
    with BUILD_DEVICES["cpu"]():
        target = _other_target(text, built)
        if target is None:
            return evaluate(text, built.namespace, torch=torch, model=built.model, **names)
        namespace, expression, _ = _namespace(target, built)
        return evaluate(expression or "None", namespace, model=built.model, **names)


def _optimizers_before_training(text: str, built: BuiltModel, started: TrainingStarted) -> EvaluatedOptimizer:
    """Return the optimizers that code had made when it started to train."""
    context = (
        context_of_target(target) if (target := _other_target(text, built)) else context_of_namespace(built.namespace)
    )
    location = location_in_user_code(started, context)
    if not started.optimizers:
        raise TargetError(
            f"{text} starts to train at {location}, before it makes an optimizer",
            "name what makes the optimizer: train.py:make_optimizer",
        ) from started
    models = [value for value in models_and_optimizers(started).values() if isinstance(value, nn.Module)]
    return EvaluatedOptimizer(
        value=[*started.optimizers, *models], source=f"{text} made", notes=(stop_note(text, location),)
    )


def _optimizers_before_error(
    text: str, built: BuiltModel, error: TargetError, optimizers: Sequence[torch.optim.Optimizer]
) -> EvaluatedOptimizer | None:
    """Return the optimizers that code had made when it raised; None if they hold no parameter of a model.

    None is also returned for a model without values, if the missing values may be the cause of the exception.
    """
    cause = error.__cause__
    if cause is None or (built.inventory.built_on != "cpu" and not isinstance(cause, (OSError, *SAME_ON_EVERY_DEVICE))):
        return None
    models = [value for value in models_and_optimizers(cause).values() if isinstance(value, nn.Module)]
    parameters = {id(parameter) for model in (built.model, *models) for parameter in model.parameters()}
    if not any(id(tensor) in parameters for optimizer in optimizers for tensor in tensors(optimizer)):
        return None
    return EvaluatedOptimizer(
        value=[*optimizers, *models], source=f"{text} made", notes=(failure_note(text, error.message),)
    )


def _evaluate(text: str, built: BuiltModel) -> EvaluatedOptimizer:
    target = _other_target(text, built)
    if target is None:
        value, source = _call_if_callable(evaluate(text, built.namespace, torch=torch, model=built.model), text, built)
        return EvaluatedOptimizer(value=value, source=source)
    namespace, expression, notes = _namespace(target, built)
    if not expression:
        raise TargetError(
            f"{text} names a file or module, not an optimizer",
            f"name a function or an optimizer in it: {text}:make_optimizer",
        )
    if namespace is built.namespace and built.optimizers and _same_code(expression, built.expression):
        return EvaluatedOptimizer(value=[*built.optimizers, built.model], source=f"{text} made")
    value, source = _call_if_callable(evaluate(expression, namespace, model=built.model), text, built)
    return EvaluatedOptimizer(value=value, source=source, notes=notes)


def _same_code(expression: str, other: str) -> bool:
    """Whether two expressions run the same function. The caller then does not run it again."""
    return expression.removesuffix("()") == other.removesuffix("()")


def _other_target(text: str, built: BuiltModel) -> FileTarget | ModuleTarget | None:
    """Return the file or module that the text names; None if it is an expression for the model's own namespace."""
    if text in built.namespace or _is_model_attribute(text, built.model):
        return None
    if nearest := _nearest_optimizer_class(text):
        raise _not_called(text, f"torch.optim:{nearest}") if text == nearest else _misspelled(text, nearest)
    if _is_expression(text) and not (text.endswith(".py") or _is_dotted_name(text)):
        return None
    target = targets.parse(text)
    if isinstance(target, CheckpointTarget):
        raise TargetError(
            f"{text} is a checkpoint, not code that makes an optimizer",
            "name a function in a Python file: train.py:make_optimizer",
        )
    return target


def _nearest_optimizer_class(text: str) -> str:
    """Return the class of torch.optim whose name is the text, or is nearest to it; "" if none is near."""
    if not text.isidentifier():
        return ""
    names = {name.lower(): name for name, value in vars(torch.optim).items() if _is_optimizer_class(value)}
    return names.get(targets.nearest(text.lower().replace("_", ""), names), "")


def _is_model_attribute(text: str, model: nn.Module) -> bool:
    """Whether `model.NAME` is an attribute of the model; it may also be a file or a module called `model`."""
    head, _, rest = text.partition(".")
    return head == "model" and _is_dotted_name(rest) and hasattr(model, rest.partition(".")[0])


def _is_expression(text: str) -> bool:
    """Whether the whole text is a Python expression, such as `lambda: x`; `train.py:make` is none.

    A text with a mistake counts as an expression if it has no colon.
    """
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ":" not in text
    return True


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _namespace(target: FileTarget | ModuleTarget, built: BuiltModel) -> tuple[Namespace, str, tuple[str, ...]]:
    """Return the names to evaluate in. The model's own file is not loaded again, so that nothing in it runs twice."""
    of_model = built.namespace
    if (
        isinstance(target, FileTarget)
        and isinstance(of_model, Namespace)
        and _is_same_file(of_model.context.program, target)
    ):
        return of_model, target.expression, ()
    context = context_of_target(target)
    try:
        with activate(context):
            loaded = load(target, context)
    except (Exception, SystemExit) as error:
        raise as_target_error(error, target.label, context) from error
    return Namespace(loaded.module, context), loaded.expression, loaded.notes


def _is_same_file(program: str, target: FileTarget) -> bool:
    return Path(program).exists() and Path(program).samefile(target.path)


def _call_if_callable(value: object, text: str, built: BuiltModel) -> tuple[object, str]:
    if isinstance(value, nn.Module) or not callable(value) or hasattr(value, "param_groups"):
        return value, f"{text} {'returned' if text.endswith(')') else 'is'}"
    if _is_optimizer_class(value):
        in_torch = getattr(torch.optim, value.__name__, None) is value
        raise _not_called(value.__name__, f"torch.optim:{value.__name__}" if in_torch else text)
    if _is_method_of(built.model, value):
        return evaluate("method()", built.namespace, method=value), f"{text}() returned"
    if not _accepts(value, 1) and _accepts(value, 0):
        return evaluate("function()", built.namespace, function=value), f"{text}() returned"
    _require_one_argument(value, text)
    result = evaluate("factory(model)", built.namespace, factory=value, model=built.model)
    return result, f"{text}(model) returned"


def _accepts(function: Callable[..., object], count: int) -> bool:
    """Whether a function can be called with this number of arguments; true if it has no signature."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _require_one_argument(value: Callable[..., object], text: str) -> None:
    """Refuse a function that cannot be called with the model as its only argument."""
    try:
        inspect.signature(value).bind(None)
    except TypeError as error:
        required = [parameter.name for parameter in required_parameters(value)]
        arguments = ", ".join(["model", *(f"{name}=..." for name in required[1:])] if required else [])
        raise TargetError(
            f"{text} cannot be called with the model alone: {error}",
            f"write the call: {shlex.quote(f'{text}({arguments})')}",
        ) from error
    except ValueError:
        return  # a function written in C has no signature


def _is_optimizer_class(value: object) -> TypeGuard[type[torch.optim.Optimizer]]:
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def _is_method_of(model: nn.Module, value: object) -> bool:
    return inspect.ismethod(value) and value.__self__ is model


def _misspelled(text: str, nearest: str) -> TargetError:
    return TargetError(f"no file, module or name `{text}`", f"did you mean {_example_call(f'torch.optim:{nearest}')}?")


def _not_called(name: str, location: str) -> TargetError:
    return TargetError(
        f"{name} is an optimizer class: it takes parameters, not the model",
        f"write the call: {_example_call(location)}",
    )


def _example_call(location: str) -> str:
    return shlex.quote(f"{location}(model.parameters(), lr=1e-3)")
