"""Which functions give a model, told from their annotations and return statements. Runs none of them."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from msgspec import Struct
from torch import nn

_GIVES_ITSELF = frozenset(
    {"to", "cuda", "cpu", "eval", "train", "half", "float", "double", "bfloat16", "type", "requires_grad_", "apply"}
)
_WORKS = frozenset({"backward", "step", "zero_grad", "fit", "parse_args"})
"""Calls by which a function that trains a model, and returns it, can be told; it must not be run to read one."""
_DEEPEST = 8


class _Body(Struct, frozen=True, kw_only=True):
    """What a function's return statements are understood with.

    Attributes:
        scope: the names of the module that defines it.
        assigned: what each of its local names is set to.
        functions: the syntax of the module's functions.
        asked: functions whose answer is awaited; one that calls itself says nothing new.
    """

    scope: Mapping[str, object]
    assigned: Mapping[str, list[ast.expr]]
    functions: Mapping[str, ast.FunctionDef]
    asked: frozenset[str]


def factories(own: Mapping[str, object], source: ast.Module) -> dict[str, Any]:
    """Pick the functions that give a model.

    Args:
        own: what the module defines.
        source: its syntax tree.
    """
    functions = {node.name: node for node in source.body if isinstance(node, ast.FunctionDef)}
    return {
        name: value
        for name, value in own.items()
        if isinstance(value, FunctionType) and _makes_model(value, functions, frozenset())
    }


def is_model_class(value: object) -> bool:
    """Whether `value` is a class of modules."""
    return isinstance(value, type) and issubclass(value, nn.Module)


def _makes_model(function: Any, functions: Mapping[str, ast.FunctionDef], asked: frozenset[str]) -> bool:  # noqa: ANN401
    if not isinstance(function, FunctionType):
        return False
    function = inspect.unwrap(function)
    name, scope, annotation = function.__name__, function.__globals__, function.__annotations__.get("return")
    syntax = functions.get(name)
    if syntax is not None and not _WORKS.isdisjoint(_methods_called(syntax)):
        return False
    if annotation is not None:
        return is_model_class(_named(annotation, scope) if isinstance(annotation, str) else annotation)
    if syntax is None or name in asked:
        return False
    body = _Body(scope=scope, assigned=_assigned(syntax), functions=functions, asked=asked | {name})
    return any(_is_model(node.value, body) for node in ast.walk(syntax) if isinstance(node, ast.Return))


def _is_model(node: ast.expr | None, body: _Body, depth: int = 0) -> bool:
    """Whether an expression calls a class of models, a factory, or a method that gives its model back."""
    if depth > _DEEPEST:
        return False
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in _GIVES_ITSELF:
            return _is_model(inner, body, depth + 1)
        case ast.Call(func=callee):
            value = _value(callee, body.scope)
            return is_model_class(value) or _makes_model(value, body.functions, body.asked)
        case ast.Name(id=name):
            return any(_is_model(each, body, depth + 1) for each in body.assigned.get(name, ()))
        case ast.IfExp(body=first, orelse=second):
            return _is_model(first, body, depth + 1) or _is_model(second, body, depth + 1)
    return False


def _assigned(syntax: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(syntax):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values.setdefault(name, []).append(value)
    return values


def _methods_called(syntax: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(syntax):
        match node:
            case ast.Call(func=ast.Attribute(attr=method)):
                yield method


def _value(node: ast.expr, scope: Mapping[str, object]) -> object:
    """What a name, or a chain of attributes, stands for in a module; None if that is not known without running it."""
    match node:
        case ast.Name(id=name):
            return scope.get(name)
        case ast.Attribute(value=inner, attr=attribute):
            return getattr(_value(inner, scope), attribute, None)
    return None


def _named(annotation: str, scope: Mapping[str, object]) -> object:
    try:
        return _value(ast.parse(annotation, mode="eval").body, scope)
    except SyntaxError:
        return None
