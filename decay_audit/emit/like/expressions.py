"""Write the value of an argument or of a setting as a Python expression, if there is one for it."""

import sys
from itertools import chain
from math import isfinite
from types import FunctionType
from typing import TYPE_CHECKING

from msgspec import Struct

from decay_audit.emit.python.literals import number, string

if TYPE_CHECKING:
    import torch


class Expression(Struct, frozen=True, kw_only=True):
    """Python text, and the modules that it needs."""

    text: str
    modules: frozenset[str] = frozenset()


class NotWritableError(Exception):
    """Code cannot write a value. The message describes the value."""


def write(value: object) -> Expression:
    """Write a value as Python.

    Raises:
        NotWritableError: the value is neither plain data nor a function or a class that code can import.
    """
    match value:
        case tuple() | list() | dict():
            return _write_collection(value)
        case FunctionType() | type():
            return _reference(value)
        case None | bool() | int():
            text = repr(value)
        case float():
            text = number(value) if isfinite(value) else f'float("{value}")'
        case str():
            text = string(value)
        case _:
            return _torch_value(value)
    return Expression(text=text)


def public_path(value: "FunctionType | type") -> str:
    """Find the shortest dotted path by which code can import a function or a class; "" if there is none."""
    name, module = value.__qualname__, value.__module__ or ""
    if "<" in name or module in ("", "__main__") or not _is_at(module, name, value):
        return ""
    parts = module.split(".")
    packages = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return next(f"{package}.{name}" for package in packages if _is_at(package, name, value))


def _is_at(module: str, path: str, value: object) -> bool:
    """Whether a dotted path in an imported module leads to this value."""
    current: object = sys.modules.get(module)
    for name in path.split("."):
        current = vars(current).get(name) if hasattr(current, "__dict__") else None
    return current is value


def _write_collection(value: "tuple[object, ...] | list[object] | dict[object, object]") -> Expression:
    pairs = [(write(key), write(item)) for key, item in value.items()] if isinstance(value, dict) else []
    items = [*chain.from_iterable(pairs)] if isinstance(value, dict) else [*map(write, value)]
    texts = [f"{key.text}: {item.text}" for key, item in pairs] or [item.text for item in items]
    opening, closing = {tuple: ("(", ",)" if len(items) == 1 else ")"), dict: ("{", "}")}.get(type(value), ("[", "]"))
    return Expression(
        text=f"{opening}{', '.join(texts)}{closing}",
        modules=frozenset(chain.from_iterable(item.modules for item in items)),
    )


def _reference(value: "FunctionType | type") -> Expression:
    path = public_path(value)
    if not path:
        raise NotWritableError(f"{value.__qualname__}, which code cannot import")
    module = path.removesuffix(f".{value.__qualname__}")
    return Expression(text=path, modules=frozenset({module} - {"builtins"}))


def _torch_value(value: object) -> Expression:
    import torch

    if isinstance(value, torch.dtype):
        return Expression(text=str(value), modules=frozenset({"torch"}))
    if isinstance(value, torch.Tensor) and value.numel() == 1 and value.dim() == 0 and not value.is_meta:
        written = number(shortest) if isfinite(shortest := _shortest(value)) else f'float("{shortest}")'
        dtype = "" if torch.tensor(shortest).dtype == value.dtype else f", dtype={value.dtype}"
        return Expression(text=f"torch.tensor({written}{dtype})", modules=frozenset({"torch"}))
    raise NotWritableError(f"a {type(value).__name__}")


def _shortest(value: "torch.Tensor") -> float | int:
    """Return the number with the fewest digits from which torch makes the same tensor: 0.9 for 0.8999999761581421."""
    import torch

    exact = value.item()
    if not isinstance(exact, float):
        return exact
    rounded = (float(f"{exact:.{digits}g}") for digits in range(1, 17))
    return next((number for number in rounded if torch.tensor(number, dtype=value.dtype).equal(value)), exact)
