"""Which class an optimizer is of, as names: the ones that can say what its step does, and one for people."""

from collections.abc import Iterator
from inspect import Parameter, signature, unwrap

import torch

from decay_audit.optimizers.find import layers
from decay_audit.optimizers.table.lookup import row


def types(optimizer: object) -> tuple[str, ...]:
    """Name the classes whose meaning holds for this optimizer, most derived first.

    The list ends with the class that defines `step`: a class that overrides it may do anything, so what is known of
    its bases says nothing of it.
    """
    return tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in _up_to_step(type(optimizer)))


def _up_to_step(kind: type) -> Iterator[type]:
    """The first torch optimizer of a class wraps its `step`, under the same function."""
    own = unwrap(getattr(kind, "step", None) or object)
    lines = [each for each in kind.__mro__ if unwrap(each.__dict__.get("step", kind)) is own]
    last = kind.__mro__.index(lines[-1]) if lines else 0
    yield from kind.__mro__[: last + 1]


def type_name(optimizer: object) -> str:
    """Name an optimizer for people, wrappers outside: `Lookahead(AdamW)`."""
    names = [type(layer).__name__ for layer in layers(optimizer)]
    return "(".join(names) + ")" * (len(names) - 1)


def importable(optimizer: object) -> str:
    """Name the innermost class as code can import it: by its path, or by its name alone if torch.optim has it."""
    kind = type(layers(optimizer)[-1])
    if kind in vars(torch.optim).values():
        return kind.__name__
    path = f"{kind.__module__}.{kind.__qualname__}"
    return path if "<" not in path and kind.__module__ != "__main__" else ""


def default_coefficient(optimizer: object) -> float | None:
    """Say what its class decays with when nobody sets `weight_decay`; None if that is not known."""
    for kind in type(optimizer).__mro__:
        if "__init__" in kind.__dict__:
            parameter = signature(unwrap(kind.__dict__["__init__"])).parameters.get("weight_decay")
            if parameter is not None:
                return _as_number(parameter)
            if not _passes_on(kind):
                break
    known = row(types(optimizer))
    return known.default if known else None


def _passes_on(kind: type) -> bool:
    """A constructor with **kwargs hands what it does not know to the next."""
    parameters = signature(unwrap(kind.__dict__["__init__"])).parameters.values()
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)


def _as_number(parameter: Parameter) -> float | None:
    value = parameter.default
    return float(value) if isinstance(value, int | float) else None
