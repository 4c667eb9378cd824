"""A pickled module, whole or TorchScript, becomes named tensors, the names of its buffers, and its classes' names."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from decay_audit.sources.checkpoint.pickle.values import MalformedError, Opaque, Tensor

MAX_DEPTH: Final = 64
MAX_NAMES: Final = 200_000
MAX_NAME: Final = 1024
SCRIPT: Final = "__torch__."


class Flat(Struct, frozen=True, kw_only=True):
    """Named tensors in the module's order, which of them are buffers, and class names by module name.

    `looked` is how many entries were looked at: modules may share theirs, so that a short file can hold endless ones.
    """

    tensors: dict[str, Tensor]
    buffers: frozenset[str] = frozenset()
    types: Mapping[str, str] = {}
    looked: int = 0


def is_module(value: object) -> bool:
    """Say whether an opaque value has the shape of a module."""
    if type(value) is not Opaque:
        return False
    state = attributes(value)
    return value.name.startswith(SCRIPT) or ("_parameters" in state and "_modules" in state)


def attributes(value: Opaque) -> Mapping[Any, object]:
    """Give the saved attributes of an opaque value."""
    state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
    return state if isinstance(state, dict) else {}


def flatten(root: Opaque, parameters: Mapping[str, frozenset[str]]) -> Flat:
    """List the tensors of a module and of all below it, parameters before buffers, children after both.

    Args:
        parameters: of TorchScript's classes by qualified name, as far as they are known.

    Raises:
        MalformedError: too deep, or too many names.
    """
    tensors: dict[str, Tensor] = {}
    buffers: set[str] = set()
    types: dict[str, str] = {}
    looked = 0
    waiting: list[tuple[str, Opaque, int]] = [("", root, 0)]
    while waiting:
        prefix, module, depth = waiting.pop()
        types[prefix] = _type(module.name)
        looked += 1 + sum(map(len, _fields(module)))
        if depth > MAX_DEPTH or looked > MAX_NAMES or len(prefix) > MAX_NAME:
            raise MalformedError("a module in it nests too deep, holds too many others, or has too long a name")
        for leaf, tensor, is_buffer in _own(module, parameters):
            name = f"{prefix}.{leaf}" if prefix else leaf
            tensors[name] = tensor
            if is_buffer:
                buffers.add(name)
        below = [(f"{prefix}.{name}" if prefix else name, child, depth + 1) for name, child in _children(module)]
        waiting.extend(reversed(below))
    return Flat(tensors=tensors, buffers=frozenset(buffers), types=types, looked=looked)


def _fields(module: Opaque) -> tuple[Mapping[Any, object], ...]:
    """Give what holds the parameters, the buffers and the modules: of a script all in one."""
    state = attributes(module)
    if module.name.startswith(SCRIPT):
        return (state,)
    return tuple(mapping(state.get(field)) for field in ("_parameters", "_buffers", "_modules"))


def _own(module: Opaque, parameters: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, Tensor, bool]]:
    if module.name.startswith(SCRIPT):
        known = parameters.get(module.name)
        for name, value in _named_tensors(attributes(module)):
            yield name, value, known is not None and name not in known
        return
    for held, is_buffer in zip(_fields(module)[:2], (False, True), strict=True):
        yield from ((name, value, is_buffer) for name, value in _named_tensors(held))


def _children(module: Opaque) -> Iterator[tuple[str, Opaque]]:
    for name, value in _fields(module)[-1].items():
        if isinstance(name, str) and type(value) is Opaque and is_module(value):
            yield name, value


def _named_tensors(held: Mapping[Any, object]) -> Iterator[tuple[str, Tensor]]:
    for name, value in held.items():
        if isinstance(name, str) and type(value) is Tensor:
            yield name, value


def mapping(value: object) -> Mapping[Any, object]:
    """Give the items of a dict, or of a class that derives from dict; nothing for any other value."""
    if type(value) is Opaque:
        return value.items or {}
    return value if isinstance(value, dict) else {}


def _type(name: str) -> str:
    """Give a class's public name: `torch.nn.Conv2d` for `__torch__.torch.nn.modules.conv.___torch_mangle_0.Conv2d`."""
    parts = [part for part in name.removeprefix(SCRIPT).split(".") if not part.startswith("___torch_mangle")]
    if parts[:3] == ["torch", "nn", "modules"]:
        return f"torch.nn.{parts[-1]}"
    return ".".join(parts)
