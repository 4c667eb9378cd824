"""Find the functions that return a model, by their annotations and return statements. Calls none of them."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from msgspec import Struct
from torch import nn
from torch.optim import Optimizer

_METHODS_RETURNING_SELF = frozenset(
    {"to", "cuda", "cpu", "eval", "train", "half", "float", "double", "bfloat16", "type", "requires_grad_", "apply"}
)
"""Methods of nn.Module that return the module itself."""
_TRAINING_CALLS = frozenset({"backward", "step", "zero_grad", "fit", "parse_args"})
"""Methods that only training functions call. Such a function may return a model, but it must not be run to get it."""
_MAX_DEPTH = 8
"""How many expressions inside each other are judged."""


class _FunctionBody(Struct, frozen=True, kw_only=True):
    """The facts by which the return statements of a function are judged.

    Attributes:
        scope: the names of the Python module that defines the function.
        assignments: the expressions assigned to each local name.
        functions: the syntax of the Python module's functions.
        pending: the names of the functions that are being judged: the chain of calls that leads to this function, and
            itself. A call of one of them is not followed, so that recursion ends.
    """

    scope: Mapping[str, object]
    assignments: Mapping[str, list[ast.expr]]
    functions: Mapping[str, ast.FunctionDef]
    pending: frozenset[str]


def factories(defined: Mapping[str, object], source: ast.Module) -> dict[str, Any]:
    """Pick the functions that return a model.

    Args:
        defined: the names that the Python module itself defines.
        source: the syntax tree of that module.
    """
    functions = {node.name: node for node in source.body if isinstance(node, ast.FunctionDef)}
    return {
        name: value
        for name, value in defined.items()
        if isinstance(value, FunctionType) and _returns_model(value, functions, frozenset())
    }


def is_model_class(value: object) -> bool:
    """Whether a value is `nn.Module` or a subclass of it."""
    return isinstance(value, type) and issubclass(value, nn.Module)


def returns_optimizer(function: FunctionType) -> bool:
    """Whether a function returns an optimizer, by its annotation or its return statements."""
    annotation = function.__annotations__.get("return")
    if annotation is not None:
        kind = _annotated_type(annotation, function.__globals__) if isinstance(annotation, str) else annotation
        return _is_optimizer_class(kind)
    try:
        syntax = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return False
    if not isinstance(syntax, ast.FunctionDef):
        return False
    local = _assignments(syntax)
    values = [node.value for node in ast.walk(syntax) if isinstance(node, ast.Return)]
    calls = [call for value in values for call in (local.get(value.id, []) if isinstance(value, ast.Name) else [value])]
    return any(
        isinstance(call, ast.Call) and _is_optimizer_class(_look_up(call.func, function.__globals__)) for call in calls
    )


def _is_optimizer_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Optimizer)


def is_training_function(expression: str, names: Mapping[str, object]) -> bool:
    """Whether an expression names or calls a function that trains."""
    function = names.get(expression.partition("(")[0].strip())
    if not isinstance(function, FunctionType):
        return False
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    return not _TRAINING_CALLS.isdisjoint(_methods_called(source))


def _returns_model(function: Any, functions: Mapping[str, ast.FunctionDef], pending: frozenset[str]) -> bool:  # noqa: ANN401
    if not isinstance(function, FunctionType):
        return False
    function = inspect.unwrap(function)
    name, scope, annotation = function.__name__, function.__globals__, function.__annotations__.get("return")
    syntax = functions.get(name)
    if syntax is not None and not _TRAINING_CALLS.isdisjoint(_methods_called(syntax)):
        return False
    if annotation is not None:
        return is_model_class(_annotated_type(annotation, scope) if isinstance(annotation, str) else annotation)
    if syntax is None or name in pending:
        return False
    body = _FunctionBody(scope=scope, assignments=_assignments(syntax), functions=functions, pending=pending | {name})
    return any(_is_model(node.value, body) for node in ast.walk(syntax) if isinstance(node, ast.Return))


def _is_model(node: ast.expr | None, body: _FunctionBody, depth: int = 0) -> bool:
    """Whether an expression makes a model: by a class or a factory, perhaps with `.to(...)` or the like after it."""
    if depth > _MAX_DEPTH:
        return False
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in _METHODS_RETURNING_SELF:
            return _is_model(inner, body, depth + 1)
        case ast.Call(func=callee):
            value = _look_up(callee, body.scope)
            return is_model_class(value) or _returns_model(value, body.functions, body.pending)
        case ast.Name(id=name):
            return any(_is_model(value, body, depth + 1) for value in body.assignments.get(name, ()))
        case ast.IfExp(body=first, orelse=second):
            return _is_model(first, body, depth + 1) or _is_model(second, body, depth + 1)
    return False


def _assignments(syntax: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(syntax):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values.setdefault(name, []).append(value)
    return values


def _methods_called(syntax: ast.AST) -> Iterator[str]:
    for node in ast.walk(syntax):
        match node:
            case ast.Call(func=ast.Attribute(attr=method)):
                yield method


def _look_up(node: ast.expr, scope: Mapping[str, object]) -> object:
    """Return the value of `NAME` or `NAME.NAME` in a Python module; None if the expression would have to be run."""
    match node:
        case ast.Name(id=name):
            return scope.get(name)
        case ast.Attribute(value=inner, attr=attribute):
            return getattr(_look_up(inner, scope), attribute, None)
    return None


def _annotated_type(annotation: str, scope: Mapping[str, object]) -> object:
    try:
        return _look_up(ast.parse(annotation, mode="eval").body, scope)
    except SyntaxError:
        return None
