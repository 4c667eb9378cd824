"""Turn one value into plain data: a class, a tensor, a module's settings, a hyperparameter, an optimizer's class."""

import inspect
import math
import sys
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import nn

_DECLARING_METHODS = ("no_weight_decay", "no_weight_decay_keywords", "no_weight_decay_patterns")
"""Methods by which a module declares which parameters should not decay."""
_MAX_STRING = 64
"""Longer strings are no settings."""
_MAX_INTEGER = 2**53
"""Integers below this are exact in JSON."""
_TORCH_ATTRIBUTES = frozenset(nn.Module().__dict__)
"""The attributes of every module."""


def type_names(cls: type) -> List[str]:
    """Return the qualified names of a module's classes in MRO order, up to and including `torch.nn.Module`."""
    mro = cls.__mro__
    # a class that does not derive from nn.Module has all its names listed
    end = mro.index(nn.Module) + 1 if nn.Module in mro else len(mro)
    return [_qualified_name(base) for base in mro[:end]]


def _qualified_name(cls: type) -> str:
    """The name by which users know a class: `torch.nn.Linear`, and not `torch.nn.modules.linear.Linear`."""
    if cls.__module__.startswith("torch.") and getattr(nn, cls.__name__, None) is cls:
        public: str = "torch.nn." + cls.__name__
        return public
    return _path(cls)


def _path(cls: type) -> str:
    """The name of a class with the module that defines it."""
    return cls.__module__ + "." + cls.__qualname__


def tensor(value: torch.Tensor) -> Dict[str, Any]:
    """The shape and dtype of a tensor, and the attributes that code has set on it."""
    lazy = _is_lazy(value)
    return {
        "shape": [] if lazy else shape(value),
        "dtype": str(value.dtype)[len("torch.") :],
        "trainable": bool(value.requires_grad),
        "lazy": lazy,
        "flat": bool(getattr(value, "_is_flat_param", False)),
        "distributed": any(base.__name__ == "DTensor" for base in type(value).__mro__),
        "device": value.device.type,
        # torch sets `_is_param` on each Parameter of a tensor subclass
        "attributes": [key for key, content in value.__dict__.items() if key != "_is_param" and _is_true(content)],
    }


def shape(value: torch.Tensor) -> List[int]:
    """The shape of a tensor; empty for a lazy one."""
    return [] if _is_lazy(value) else [int(size) for size in value.shape]


def _is_lazy(value: torch.Tensor) -> bool:
    return type(value).__name__ in ("UninitializedParameter", "UninitializedBuffer")


def _is_true(content: Any) -> bool:
    """Whether an attribute of a tensor marks it, as `_no_weight_decay = True` does. `False` and `None` do not."""
    try:
        return bool(content)
    except Exception:
        return True


def gradient(value: torch.Tensor) -> Optional[str]:
    """Whether a gradient is `none`, all `zero`, or has `some` other numbers; None if its numbers cannot be read."""
    grad = value.grad
    if grad is None:
        return "none"
    try:
        content = grad.coalesce().values() if grad.is_sparse else grad.detach()
        return "some" if bool((content != 0).any()) else "zero"
    except Exception:
        return None


def plain_attributes(module: nn.Module) -> Tuple[Dict[str, Any], List[Tuple[str, List[nn.Module]]]]:
    """The public attributes that are numbers or short strings, and the modules in plain dicts and lists."""
    settings: Dict[str, Any] = {}
    containers: List[Tuple[str, List[nn.Module]]] = []
    for name, content in module.__dict__.items():
        if name in _TORCH_ATTRIBUTES or name.startswith("_"):
            continue
        if _is_setting(content):
            settings[name] = content
        elif type(content) in (dict, list, tuple) and content:
            items = content.values() if type(content) is dict else content
            members = [item for item in items if isinstance(item, nn.Module)]
            containers += [(name, members)] if members else []
    return settings, containers


def _is_setting(content: Any) -> bool:
    if type(content) is str:
        return len(content) <= _MAX_STRING
    if type(content) is float:
        return math.isfinite(content)
    return type(content) is bool or (type(content) is int and abs(content) < _MAX_INTEGER)


def declaration(module: nn.Module) -> Optional[Dict[str, Any]]:
    """Return what the module's methods exclude from decay, by the name of the method; None without such methods."""
    methods = [name for name in _DECLARING_METHODS if hasattr(module, name)]
    data: Dict[str, Any] = {}
    for name in methods:
        try:
            data[name] = _words(getattr(module, name))
        except Exception as error:
            data.setdefault("failures", []).append(f"{name}() raised {type(error).__name__}: {error}")
    return data or None


