"""Targets that can be pasted: what a user named, with the arguments that it still needs."""

import inspect
from collections.abc import Callable, Mapping

from decay_audit.errors import TargetError

_VALUES = {"int": "10", "float": "0.1", "bool": "True", "str": "'...'", "list": "[]", "tuple": "()", "dict": "{}"}
_COUNTS = ("num", "n_", "dim", "size", "channel", "feature", "class", "width", "depth", "hidden", "embed", "layer")
_CONFIGURATIONS = ("config", "configuration", "cfg", "args", "hparams")
_LONGEST = 200


def example(value: Callable[..., object], place: str, namespace: Mapping[str, object]) -> str:
    """Write the target of what `value` makes, with arguments where it needs them.

    Args:
        place: how the user names `value`.
        namespace: where a class for an argument may be found.
    """
    arguments = [_argument(index, each, value, namespace) for index, each in enumerate(required(value))]
    return f"{place}({', '.join(arguments)})" if arguments else place


def needs_arguments(value: Callable[..., object], place: str, namespace: Mapping[str, object]) -> TargetError:
    """Say which arguments are missing, and how to give them."""
    name = getattr(value, "__name__", place.rpartition(":")[2])
    signature = str(inspect.signature(value).replace(return_annotation=inspect.Signature.empty))
    if len(signature) > _LONGEST:
        signature = f"({', '.join(each.name for each in required(value))}, ...)"
    return TargetError(
        f"{place} needs arguments: {name}{signature}",
        "give them in the target, for example:",
        [example(value, place, namespace)],
    )


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


def _argument(
    index: int, parameter: inspect.Parameter, value: Callable[..., object], namespace: Mapping[str, object]
) -> str:
    """An argument that fits: an instance of a class that is at hand, else something of the annotated type."""
    made = _class_at_hand(parameter, value, namespace)
    if index == 0 and made:
        return made
    if not made:
        return _keyword(parameter)
    return made if parameter.kind is parameter.POSITIONAL_ONLY else f"{parameter.name}={made}"


def _class_at_hand(parameter: inspect.Parameter, value: Callable[..., object], namespace: Mapping[str, object]) -> str:
    """`GPTConfig()` for a parameter annotated so, or called `config` where one such class stands beside the model."""
    annotated = _annotated(parameter)
    named = namespace.get(annotated)
    if annotated not in _VALUES and isinstance(named, type) and named is not value:
        return _called(named, annotated)
    if parameter.name.lower() not in _CONFIGURATIONS:
        return ""
    home = getattr(value, "__module__", None)
    beside = [
        name
        for name, each in namespace.items()
        if name.lower().endswith(_CONFIGURATIONS) and isinstance(each, type) and each.__module__ == home
    ]
    return _called(namespace[beside[0]], beside[0]) if len(beside) == 1 else ""


def _called(value: object, name: str) -> str:
    """A call of a class, with plain values for what it needs."""
    needs = required(value) if callable(value) else []
    return f"{name}({', '.join(_keyword(each) for each in needs)})"


def _keyword(parameter: inspect.Parameter) -> str:
    given = _plain(parameter)
    return given if parameter.kind is parameter.POSITIONAL_ONLY else f"{parameter.name}={given}"


def _plain(parameter: inspect.Parameter) -> str:
    """A value of the annotated type, or a number where the name says that it counts something."""
    counts = any(word in parameter.name.lower() for word in _COUNTS)
    return _VALUES.get(_annotated(parameter)) or ("10" if counts else "...")


def _annotated(parameter: inspect.Parameter) -> str:
    """The name of the annotated type, as the user's module may know it."""
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return "" if parameter.annotation is parameter.empty else name
