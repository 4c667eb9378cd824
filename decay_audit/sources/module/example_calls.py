"""Example targets for messages: a class or function of the user, with values for the arguments that it needs."""

import inspect
from collections.abc import Callable, Mapping

from decay_audit.errors import TargetError

_EXAMPLE_VALUES = {
    "int": "10", "float": "0.1", "bool": "True", "str": "'...'", "list": "[]", "tuple": "()", "dict": "{}"
}  # fmt: skip
_COUNT_WORDS = ("num", "n_", "dim", "size", "channel", "feature", "class", "width", "depth", "hidden", "embed", "layer")
_CONFIG_NAMES = ("config", "configuration", "cfg", "args", "hparams")
_MAX_SIGNATURE = 200
"""Longer signatures are shown with the required parameters only."""


def example_call(value: Callable[..., object], location: str, namespace: Mapping[str, object]) -> str:
    """Write a target that calls `value`, or that only names it if it needs no arguments.

    Args:
        location: how the user names `value`, e.g. `model.py:GPT`.
        namespace: the names in which the class of an argument may be found.
    """
    arguments = [
        _argument(index, parameter, value, namespace) for index, parameter in enumerate(required_parameters(value))
    ]
    return f"{location}({', '.join(arguments)})" if arguments else location


def missing_arguments(value: Callable[..., object], location: str, namespace: Mapping[str, object]) -> TargetError:
    """Make the error that says which arguments are missing, and how to give them."""
    name = getattr(value, "__name__", location.rpartition(":")[2])
    signature = str(inspect.signature(value).replace(return_annotation=inspect.Signature.empty))
    if len(signature) > _MAX_SIGNATURE:
        signature = f"({', '.join(parameter.name for parameter in required_parameters(value))}, ...)"
    return TargetError(
        f"{location} needs arguments: {name}{signature}",
        "give them in the target, for example:",
        [example_call(value, location, namespace)],
    )


def required_parameters(value: Callable[..., object]) -> list[inspect.Parameter]:
    """List the parameters of a callable that have no default."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _argument(
    index: int, parameter: inspect.Parameter, value: Callable[..., object], namespace: Mapping[str, object]
) -> str:
    """Write an argument: an instance of a class in the namespace if one fits, else a value of the annotated type."""
    instance = _instance(parameter, value, namespace)
    if not instance:
        return _with_keyword(parameter, _example_value(parameter))
    return instance if index == 0 else _with_keyword(parameter, instance)


def _instance(parameter: inspect.Parameter, value: Callable[..., object], namespace: Mapping[str, object]) -> str:
    """Write a call of the annotated class, or of the only config class in the module: `GPTConfig()`; else ""."""
    annotation = _annotation(parameter)
    annotated = namespace.get(annotation)
    if annotation not in _EXAMPLE_VALUES and isinstance(annotated, type) and annotated is not value:
        return _call(annotated, annotation)
    if parameter.name.lower() not in _CONFIG_NAMES:
        return ""
    module = getattr(value, "__module__", None)
    configs = [
        name
        for name, candidate in namespace.items()
        if name.lower().endswith(_CONFIG_NAMES) and isinstance(candidate, type) and candidate.__module__ == module
    ]
    return _call(namespace[configs[0]], configs[0]) if len(configs) == 1 else ""


def _call(value: object, name: str) -> str:
    parameters = required_parameters(value) if callable(value) else []
    return f"{name}({', '.join(_with_keyword(parameter, _example_value(parameter)) for parameter in parameters)})"


def _with_keyword(parameter: inspect.Parameter, text: str) -> str:
    return text if parameter.kind is parameter.POSITIONAL_ONLY else f"{parameter.name}={text}"


def _example_value(parameter: inspect.Parameter) -> str:
    """Write a value of the annotated type, or a number where the parameter's name says that it counts something."""
    is_count = any(word in parameter.name.lower() for word in _COUNT_WORDS)
    return _EXAMPLE_VALUES.get(_annotation(parameter)) or ("10" if is_count else "...")


def _annotation(parameter: inspect.Parameter) -> str:
    """Return the name of the annotated type; "" if there is none."""
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return "" if parameter.annotation is parameter.empty else name
