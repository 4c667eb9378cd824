"""Hooks on nn.Module: they record which modules were asked for their parameters or children, the latest first.

`torch.compile` removes the hooks: it can trace only the original methods.
"""

import functools
import sys
import weakref
from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import nn

_METHODS = ("parameters", "named_parameters", "modules", "named_modules", "children", "named_children")
_REFERENCES: "Dict[int, weakref.ref[nn.Module]]" = {}
_MAX_MODULES = 20000
_MODULE_FILE = nn.Module.parameters.__code__.co_filename
_ORIGINALS: List[Tuple[Any, str, Any]] = []


def set_hooks() -> None:
    """Hook the methods of nn.Module that list its parts."""
    for name in _METHODS:
        _replace(nn.Module, name, _recording_method(getattr(nn.Module, name)))
    if hasattr(torch, "compile"):
        _replace(torch, "compile", _without_hooks(torch.compile))
        _replace(nn.Module, "compile", _without_hooks(nn.Module.compile))


def remove_hooks() -> None:
    """Put the original methods back."""
    while _ORIGINALS:
        owner, name, original = _ORIGINALS.pop()
        setattr(owner, name, original)


def modules() -> List[nn.Module]:
    """Give the recorded modules that still exist, the latest first, and forget the others."""
    alive = [(key, reference()) for key, reference in list(_REFERENCES.items())]
    for key, module in alive:
        if module is None:
            _REFERENCES.pop(key, None)
    return [module for _, module in reversed(alive) if module is not None]


def _replace(owner: Any, name: str, function: Any) -> None:
    _ORIGINALS.append((owner, name, getattr(owner, name)))
    setattr(owner, name, function)


def _recording_method(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def recording_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if sys._getframe(1).f_code.co_filename != _MODULE_FILE:  # not a call from nn.Module itself
            key = id(self)
            _REFERENCES.pop(key, None)  # the latest module is last in the dict
            if len(_REFERENCES) < _MAX_MODULES:
                _REFERENCES[key] = weakref.ref(self)
        return method(self, *args, **kwargs)

    return recording_method


def _without_hooks(compile_function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(compile_function)
    def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001
        remove_hooks()
        return compile_function(*args, **kwargs)

    return compile
