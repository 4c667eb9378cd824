"""Record which modules were asked for their parameters or children: methods of nn.Module are replaced for that.

A call of `torch.compile` puts the original methods back, because it can trace only these.
"""

import functools
import sys
import weakref
from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import nn

_LISTING_METHODS = ("parameters", "named_parameters", "modules", "named_modules", "children", "named_children")
_REFERENCES: "Dict[int, weakref.ref[nn.Module]]" = {}
"""The recorded modules by their ids, the latest last."""
_MAX_MODULES = 20000
"""The most modules that are recorded. Code that lists more of them lists each layer by itself, and not a model."""
_MODULE_FILE = nn.Module.parameters.__code__.co_filename
"""The file of torch that defines nn.Module."""
_ORIGINALS: List[Tuple[Any, str, Any]] = []
"""Each replaced function: the class or Python module that has it, its name, and the original function."""


def set_hooks() -> None:
    """Replace the methods of nn.Module that list its parameters and submodules."""
    for name in _LISTING_METHODS:
        _replace(nn.Module, name, _recording_method(getattr(nn.Module, name)))
    if hasattr(torch, "compile"):
        _replace(torch, "compile", _with_originals_restored(torch.compile))
        _replace(nn.Module, "compile", _with_originals_restored(nn.Module.compile))


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


def _with_originals_restored(compile_function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(compile_function)
    def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001
        remove_hooks()
        return compile_function(*args, **kwargs)

    return compile
