"""Read a pickled module, of Python or of TorchScript: its named tensors, names of buffers, and class names."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from decay_audit.sources.checkpoint.contents import MalformedError, Tensor
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject

_MAX_DEPTH: Final = 64
"""How deeply modules may be nested."""
_MAX_ENTRIES: Final = 200_000
"""The most modules, parameters and buffers of one pickled module together."""
_MAX_NAME: Final = 1024
"""The longest name of a module."""
SCRIPT: Final = "__torch__."
"""How the qualified names of TorchScript classes begin."""


class NamedTensors(Struct, frozen=True, kw_only=True):
    """The tensors of a state dict or of a module.

    Attributes:
        tensors: by name, in the file's order.
        buffers: names of the tensors that are known to be buffers.
        module_types: class names by module name.
        entry_count: how many entries were read. A short file can have millions, because modules may share them.
    """

    tensors: dict[str, Tensor]
    buffers: frozenset[str] = frozenset()
    module_types: Mapping[str, str] = {}
    entry_count: int = 0


def is_module(value: object) -> bool:
    """Tell whether a value is an object of a TorchScript class, or has the attributes of a module."""
    if type(value) is not OpaqueObject:
        return False
    state = attributes(value)
    return value.name.startswith(SCRIPT) or ("_parameters" in state and "_modules" in state)


def attributes(value: OpaqueObject) -> Mapping[Any, object]:
    """Return the saved attributes of an object; one with `__slots__` saves a pair, whose first half they are."""
    state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
    return state if isinstance(state, dict) else {}


def flatten(root: OpaqueObject, script_parameters: Mapping[str, frozenset[str]]) -> NamedTensors:
    """List the tensors of a module: its parameters, then its buffers, then those of each submodule in the same way.

    Args:
        script_parameters: names of the parameters of TorchScript classes by qualified class name, where known.

    Raises:
        MalformedError: the module is nested too deeply, or has too many entries.
    """
    tensors: dict[str, Tensor] = {}
    buffers: set[str] = set()
    module_types: dict[str, str] = {}
    entry_count = 0
    queue: list[tuple[str, OpaqueObject, int]] = [("", root, 0)]
    while queue:
        prefix, module, depth = queue.pop()
        module_types[prefix] = _public_name(module.name)
        entry_count += 1 + sum(map(len, _fields(module)))
        if depth > _MAX_DEPTH or entry_count > _MAX_ENTRIES or len(prefix) > _MAX_NAME:
            raise MalformedError(
                "its module is nested too deeply, has too many submodules and tensors, or has too long a name"
            )
        for leaf, tensor, is_buffer in _direct_tensors(module, script_parameters):
            name = f"{prefix}.{leaf}" if prefix else leaf
            tensors[name] = tensor
            if is_buffer:
                buffers.add(name)
        children = [(f"{prefix}.{name}" if prefix else name, child, depth + 1) for name, child in _children(module)]
        queue.extend(reversed(children))
    return NamedTensors(tensors=tensors, buffers=frozenset(buffers), module_types=module_types, entry_count=entry_count)


def _fields(module: OpaqueObject) -> tuple[Mapping[Any, object], ...]:
    """Return the dicts of parameters, buffers and submodules; TorchScript has one dict for all of them."""
    state = attributes(module)
    if module.name.startswith(SCRIPT):
        return (state,)
    return tuple(items_of(state.get(field)) for field in ("_parameters", "_buffers", "_modules"))


def _direct_tensors(
    module: OpaqueObject, script_parameters: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, Tensor, bool]]:
    """List the tensors directly in a module, and whether each is a buffer."""
    if module.name.startswith(SCRIPT):
        parameters = script_parameters.get(module.name)
        for name, value in _tensor_items(attributes(module)):
            yield name, value, parameters is not None and name not in parameters
        return
    for field, is_buffer in zip(_fields(module)[:2], (False, True), strict=True):
        yield from ((name, value, is_buffer) for name, value in _tensor_items(field))


def _children(module: OpaqueObject) -> Iterator[tuple[str, OpaqueObject]]:
    for name, value in _fields(module)[-1].items():
        if isinstance(name, str) and type(value) is OpaqueObject and is_module(value):
            yield name, value


def _tensor_items(field: Mapping[Any, object]) -> Iterator[tuple[str, Tensor]]:
    for name, value in field.items():
        if isinstance(name, str) and type(value) is Tensor:
            yield name, value


def items_of(value: object) -> Mapping[Any, object]:
    """Return a dict, or the items of an object whose class derives from dict; {} for any other value."""
    if type(value) is OpaqueObject:
        return value.items or {}
    return value if isinstance(value, dict) else {}


def _public_name(name: str) -> str:
    """Return a class name without what TorchScript adds, and as `torch.nn` exposes it: `torch.nn.Conv2d`."""
    parts = [part for part in name.removeprefix(SCRIPT).split(".") if not part.startswith("___torch_mangle")]
    if parts[:3] == ["torch", "nn", "modules"]:
        return f"torch.nn.{parts[-1]}"
    return ".".join(parts)
