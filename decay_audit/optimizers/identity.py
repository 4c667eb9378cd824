"""Identify an optimizer: the names of its classes, a name for reports, and the default coefficient of its class."""

from collections.abc import Iterator
from inspect import Parameter, signature, unwrap

import torch

from decay_audit.optimizers.find import wrapper_chain
from decay_audit.optimizers.table.lookup import class_facts


def class_names(optimizer: object) -> tuple[str, ...]:
    """Return the qualified names of the classes whose facts hold for this optimizer, most derived first.

    The list ends with the class that defines `step`. A class that overrides `step` may do anything, so what is known of
    its base classes does not hold for it.
    """
    return tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in _classes_down_to_step(type(optimizer)))


def _classes_down_to_step(kind: type) -> Iterator[type]:
    """Yield the classes from `kind` to the one that defines `step`.

    Torch may have wrapped the `step` of a class, so the functions are compared unwrapped.
    """
    # `object` and `kind` stand for a missing `step`: they differ from every function and from each other
    step = unwrap(getattr(kind, "step", None) or object)
    defining = [base for base in kind.__mro__ if unwrap(base.__dict__.get("step", kind)) is step]
    last = kind.__mro__.index(defining[-1]) if defining else 0
    yield from kind.__mro__[: last + 1]


def display_name(optimizer: object) -> str:
    """Return the name of an optimizer in reports, with its wrappers around it: `Lookahead(AdamW)`."""
    names = [type(wrapper).__name__ for wrapper in wrapper_chain(optimizer)]
    return "(".join(names) + ")" * (len(names) - 1)


def import_path(optimizer: object) -> str:
    """Return the path of the innermost class, or its name alone if torch.optim has it; "" if code cannot import it."""
    kind = type(wrapper_chain(optimizer)[-1])
    if kind in vars(torch.optim).values():
        return kind.__name__
    path = f"{kind.__module__}.{kind.__qualname__}"
    return path if "<" not in path and kind.__module__ != "__main__" else ""


def default_weight_decay(optimizer: object) -> float | None:
    """Return the class's default `weight_decay`; None if it is not known."""
    for kind in type(optimizer).__mro__:
        if "__init__" in kind.__dict__:
            parameter = signature(unwrap(kind.__dict__["__init__"])).parameters.get("weight_decay")
            if parameter is not None:
                return _default_as_number(parameter)
            if not _passes_keywords_on(kind):
                break
    facts = class_facts(class_names(optimizer))
    return facts.default if facts else None


def accepts(optimizer: object, keyword: str) -> bool:
    """Whether the constructor of the class, or of a base class that it passes keywords to, has this parameter."""
    for kind in type(optimizer).__mro__:
        if "__init__" in kind.__dict__:
            if keyword in signature(unwrap(kind.__dict__["__init__"])).parameters:
                return True
            if not _passes_keywords_on(kind):
                return False
    return False


def _passes_keywords_on(kind: type) -> bool:
    """Whether the constructor has **kwargs: the base class's constructor then sets the default."""
    parameters = signature(unwrap(kind.__dict__["__init__"])).parameters.values()
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)


def _default_as_number(parameter: Parameter) -> float | None:
    value = parameter.default
    return float(value) if isinstance(value, int | float) else None
