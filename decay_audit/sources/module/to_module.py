"""From a value in the user's module to the `nn.Module` that it is or makes, or to an error that says how to get one."""

from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType

from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources.module.example_calls import needs_arguments, required


def model_from(value: object, place: str, namespace: Mapping[str, object]) -> nn.Module:
    """Give the module that `value` is, or makes when it is called without arguments.

    Args:
        place: how the user names `value`, e.g. `model.py:GPT`.
        namespace: where the names of an example come from.

    Raises:
        TargetError: it is not a module, or needs arguments.
        Exception: whatever the user's code raises.
    """
    if isinstance(value, nn.Module):
        return value
    if not callable(value) or (isinstance(value, type) and not issubclass(value, nn.Module)):
        raise _not_a_module(value, place)
    if required(value):
        raise needs_arguments(value, place, namespace)
    made = value()
    if isinstance(made, nn.Module):
        return made
    raise _not_a_module(made, f"{place}()")


def checked(value: object) -> nn.Module:
    """Give what a caller handed over as a model back.

    Raises:
        TargetError: it is none.
    """
    if isinstance(value, nn.Module):
        return value
    raise TargetError(f"the model is {_kind(value)}, not a torch.nn.Module", "hand over the model itself")


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def _not_a_module(value: object, place: str) -> TargetError:
    """Name what it is instead, and the module inside it, if there is one."""
    inside = next(models_inside(value), "")
    return TargetError(
        f"{place} is {_kind(value)}, not a torch.nn.Module",
        "try:" if inside else "name a model, its class, or a function that makes one",
        [place + inside] if inside else [],
    )


def models_inside(value: object, levels: int = 2) -> Iterator[str]:
    """Say what to write behind the name of a value to reach the models that it keeps."""
    for path, held in _parts(value):
        if isinstance(held, nn.Module):
            yield path
        elif levels > 1:
            yield from (f"{path}{further}" for further in models_inside(held, levels - 1))


def _parts(value: object) -> list[tuple[str, object]]:
    if isinstance(value, list | tuple):
        return [(f"[{index}]", each) for index, each in enumerate(value)]
    if isinstance(value, dict):
        return [(f"[{key!r}]", each) for key, each in value.items()]
    if isinstance(value, type | ModuleType | FunctionType):
        return []
    return [(f".{name}", each) for name, each in getattr(value, "__dict__", {}).items() if name[:1] != "_"]
