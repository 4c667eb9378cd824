"""The text of a Python file becomes the text of some of its definitions, and a namespace where they can be called."""

import __future__

import ast
import collections
import copy
import hashlib
import inspect
import itertools
import json
import logging
import re
import types
import typing
from collections.abc import Sequence
from fnmatch import fnmatch, fnmatchcase
from typing import Any

import torch
from torch import nn


class MissingDefinitionError(Exception):
    """A file has no definition of that name; the message says which."""


def text_of(source: str, definitions: Sequence[str]) -> str:
    """Return the text of functions, classes and methods (`Class.method`), or the whole file if none are named.

    Raises:
        MissingDefinitionError: the file does not have one of them.
    """
    if not definitions:
        return source
    tree = ast.parse(source)
    return "\n\n".join(ast.get_source_segment(source, _find(tree, name)) or "" for name in definitions)


def fingerprint(text: str) -> str:
    """Hash a text; blanks at the ends of lines do not count."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def namespace_of(source: str, definitions: Sequence[str], needs: Sequence[str] = ()) -> dict[str, Any]:
    """Execute definitions of a file without its imports. A method is a function in the namespace.

    Annotations are not evaluated, so that their names need not exist.

    Args:
        needs: more names: of definitions and constants of the file, or of classes that it imports.

    Raises:
        MissingDefinitionError: the file does not have a definition.
    """
    tree = ast.parse(source)
    own = {name: node for node in tree.body for name in _names_of(node)}
    imported = [name for name in needs if name not in own]
    body = [own[name] for name in needs if name in own] + [_find(tree, name) for name in definitions]
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = []
    names: dict[str, Any] = {**vars(typing), **_COMMON, **{name: type(name, (StandIn,), {}) for name in imported}}
    module = ast.Module(body=body, type_ignores=[])
    code = compile(module, "<source>", "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, names)  # the text of a codebase that the user cloned and asked to run
    return names


class StandIn:
    """Takes the place of a class that the file imports. No module is an instance of it; it keeps its param groups."""

    def __init__(self, param_groups: object = ()) -> None:
        self.param_groups = param_groups


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []


def _find(tree: ast.Module, name: str) -> ast.FunctionDef | ast.ClassDef:
    scope: ast.Module | ast.FunctionDef | ast.ClassDef = tree
    for part in name.split("."):
        nodes = [node for node in scope.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
        if not nodes:
            raise MissingDefinitionError(f"no definition {name}")
        scope = nodes[0]
    assert not isinstance(scope, ast.Module)
    return scope


def _say_nothing(*_: object, **__: object) -> str:
    return ""


_COMMON: dict[str, Any] = {
    "collections": collections,
    "copy": copy,
    "defaultdict": collections.defaultdict,
    "torch": torch,
    "nn": nn,
    "optim": torch.optim,
    "re": re,
    "json": json,
    "inspect": inspect,
    "itertools": itertools,
    "fnmatch": types.SimpleNamespace(fnmatch=fnmatch, fnmatchcase=fnmatchcase),
    "logger": logging.getLogger("preset_sources"),
    "LOGGER": logging.getLogger("preset_sources"),
    "print": _say_nothing,
    "print0": _say_nothing,
    "colorstr": _say_nothing,
}
