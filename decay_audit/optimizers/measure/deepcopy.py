"""What an optimizer holds, copied as far as it can be: with stand-ins for its parameters, also inside containers.

`copy.deepcopy` gives up on the whole where one part cannot be copied, and leaves what functions close over as it is.
"""

import copy
from collections.abc import Mapping
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any

import torch

Memo = dict[int, Any]

_LEADING = (dict, list, tuple, set, FunctionType, torch.nn.Module)


def copied(value: object, memo: Memo) -> Any:  # noqa: ANN401 - of the original's class
    """Copy a value. What cannot be copied (locks, process groups, compiled code) is shared.

    Args:
        memo: id of an original -> its copy, or its stand-in; it grows.
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
            return _whole(value, memo)


def _container(value: Any, memo: Memo) -> Any:  # noqa: ANN401
    if isinstance(value, tuple | set):
        items = [copied(each, memo) for each in value]
        made = type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return memo.setdefault(id(value), made)
    made = memo[id(value)] = copy.copy(value)  # of its own class, with its factory or order
    if isinstance(value, Mapping):
        made.clear()
        made.update({copied(key, memo): copied(each, memo) for key, each in value.items()})
    else:
        made[:] = [copied(each, memo) for each in value]
    return made


def _function(function: FunctionType, memo: Memo) -> FunctionType:
    cells = function.__closure__ or ()
    made = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(CellType() for _ in cells),
    )
    made.__kwdefaults__ = function.__kwdefaults__
    memo[id(function)] = made
    for cell, original in zip(made.__closure__ or (), cells, strict=True):
        with suppress(ValueError):  # a name that nothing has been given to yet
            cell.cell_contents = _within(original.cell_contents, memo)
    return made


def _within(value: object, memo: Memo) -> object:
    """Copy what may lead to parameters; a function may close over a whole program."""
    return copied(value, memo) if isinstance(value, _LEADING) else memo.get(id(value), value)


def _whole(value: object, memo: Memo) -> object:
    attempt = dict(memo)  # what a copy that fails has begun is of no use
    try:
        made = copy.deepcopy(value, attempt)
    except Exception:  # noqa: BLE001 - whatever a class says about being copied
        return _module(value, memo) if isinstance(value, torch.nn.Module) else value
    memo.update(attempt)
    return made


def _module(module: torch.nn.Module, memo: Memo) -> torch.nn.Module:
    """A module of which one part cannot be copied: the others are."""
    made = memo[id(module)] = object.__new__(type(module))
    for name, value in vars(module).items():
        made.__dict__[name] = copied(value, memo)
    return made
