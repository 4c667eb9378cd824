"""Describe one module: its class names, plain settings, declarations on decay, and whether it only wraps a model."""

import sys
from collections.abc import Collection

import torch
from msgspec import Struct
from torch import nn

from decay_audit.model.parameters import Declaration
from decay_audit.model.wrapper_classes import wrapped_child

DECLARING_METHODS = ("no_weight_decay", "no_weight_decay_keywords", "no_weight_decay_patterns")
"""Methods of a module that exclude parameters from decay: by names, parts of names, or glob patterns."""
_FULLY_SHARD_MODULE = "torch.distributed.fsdp._fully_shard."
"""The module in which `fully_shard` defines the subclasses that replace the classes of modules."""
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
_SETTING_TYPES = frozenset({int, float, bool, str})
_CONTAINER_TYPES = frozenset({dict, list, tuple})
_TORCH_ATTRIBUTES = frozenset(nn.Module().__dict__)
_MAX_STRING = 64

Settings = dict[str, int | float | str | bool]


class ModuleClass(Struct, frozen=True, kw_only=True):
    """The description of a class of modules, made once for each class.

    Attributes:
        types: qualified names of its MRO, most derived first, up to and with `torch.nn.Module`.
        wraps: for a wrapper, the name of the child that is the wrapped model; else None.
        declares_no_decay: whether it has one of the methods in DECLARING_METHODS.
        scripted: it is a TorchScript class: each module then tells which class it was compiled from.
        quantized: its weights are packed, and not parameters.
    """

    types: tuple[str, ...]
    wraps: str | None
    declares_no_decay: bool
    scripted: bool
    quantized: bool


def describe_class(module_type: type[nn.Module]) -> ModuleClass:
    """Describe a class of modules."""
    types = _type_names(module_type)
    return ModuleClass(
        types=types,
        wraps=wrapped_child(types),
        declares_no_decay=any(hasattr(module_type, name) for name in DECLARING_METHODS),
        scripted=issubclass(module_type, torch.jit.ScriptModule),
        quantized=module_type.__module__.startswith(_QUANTIZED) and not module_type.__name__.endswith("PackedParams"),
    )


def plain_attributes(module: nn.Module) -> tuple[Settings, list[tuple[str, list[nn.Module]]]]:
    """Read the public attributes that a module adds to those of `nn.Module`.

    Returns:
        Numbers and short strings; and the modules in plain dicts and lists, whose parameters torch does not register.
    """
    settings: Settings = {}
    containers = []
    for name in [name for name in module.__dict__ if name not in _TORCH_ATTRIBUTES]:
        value = module.__dict__[name]
        value_type = type(value)
        if value_type in _SETTING_TYPES and name[0] != "_" and (value_type is not str or len(value) <= _MAX_STRING):
            settings[name] = value
        elif value_type in _CONTAINER_TYPES and value and name[0] != "_":
            items = value.values() if value_type is dict else value
            modules = [item for item in items if isinstance(item, nn.Module)]
            containers += [(name, modules)] if modules else []
    return settings, containers


def describe_scripted(module: nn.Module) -> tuple[tuple[str, ...], Settings]:
    """Give the class names that a scripted module was compiled from, and its constants as settings."""
    parts = str(module._c._type().qualified_name()).split(".")  # type: ignore[union-attr, operator]
    *parents, name = (part for part in parts if part != "__torch__" and not part.startswith("___torch_mangle_"))
    python_module = sys.modules.get(".".join(parents))
    origin = (
        None if python_module is None else vars(python_module).get(name)
    )  # getattr would start imports in a Python module that imports its names lazily
    if not (isinstance(origin, type) and issubclass(origin, nn.Module)):
        return (".".join((*parents, name)), *_type_names(type(module))), {}
    constants = [constant for constant in getattr(origin, "__constants__", ()) if hasattr(module, constant)]
    values = {constant: getattr(module, constant) for constant in constants}
    return _type_names(origin), {key: value for key, value in values.items() if type(value) in _SETTING_TYPES}


def read_declaration(module: nn.Module) -> Declaration:
    """Call the methods of a module that say what should not decay.

    Raises:
        Exception: whatever a method raises.
    """
    names, keywords, patterns = (_strings(getattr(module, name, ())) for name in DECLARING_METHODS)
    return Declaration(names=names, keywords=keywords, patterns=patterns)


def _type_names(module_type: type) -> tuple[str, ...]:
    mro = module_type.__mro__
    end = mro.index(nn.Module) + 1 if nn.Module in mro else len(mro)
    return tuple(name for name in map(_qualified_name, mro[:end]) if not name.startswith(_FULLY_SHARD_MODULE))


def _qualified_name(module_type: type) -> str:
    public = module_type.__module__.startswith("torch.") and getattr(nn, module_type.__name__, None) is module_type
    return f"torch.nn.{module_type.__name__}" if public else f"{module_type.__module__}.{module_type.__qualname__}"


def _strings(method: object) -> tuple[str, ...]:
    """Return the strings that a method returns, or that an attribute in its place holds; sorted if they are a set."""
    returned = method() if callable(method) else method
    if returned is None:
        return ()
    if isinstance(returned, str):
        return (returned,)
    if not isinstance(returned, Collection):
        raise TypeError(f"expected a set of names, not {type(returned).__name__}")
    words = [word for word in returned if isinstance(word, str)]
    return tuple(sorted(words) if isinstance(returned, set | frozenset) else words)
