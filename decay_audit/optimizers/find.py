"""What a factory returned goes in, the optimizers in it come out. No library is imported to tell one.

An optimizer is whatever has a list `param_groups` and a `step`: torch's, and the wrappers that do not derive from it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from decay_audit.errors import OptimizerError

Found = tuple[tuple[str, torch.optim.Optimizer], ...]

_MANY = ("optimizers", "chained_optimizers", "_optimizers")
_FORMS = (
    "return an optimizer, or a list, tuple or dict of optimizers; what configure_optimizers() of a Lightning module "
    "returns, and a transformers Trainer, will do too"
)


def find(built: object, name: str = "optimizer") -> Found:
    """List the optimizers in what a factory returned, with a name for each.

    Accepts one optimizer; a list, tuple or dict of them, with schedulers beside them; what Lightning's
    `configure_optimizers` returns; a transformers Trainer (its optimizer is created if need be); and engines and
    containers that keep optimizers as `optimizer` or `optimizers`.

    Raises:
        OptimizerError: there is none.
    """
    found: dict[int, tuple[str, torch.optim.Optimizer]] = {}
    for place, optimizer in _walk(built, name):
        found.setdefault(id(optimizer), (place, optimizer))
    if not found:
        raise OptimizerError(f"no optimizer in what was returned: {_said(built)}", _FORMS)
    return _numbered(list(found.values()))


def _numbered(found: list[tuple[str, torch.optim.Optimizer]]) -> Found:
    """Tell places of the same name apart: `optimizer[0]`, `optimizer[1]`."""
    places = [place for place, _ in found]
    return tuple(
        (f"{place}[{places[:index].count(place)}]" if places.count(place) > 1 else place, optimizer)
        for index, (place, optimizer) in enumerate(found)
    )


def layers(optimizer: object) -> tuple[Any, ...]:
    """List an optimizer and the ones that it wraps, outermost first: Lookahead, then its AdamW."""
    chain = [optimizer]
    while (inner := _wrapped(chain[-1])) is not None and all(inner is not one for one in chain):
        chain.append(inner)
    return tuple(chain)


def _wrapped(optimizer: object) -> object:
    """The one optimizer among an object's own attributes, under whatever name."""
    inside = {id(value): value for value in vars(optimizer).values() if is_optimizer(value)}
    return next(iter(inside.values())) if len(inside) == 1 else None


def is_optimizer(value: object) -> bool:
    """Whether it has param groups and can step."""
    return isinstance(getattr(value, "param_groups", None), list) and callable(getattr(value, "step", None))


def _walk(built: object, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(built, Mapping):
        for key, value in built.items():
            yield from _walk(value, name if key == "optimizer" else str(key))
    elif isinstance(built, list | tuple):
        for value in built:
            yield from _walk(value, name)
    elif _is_scheduler(built):
        return
    elif members := _members(built):
        yield from _walk(members, name)
    elif is_optimizer(built):
        yield name, built
    elif (held := _held(built)) is not None:
        yield from _walk(held, name)


def _is_scheduler(value: object) -> bool:
    """A scheduler keeps its optimizer as `optimizer`, but that is not where one looks for it."""
    return isinstance(value, torch.optim.lr_scheduler.LRScheduler) or hasattr(value, "get_last_lr")


def _members(value: object) -> list[object]:
    """The optimizers of a container, whose own `param_groups` may be a summary of theirs."""
    for attribute in _MANY:
        kept = getattr(value, attribute, None)
        if isinstance(kept, list | tuple) and kept and all(map(is_optimizer, kept)):
            return [*kept]
    return []


def _held(value: object) -> object:
    """The optimizer of a trainer or an engine; a transformers Trainer makes it when asked."""
    held = getattr(value, "optimizer", None)
    create = getattr(value, "create_optimizer", None)
    if held is None and callable(create):
        return _created(value, create)
    return held if held is not value else None


def _created(value: object, create: Callable[[], object]) -> object:
    try:
        made = create()
    except Exception as error:
        raise OptimizerError(f"{type(value).__name__}.create_optimizer() failed: {error}", _FORMS) from error
    return made if made is not None else getattr(value, "optimizer", None)


def _said(value: object) -> str:
    kind = type(value)
    if value is None:
        return "None"
    return f"an empty {kind.__name__}" if value in ([], (), {}) else f"{kind.__module__}.{kind.__qualname__}"
