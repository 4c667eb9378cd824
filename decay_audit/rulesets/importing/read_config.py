"""Read a configuration file as plain values: dicts, lists, numbers and words. Nothing in the file is executed."""

import ast
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from decay_audit import files
from decay_audit.errors import RulesError
from decay_audit.rulesets.arithmetic import evaluate
from decay_audit.rulesets.yaml.nodes import (
    MAX_CHARACTERS,
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    UnreadableYamlError,
    parse,
)

CALLED = "__called__"
"""A call becomes a mapping of its keyword arguments. Under this key, the mapping has the name of the function."""
ARGUMENTS = "__arguments__"
"""Under this key, the mapping of a call has the positional arguments."""


class Symbol(str):
    """The text of a name or an expression whose value is not known without running the file."""

    __slots__ = ()


def read(path: Path) -> Any:  # noqa: ANN401 - any plain value
    """Read a `.py`, `.json`, `.toml` or YAML file.

    Raises:
        RulesError: it cannot be read, or its content is not in the format of its suffix.
    """
    try:
        text = files.read_text(path, MAX_CHARACTERS)
    except UnicodeDecodeError as error:
        raise RulesError(f"{path.name} is not text in UTF-8") from error
    except (OSError, ValueError) as error:
        raise RulesError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _READERS.get(path.suffix, _from_yaml)(text)
    except (SyntaxError, json.JSONDecodeError, tomllib.TOMLDecodeError, UnreadableYamlError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError | json.JSONDecodeError) else ""
        raise RulesError(f"{path.name}{line}: {error}") from error


def _from_yaml(text: str) -> Any:  # noqa: ANN401
    root = parse(text)
    return None if root is None else _plain(root)


def _plain(node: Node) -> Any:  # noqa: ANN401
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [_plain(item) for item in node.items]
        case MappingNode():
            return {key.spelling: _plain(value) for key, value in node.entries}


def _from_python(text: str) -> list[Any]:
    """List the values of assignments, return statements, `with` statements and bare expressions, outer ones first.

    A name that was assigned before is replaced by its value.
    """
    variables: dict[str, Any] = {}
    values: list[Any] = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                variables[ast.unparse(target)] = _value(value, variables)
                values.append({ast.unparse(target).rpartition(".")[2]: variables[ast.unparse(target)]})
            case ast.Return(value=ast.expr() as value) | ast.Expr(value=value) | ast.withitem(context_expr=value):
                values.append(_value(value, variables))
    return values


def _value(node: ast.expr, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple() | ast.Set():
            return [_value(item, variables) for item in node.elts]
        case ast.Dict():
            return _dict_value(node, variables)
        case ast.Call():
            return _call(node, variables)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()) | ast.BinOp():
            return _arithmetic(node, variables)
    name = ast.unparse(node)
    return variables.get(name, Symbol(name))


def _dict_value(node: ast.Dict, variables: Mapping[str, Any]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        value = _value(item, variables)
        if key is not None:
            mapping[str(_value(key, variables))] = value
        elif isinstance(value, dict):
            mapping |= value
    return mapping


def _call(node: ast.Call, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Make a mapping of a call's arguments; unless the function is `dict`, the key CALLED has its name."""
    mapping: dict[str, Any] = {}
    for keyword in node.keywords:
        value = _value(keyword.value, variables)
        if keyword.arg is not None:
            mapping[keyword.arg] = value
        elif isinstance(value, dict):
            mapping |= value
    name = ast.unparse(node.func)
    if name == "dict":
        return mapping
    positional = {ARGUMENTS: [_value(argument, variables) for argument in node.args]} if node.args else {}
    return {CALLED: name, **positional, **mapping}


def _arithmetic(node: ast.UnaryOp | ast.BinOp, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Compute arithmetic, because coefficients are often written as `5e-4 * 1024 / 512`."""
    try:
        return evaluate(node, lambda operand: _number(operand, variables))
    except (ArithmeticError, ValueError):
        return Symbol(ast.unparse(node))


def _number(node: ast.expr, variables: Mapping[str, Any]) -> float:
    value = None if isinstance(node, ast.BinOp | ast.UnaryOp) else _value(node, variables)
    if not isinstance(value, int | float):
        raise ValueError(f"`{ast.unparse(node)}` is not a number")
    return value


_READERS: dict[str, Callable[[str], Any]] = {".py": _from_python, ".json": json.loads, ".toml": tomllib.loads}
"""The reader of each suffix; all other files are read as YAML."""
