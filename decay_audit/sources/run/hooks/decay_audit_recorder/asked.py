"""Hooks on nn.Module that record which modules were asked for their parameters, the latest first.

`torch.compile` takes the hooks off: its tracing knows the original methods.
"""

import functools
import sys
import weakref
from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import nn

_METHODS = ("parameters", "named_parameters", "modules", "named_modules", "children", "named_children")
_ASKED: "Dict[int, weakref.ref[nn.Module]]" = {}
_MAX = 20000
_MODULE_FILE = nn.Module.parameters.__code__.co_filename
_ORIGINALS: List[Tuple[Any, str, Any]] = []


def set_hooks() -> None:
    """Hook the methods of nn.Module that list its parts."""
    for name in _METHODS:
        _replace(nn.Module, name, _noting(getattr(nn.Module, name)))
    if hasattr(torch, "compile"):
        _replace(torch, "compile", _without_hooks(torch.compile))
        _replace(nn.Module, "compile", _without_hooks(nn.Module.compile))


def remove_hooks() -> None:
    """Take the hooks off again."""
    while _ORIGINALS:
        owner, name, original = _ORIGINALS.pop()
        setattr(owner, name, original)


def modules() -> List[nn.Module]:
    """List the modules that were asked, the last one first, and forget those that are gone."""
    alive = [(key, reference()) for key, reference in list(_ASKED.items())]
    for key, module in alive:
        if module is None:
            _ASKED.pop(key, None)
    return [module for _, module in reversed(alive) if module is not None]


def _replace(owner: Any, name: str, function: Any) -> None:
    _ORIGINALS.append((owner, name, getattr(owner, name)))
    setattr(owner, name, function)


def _noting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if sys._getframe(1).f_code.co_filename != _MODULE_FILE:  # nn.Module itself asks the modules inside
            key = id(self)
            _ASKED.pop(key, None)  # the last one asked stands last
            if len(_ASKED) < _MAX:
                _ASKED[key] = weakref.ref(self)
        return method(self, *args, **kwargs)

    return noting


def _without_hooks(compile_function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(compile_function)
    def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001
        remove_hooks()
        return compile_function(*args, **kwargs)

    return compile
