"""Turn the value of a target into an `nn.Module`: the value itself, or what it returns without arguments."""

from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType

from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources.module.example_calls import missing_arguments, required_parameters
from decay_audit.text import describe_value


def module_from(value: object, location: str, namespace: Mapping[str, object]) -> nn.Module:
    """Return the module that `value` is, or that it returns when it is called.

    Args:
        location: how the user names `value`, e.g. `model.py:GPT`.
        namespace: names for the example call that a message shows if arguments are missing.

    Raises:
        TargetError: the value is not a module and does not return one, or its call needs arguments.
        Exception: whatever the user's code raises.
    """
    if isinstance(value, nn.Module):
        return value
    if not callable(value) or (isinstance(value, type) and not issubclass(value, nn.Module)):
        raise _not_a_module(f"{location} is", value, location)
    if required_parameters(value):
        raise missing_arguments(value, location, namespace)
    result = value()
    if isinstance(result, nn.Module):
        return result
    raise _not_a_module(f"{location}() returned", result, f"{location}()")


def require_module(value: object) -> nn.Module:
    """Return a value if it is an `nn.Module`.

    Raises:
        TargetError: it is something else.
    """
    if isinstance(value, nn.Module):
        return value
    raise TargetError(f"the model is {describe_value(value)}, not a torch.nn.Module", "pass the model itself")


def modules_in(value: object) -> Iterator[nn.Module]:
    """List the modules that a value is, or holds in lists, tuples and dicts."""
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, list | tuple | dict):
        for _, part in _items_or_attributes(value):
            yield from modules_in(part)


def _not_a_module(sentence: str, value: object, location: str) -> TargetError:
    """Say what the value is instead, and point to the module inside it, if there is one."""
    inside = next(models_inside(value), "")
    return TargetError(
        f"{sentence} {describe_value(value)}, not a torch.nn.Module",
        "try:" if inside else "accepted: a torch.nn.Module, a subclass of it, or a function that returns one",
        [location + inside] if inside else [],
    )


def models_inside(value: object, levels: int = 2) -> Iterator[str]:
    """Find the models in a value's attributes or items; yield the path to each, as in Python: `.net`, `['model']`."""
    for path, part in _items_or_attributes(value):
        if isinstance(part, nn.Module):
            yield path
        elif levels > 1:
            yield from (f"{path}{below}" for below in models_inside(part, levels - 1))


def _items_or_attributes(value: object) -> list[tuple[str, object]]:
    """List the items or the public attributes of a value, each after the path to it in Python: `[0]`, `.net`."""
    if isinstance(value, list | tuple):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, type | ModuleType | FunctionType):
        return []
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items() if name[:1] != "_"]
