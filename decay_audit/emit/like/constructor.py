"""Find the arguments of an optimizer's constructor: from a record of the call, or from the finished optimizer."""

from collections.abc import Iterator, Mapping
from inspect import Parameter, signature, unwrap
from typing import Any

from decay_audit.emit.like.copies import Settings
from decay_audit.emit.like.expressions import NotWritableError, write
from decay_audit.optimizers.watch_construction import COEFFICIENT, ConstructionLog

GROUPS_ARGUMENTS = ("params", "param_groups", "named_parameters", "parameters")
"""Names under which constructors take the param groups."""


def find_arguments(optimizer: Any, log: ConstructionLog | None) -> Settings:  # noqa: ANN401
    """List the arguments without the param groups.

    The coefficient is listed only if the constructor has no default for it.

    Raises:
        NotWritableError: code cannot call the constructor with param groups, or cannot write an argument.
    """
    declared = {parameter.name: parameter for parameter in parameters(type(optimizer))}
    recorded = log.arguments.get(id(optimizer)) if log else None
    groups_name = next((name for name in GROUPS_ARGUMENTS if name in declared), next(iter(declared), ""))
    arguments = _visible_arguments(optimizer, declared, groups_name) if recorded is None else dict(recorded)
    if isinstance(arguments.pop(groups_name, ()), int | float | str):
        raise NotWritableError(f"the constructor takes no param groups: its first argument is {groups_name}")
    required = COEFFICIENT in declared and declared[COEFFICIENT].default is Parameter.empty
    if not required:
        arguments.pop(COEFFICIENT, None)
    for name, value in arguments.items():
        _require_writable(name, value)
    return tuple(arguments.items())


def parameters(kind: type) -> Iterator[Parameter]:
    """Yield the parameters of a constructor after `self`. If it takes **kwargs, yield those of its base class, too."""
    for base in kind.__mro__:
        if "__init__" not in base.__dict__ or base is object:
            continue
        declared = [*signature(unwrap(base.__dict__["__init__"])).parameters.values()][1:]
        variadic = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
        yield from (parameter for parameter in declared if parameter.kind not in variadic)
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in declared):
            return


def _visible_arguments(optimizer: Any, declared: Mapping[str, Parameter], groups_name: str) -> dict[str, object]:  # noqa: ANN401
    """Read the arguments in an optimizer's `defaults` and attributes, except those equal to a default."""
    visible = {**vars(optimizer), **getattr(optimizer, "defaults", {})}
    arguments: dict[str, object] = {}
    for name, parameter in declared.items():
        if name == groups_name:
            continue
        value = visible.get(name, visible.get(f"_{name}", parameter.default))
        if value is Parameter.empty:
            raise NotWritableError(f"the value of its argument {name} is not known")
        if not is_equal(value, parameter.default):
            arguments[name] = value
    return arguments


def is_equal(value: object, other: object) -> bool:
    """Compare two settings by their values; tensors with one element are numbers."""
    first, second = _without_tensor(value), _without_tensor(other)
    return first is second or (type(first) is type(second) and bool(first == second))


def _without_tensor(value: Any) -> object:  # noqa: ANN401
    import torch

    return value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta else value


def _require_writable(name: str, value: object) -> None:
    try:
        write(value)
    except NotWritableError as error:
        raise NotWritableError(f"its argument {name} is {error}") from error
