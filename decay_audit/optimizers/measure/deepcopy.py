"""Copy a value that an optimizer holds, with probe tensors in place of parameters.

Unlike `copy.deepcopy`, `deep_copy` shares what cannot be copied and copies the rest. It also copies the values that
functions close over.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any

import torch

from decay_audit.errors import OptimizerError

Shape = tuple[int, ...]


class Memo(dict[int, Any]):
    """Maps the id of an original to its copy, or to its probe tensor.

    Attributes:
        shapes: maps the shape of a parameter to that of its probe tensor. A tensor of the first shape is cut to the
            second.
        first_states: makes the states of the copy from the optimizer's states, both by parameter.
        note_copy: is called with each tensor that is cut, and with its copy.
    """

    shapes: Mapping[Shape, Shape] = {}
    first_states: Callable[[Mapping[Any, Any]], Any] = dict
    note_copy: Callable[[torch.Tensor, torch.Tensor], None] = staticmethod(lambda original, duplicate: None)  # noqa: ARG005


_MAY_HOLD_PARAMETERS = (dict, list, tuple, set, FunctionType, torch.nn.Module)


def deep_copy(value: object, memo: Memo) -> Any:  # noqa: ANN401 - of the original's class
    """Copy a value. What cannot be copied (locks, process groups, compiled code) is shared.

    Args:
        memo: the copies that exist already; new copies are added.

    Raises:
        OptimizerError: an object in it has a finalizer.
    """
    if id(value) in memo:
        return memo[id(value)]
    refuse_finalizer(value)
    match value:
        case dict() | list() | tuple() | set():
            return _container(value, memo)
        case torch.Generator():
            generator = torch.Generator(value.device)
            generator.set_state(value.get_state())
            return generator
        case torch.Tensor() if tuple(value.shape) in memo.shapes and not value.is_meta:
            return memo.setdefault(id(value), cut(value, memo))
        case FunctionType(__closure__=tuple()):
            return _function(value, memo)
        case _:
            return _deepcopy_or_share(value, memo)


def refuse_finalizer(value: object) -> None:
    """Refuse to copy an object whose class has a `__del__`: that of the copy would free what the original uses.

    Raises:
        OptimizerError: the class has a `__del__`.
    """
    if _has_finalizer(value):
        raise OptimizerError(
            f"{type(value).__qualname__} has a finalizer (__del__), and a copy of it may free what the original uses",
            "run with --no-measure: no copy is made",
        )


def _has_finalizer(value: object) -> bool:
    return hasattr(type(value), "__del__")


def cut(value: torch.Tensor, memo: Memo) -> torch.Tensor:
    """Copy a tensor that belongs to a parameter, such as its initial values, cut to the shape of the probe tensor."""
    small = memo.shapes[tuple(value.shape)]
    duplicate = value.detach()[tuple(slice(size) for size in small)].to("cpu", copy=True)
    memo.note_copy(value, duplicate)
    return duplicate.requires_grad_(value.requires_grad)


def _container(value: Any, memo: Memo) -> Any:  # noqa: ANN401
    if isinstance(value, tuple | set):
        items = [deep_copy(item, memo) for item in value]
        duplicate = type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return memo.setdefault(id(value), duplicate)
    duplicate = memo[id(value)] = copy.copy(value)  # keeps its class, its factory and its order
    if isinstance(value, Mapping) and _holds_states(value, memo):
        duplicate.clear()
        duplicate.update(memo.first_states(value))
    elif isinstance(value, Mapping):
        duplicate.clear()
        duplicate.update({_key(key, memo): deep_copy(item, memo) for key, item in value.items()})
    else:
        duplicate[:] = [deep_copy(item, memo) for item in value]
    return duplicate


def _holds_states(value: Mapping[Any, Any], memo: Memo) -> bool:
    """Whether a dict has a dict for each parameter, like `Optimizer.state`: some optimizers hold another such dict."""
    keys = [key if isinstance(key, int) else id(key) for key in value]
    return (
        bool(keys)
        and all(isinstance(memo.get(key), torch.Tensor) for key in keys)
        and all(isinstance(entries, dict) for entries in value.values())
    )


def _key(key: object, memo: Memo) -> object:
    """Copy the key of a dict. The id of a parameter becomes that of its probe tensor."""
    if isinstance(key, int) and isinstance(memo.get(key), torch.Tensor):
        return id(memo[key])
    return deep_copy(key, memo)


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
    attempt = Memo(memo)  # a copy that fails must leave nothing in the memo
    attempt.shapes, attempt.first_states, attempt.note_copy = memo.shapes, memo.first_states, memo.note_copy
    try:
        duplicate = copy.deepcopy(value, attempt)
    except Exception:  # noqa: BLE001 - a class may refuse to be copied with any error
        duplicate = None
    # under id(attempt), copy.deepcopy keeps a list of the originals
    copies = [attempt[key] for key in attempt.keys() - memo.keys() - {id(attempt)}]
    for duplicate_with_finalizer in _without_finalizers(copies):
        refuse_finalizer(duplicate_with_finalizer)
    if duplicate is None:
        return _copy_by_attribute(value, memo) if isinstance(value, torch.nn.Module) else value
    memo.update(attempt)
    return duplicate


_KEPT_ALIVE: list[object] = []
"""Copies whose finalizer cannot be replaced. They are kept here, so that it does not run while the program runs."""


def _without_finalizers(copies: Iterable[object]) -> list[object]:
    """Make the finalizers of copies do nothing; return the copies whose class has a finalizer."""
    with_finalizer = [duplicate for duplicate in copies if _has_finalizer(duplicate)]
    for duplicate in with_finalizer:
        kind = type(duplicate)
        try:
            duplicate.__class__ = type(kind.__name__, (kind,), {"__del__": lambda _: None, "__slots__": ()})
        except TypeError:
            _KEPT_ALIVE.append(duplicate)
    return with_finalizer


def _copy_by_attribute(module: torch.nn.Module, memo: Memo) -> torch.nn.Module:
    """Copy a module attribute by attribute; an attribute that cannot be copied is shared."""
    duplicate = memo[id(module)] = object.__new__(type(module))
    for name, value in vars(module).items():
        duplicate.__dict__[name] = deep_copy(value, memo)
    return duplicate
