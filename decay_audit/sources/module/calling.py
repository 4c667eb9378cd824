"""From a value in the user's module to the `nn.Module` that it is or makes, or to an error that says how to get one."""

import inspect
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from decay_audit.errors import TargetError

_EXAMPLES = {int: "10", float: "0.1", str: "'...'", bool: "True", list: "[]", dict: "{}", tuple: "()"}
_COUNTS = ("num", "n_", "dim", "size", "channel", "feature", "class", "width", "depth", "hidden", "embed", "layer")


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


def required(value: Callable[..., object]) -> list[inspect.Parameter]:
    """List the parameters of a callable that have no default."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        each
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]


def example(value: Callable[..., object], place: str, namespace: Mapping[str, object]) -> str:
    """Write the command that inspects `value`, with arguments where it needs them."""
    if not (needed := required(value)):
        return command(place)
    given = ", ".join(
        _argument(each, namespace) if each.kind is each.POSITIONAL_ONLY else _keyword(each, namespace)
        for each in needed
    )
    return command(f"{place}({given})")


def command(target: str) -> str:
    """Write a command line that can be pasted."""
    return f"decay-audit inspect {shlex.quote(target)}"


def needs_arguments(value: Callable[..., object], place: str, namespace: Mapping[str, object]) -> TargetError:
    """Say which arguments are missing, and how to give them."""
    name = getattr(value, "__name__", place.rpartition(":")[2])
    return TargetError(
        f"{place} needs arguments: {name}{_signature(value)}",
        f"give them in the target, for example: {example(value, place, namespace)}",
    )


def _signature(value: Callable[..., object]) -> str:
    text = str(inspect.signature(value))
    return text if len(text) <= 200 else f"({', '.join(each.name for each in required(value))}, ...)"


def _keyword(parameter: inspect.Parameter, namespace: Mapping[str, object]) -> str:
    value = _argument(parameter, namespace)
    return value if value.endswith("()") else f"{parameter.name}={value}"


def _argument(parameter: inspect.Parameter, namespace: Mapping[str, object]) -> str:
    """A value that fits the parameter: a configuration class of the same file, or something of the annotated type."""
    annotation = parameter.annotation
    known = {name for name, value in namespace.items() if isinstance(value, type) and not required(value)}
    annotated = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if annotated in known and isinstance(namespace[annotated], type) and namespace[annotated] not in _EXAMPLES:
        return f"{annotated}()"
    if parameter.name.lower() in ("config", "cfg", "args", "hparams", "params", "conf"):
        configs = [name for name in known if name.lower().endswith(("config", "cfg", "args", "hparams"))]
        return f"{configs[0]}()" if len(configs) == 1 else "..."
    by_type: dict[Any, str] = {**_EXAMPLES, **{kind.__name__: text for kind, text in _EXAMPLES.items()}}
    if annotation in by_type if isinstance(annotation, str | type) else False:
        return by_type[annotation]
    return "10" if any(word in parameter.name.lower() for word in _COUNTS) else "..."


def _not_a_module(value: object, place: str) -> TargetError:
    """Name what it is instead, and the module inside it, if there is one."""
    kind = type(value).__name__
    said = f"{place} is the class {value.__name__}" if isinstance(value, type) else f"{place} gives a {kind}"
    inside = next((path for path, held in _parts(value) if isinstance(held, nn.Module)), "")
    return TargetError(
        f"{said}, not a torch.nn.Module",
        f"try: {command(place + inside)}" if inside else "name a model, its class, or a function that makes one",
    )


def _parts(value: object) -> list[tuple[str, object]]:
    if isinstance(value, list | tuple):
        return [(f"[{index}]", each) for index, each in enumerate(value)]
    if isinstance(value, dict):
        return [(f"[{key!r}]", each) for key, each in value.items()]
    return [(f".{name}", each) for name, each in getattr(value, "__dict__", {}).items() if name[:1] != "_"]