def _words(declared: Any) -> List[str]:
    answer = declared() if callable(declared) else declared
    if answer is None:
        return []
    if isinstance(answer, str):
        return [answer]
    words = [word for word in answer if isinstance(word, str)]
    return sorted(words) if isinstance(answer, (set, frozenset)) else words


def scripted(module: Any) -> Tuple[List[str], Dict[str, Any]]:
    """Return the names of the class from which a TorchScript module was compiled, and its constants as settings."""
    words = str(module._c._type().qualified_name()).split(".")
    names = [word for word in words if word != "__torch__" and not word.startswith("___torch_mangle_")]
    defining_module = sys.modules.get(".".join(names[:-1]))
    origin = None if defining_module is None else vars(defining_module).get(names[-1])
    if not (isinstance(origin, type) and issubclass(origin, nn.Module)):
        return [".".join(names), *type_names(type(module))], {}
    constants = {name: getattr(module, name, None) for name in getattr(origin, "__constants__", ())}
    return type_names(origin), {name: content for name, content in constants.items() if _is_setting(content)}


def whole_shapes(module: nn.Module) -> Iterator[Tuple[torch.Tensor, List[int]]]:
    """Yield the parameters that FSDP1 has sharded, each with its shape before it was sharded."""
    flat = getattr(module.__dict__.get("_handle"), "flat_param", None)
    for parameter, whole in zip(getattr(flat, "_params", None) or (), getattr(flat, "_shapes", None) or ()):
        yield parameter, [int(size) for size in whole]


def value(content: Any) -> Any:
    """A hyperparameter as data that can be compared and printed."""
    if isinstance(content, torch.Tensor):
        return content.item() if content.numel() == 1 and not content.is_meta else _dtype_and_shape(content)
    if content is None or isinstance(content, (bool, str)):
        return content
    if isinstance(content, (int, float)):
        return content if math.isfinite(content) and abs(content) < float(_MAX_INTEGER) else str(content)
    if isinstance(content, (list, tuple)):
        return [value(item) for item in content]
    if callable(getattr(content, "item", None)):  # a NumPy number
        return value(content.item())
    return getattr(content, "__qualname__", type(content).__qualname__)


def _dtype_and_shape(content: torch.Tensor) -> str:
    return "{} {}".format(str(content.dtype)[len("torch.") :], "x".join(map(str, content.shape)) or "scalar")


def optimizer_class(optimizer: Any) -> Dict[str, Any]:
    """The class of an optimizer: its names, its defaults, and the numbers and flags of the optimizer itself."""
    cls = type(optimizer)
    in_torch = getattr(torch.optim, cls.__name__, None) is cls
    path = cls.__module__ + "." + cls.__qualname__
    importable = "<" not in path and cls.__module__ != "__main__"
    defaults = getattr(optimizer, "defaults", None)
    return {
        "type": cls.__name__,
        "path": cls.__name__ if in_torch else (path if importable else ""),
        "types": [base.__module__ + "." + base.__qualname__ for base in _classes_down_to_step(cls)],
        "default_weight_decay": _default_weight_decay(cls),
        "defaults": [key for key in defaults if isinstance(key, str)] if isinstance(defaults, dict) else [],
        "attributes": {
            name: content
            for name, content in getattr(optimizer, "__dict__", {}).items()
            if isinstance(content, bool) or (isinstance(content, int) and abs(content) < _MAX_INTEGER)
        },
    }


def _classes_down_to_step(cls: type) -> Iterable[type]:
    """Return the classes in MRO order, up to the class that defines `step`. The bases of that class are left out."""
    step = inspect.unwrap(getattr(cls, "step", None) or object)
    sharing = [base for base in cls.__mro__ if inspect.unwrap(base.__dict__.get("step", cls)) is step]
    last = cls.__mro__.index(sharing[-1]) if sharing else 0
    return cls.__mro__[: last + 1]


def _default_weight_decay(cls: type) -> Any:
    """Return the default `weight_decay` of the class; "unknown" if the constructor's arguments do not show it."""
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        try:
            parameters = inspect.signature(inspect.unwrap(init)).parameters
        except (TypeError, ValueError):
            return "unknown"
        if "weight_decay" in parameters:
            default = parameters["weight_decay"].default
            return float(default) if isinstance(default, (int, float)) else None
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            return "unknown"
    return "unknown"
