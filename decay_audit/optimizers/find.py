"""Find the optimizers in the value that user code returned. No library is imported to recognize them.

An optimizer is whatever has a list `param_groups` and a `step`: torch's, and wrappers that do not derive from it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from decay_audit.errors import OptimizerError
from decay_audit.text import describe_value

NamedOptimizers = tuple[tuple[str, torch.optim.Optimizer], ...]
"""Pairs of a name and an optimizer. No two names are equal."""

_CONTAINER_ATTRIBUTES = ("optimizers", "chained_optimizers", "_optimizers")
"""Where containers keep several optimizers: torchtitan, Megatron, and wrappers that hide them."""
_ACCEPTED = (
    "accepted: an optimizer; a list, tuple or dict of optimizers; what a LightningModule's configure_optimizers() "
    "returns; a transformers Trainer"
)


def find(value: object, name: str = "optimizer", source: str = "") -> NamedOptimizers:
    """List the optimizers in a value, with a name for each.

    Accepts one optimizer; a list, tuple or dict of them, with or without schedulers; what Lightning's
    `configure_optimizers` returns; a transformers Trainer (its optimizer is created if need be); and engines and
    containers that keep optimizers as `optimizer` or `optimizers`.

    Args:
        source: how the message of an OptimizerError begins, e.g. `make_it(model) returned`; a description of `value`
            follows.

    Raises:
        OptimizerError: there is no optimizer in the value.
    """
    optimizers: dict[int, tuple[str, Any]] = {}
    for own_name, optimizer in _walk(value, name):
        optimizers.setdefault(id(optimizer), (own_name, optimizer))
    if not optimizers:
        is_filled = isinstance(value, list | tuple | dict) and len(value) > 0
        ending = " without an optimizer in it" if is_filled else ", not an optimizer"
        raise OptimizerError(f"{source or f'{name} is'} {describe_value(value)}{ending}", _ACCEPTED)
    return _with_distinct_names(list(optimizers.values()))


def _with_distinct_names(optimizers: list[tuple[str, torch.optim.Optimizer]]) -> NamedOptimizers:
    """Number the optimizers that have the same name: `optimizer[0]`, `optimizer[1]`."""
    names = [name for name, _ in optimizers]
    return tuple(
        (f"{name}[{names[:index].count(name)}]" if names.count(name) > 1 else name, optimizer)
        for index, (name, optimizer) in enumerate(optimizers)
    )


def wrapper_chain(optimizer: object) -> tuple[Any, ...]:
    """List an optimizer and those that it wraps, outermost first: Lookahead, then its AdamW."""
    chain = [optimizer]
    while (wrapped := _wrapped(chain[-1])) is not None and all(wrapped is not member for member in chain):
        chain.append(wrapped)
    return tuple(chain)


def _wrapped(optimizer: object) -> object:
    """Return the only optimizer among an object's own attributes, of any name; None if there is none, or several."""
    wrapped = {id(value): value for value in vars(optimizer).values() if is_optimizer(value)}
    return next(iter(wrapped.values())) if len(wrapped) == 1 else None


def member_optimizers(optimizer: object) -> list[Any]:
    """Return the optimizers that an optimizer wraps, if they are several, such as Muon and AdamW in one class.

    They are among its attributes or in lists and dicts there, and their tensors are also in its own groups.
    """
    values = [*vars(optimizer).values()]
    values += [item for value in values if isinstance(value, list | tuple) for item in value]
    values += [item for value in values if type(value) is dict for item in value.values()]
    inner = {id(value): value for value in values if value is not optimizer and is_optimizer(value)}
    members = [member for member in inner.values() if set() < tensor_ids(member) <= tensor_ids(optimizer)]
    return members if len(members) > 1 else []


def tensor_ids(optimizer: Any) -> set[int]:  # noqa: ANN401 - anything with groups
    """Return the ids of all tensors in the groups of an optimizer."""
    return {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}


def is_optimizer(value: object) -> bool:
    """Whether a value has param groups and can step."""
    return isinstance(getattr(value, "param_groups", None), list) and callable(getattr(value, "step", None))


def _walk(value: object, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each optimizer in a value with a name: the key of a dict, or else `name`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, name if key == "optimizer" else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item, name)
    elif _is_scheduler(value):
        return
    elif members := _members(value):
        yield from _walk(members, name)
    elif is_optimizer(value):
        yield name, value
    elif (optimizer := _optimizer_of_trainer(value)) is not None:
        yield from _walk(optimizer, name)


def _is_scheduler(value: object) -> bool:
    """Whether a value is a scheduler. It has an attribute `optimizer`, too, but must not be taken for a trainer."""
    return isinstance(value, torch.optim.lr_scheduler.LRScheduler) or hasattr(value, "get_last_lr")


def _members(value: object) -> list[object]:
    """Return the optimizers of a container. They are used even if the container itself has `param_groups`."""
    for attribute in _CONTAINER_ATTRIBUTES:
        members = getattr(value, attribute, None)
        if isinstance(members, list | tuple) and members and all(map(is_optimizer, members)):
            return [*members]
    return []


def _optimizer_of_trainer(value: object) -> object:
    """Return the optimizer of a trainer or an engine. A transformers Trainer creates its optimizer on request."""
    optimizer = getattr(value, "optimizer", None)
    create = getattr(value, "create_optimizer", None)
    if optimizer is None and callable(create):
        return _create_optimizer(value, create)
    return optimizer if optimizer is not value else None


def _create_optimizer(trainer: object, create: Callable[[], object]) -> object:
    try:
        optimizer = create()
    except Exception as error:
        raise OptimizerError(f"{type(trainer).__name__}.create_optimizer() raised {error!r}", _ACCEPTED) from error
    return optimizer if optimizer is not None else getattr(trainer, "optimizer", None)
