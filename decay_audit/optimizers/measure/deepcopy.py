"""A value that an optimizer holds goes in; out comes a copy with probe tensors in place of its parameters.

Unlike `copy.deepcopy`, it copies the rest where one part cannot be copied, and also what functions close over.
"""

import copy
from collections.abc import Mapping
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any

import torch

Memo = dict[int, Any]

_MAY_HOLD_PARAMETERS = (dict, list, tuple, set, FunctionType, torch.nn.Module)


def deep_copy(value: object, memo: Memo) -> Any:  # noqa: ANN401 - of the original's class
    """Copy a value. What cannot be copied (locks, process groups, compiled code) is shared.

    Args:
        memo: id of an original -> its copy, or its probe tensor. New copies are added.
    """
    if id(value) in memo:
        return memo[id(value)]
    match value:
        case dict() | list() | tuple() | set():
            return _container(value, memo)
        case torch.Generator():
            generator = torch.Generator(value.device)
            generator.set_state(value.get_state())
            return generator
        case FunctionType(__closure__=tuple()):
            return _function(value, memo)
        case _:
            return _deepcopy_or_share(value, memo)


def _container(value: Any, memo: Memo) -> Any:  # noqa: ANN401
    if isinstance(value, tuple | set):
        items = [deep_copy(item, memo) for item in value]
        duplicate = type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return memo.setdefault(id(value), duplicate)
    duplicate = memo[id(value)] = copy.copy(value)  # keeps its class, its factory and its order
    if isinstance(value, Mapping):
        duplicate.clear()
        duplicate.update({deep_copy(key, memo): deep_copy(item, memo) for key, item in value.items()})
    else:
        duplicate[:] = [deep_copy(item, memo) for item in value]
    return duplicate


def _function(function: FunctionType, memo: Memo) -> FunctionType:
    cells = function.__closure__ or ()
    duplicate = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(CellType() for _ in cells),
    )
    duplicate.__kwdefaults__ = function.__kwdefaults__
    memo[id(function)] = duplicate
    for cell, original in zip(duplicate.__closure__ or (), cells, strict=True):
        with suppress(ValueError):  # a name without a value yet
            cell.cell_contents = _closed_over(original.cell_contents, memo)
    return duplicate


def _closed_over(value: object, memo: Memo) -> object:
    """Copy only what may lead to parameters: a function may close over a whole program."""
    return deep_copy(value, memo) if isinstance(value, _MAY_HOLD_PARAMETERS) else memo.get(id(value), value)


def _deepcopy_or_share(value: object, memo: Memo) -> object:
    attempt = dict(memo)  # a copy that fails must leave nothing in the memo
    try:
        duplicate = copy.deepcopy(value, attempt)
    except Exception:  # noqa: BLE001 - a class may refuse to be copied with any error
        return _module_by_parts(value, memo) if isinstance(value, torch.nn.Module) else value
    memo.update(attempt)
    return duplicate


def _module_by_parts(module: torch.nn.Module, memo: Memo) -> torch.nn.Module:
    """Copy a module of which one part cannot be copied: the other parts are."""
    duplicate = memo[id(module)] = object.__new__(type(module))
    for name, value in vars(module).items():
        duplicate.__dict__[name] = deep_copy(value, memo)
    return duplicate
