"""While optimizers are built: what was set on purpose. Nothing in a finished one tells a chosen 0.01 from AdamW's own.

Watching wraps the constructors of the classes that are loaded, and puts them back.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import signature

from msgspec import Struct, field
from torch.optim import Optimizer

COEFFICIENT = "weight_decay"


class Record(Struct, frozen=True, kw_only=True):
    """What was seen of optimizers being built, by their ids.

    Attributes:
        explicit: whether the constructor was given the coefficient.
        groups: for each group, whether the group itself was given it.
        kept: the optimizers, so that no id is used twice.
    """

    explicit: dict[int, bool] = field(default_factory=dict)
    groups: dict[int, list[bool]] = field(default_factory=dict)
    kept: list[Optimizer] = field(default_factory=list)

    def weight_decay_is_default(self, optimizer: object, group: int) -> bool | None:
        """Whether nobody set the coefficient of this group; None if nobody watched."""
        seen = self.groups.get(id(optimizer), [])
        if id(optimizer) not in self.explicit or group >= len(seen):
            return None
        return not (self.explicit[id(optimizer)] or seen[group])


@contextmanager
def watch() -> Iterator[Record]:
    """Record every optimizer that is built in this block, for the classes that are loaded at its start."""
    record = Record()
    with ExitStack() as stack:
        _replace(stack, Optimizer, "add_param_group", _watched_group(Optimizer.add_param_group, record))
        for kind in _subclasses(Optimizer):
            if "__init__" in kind.__dict__:
                _replace(stack, kind, "__init__", _watched_init(kind.__dict__["__init__"], record))
        yield record


def _replace(stack: ExitStack, kind: type, name: str, function: Callable[..., None]) -> None:
    stack.callback(setattr, kind, name, kind.__dict__[name])
    setattr(kind, name, function)


def _subclasses(kind: type[Optimizer]) -> Iterator[type[Optimizer]]:
    for derived in set(kind.__subclasses__()):
        yield derived
        yield from _subclasses(derived)


def _watched_group(add: Callable[..., None], record: Record) -> Callable[..., None]:
    @wraps(add)
    def add_param_group(self: Optimizer, param_group: object) -> None:
        given = isinstance(param_group, dict) and COEFFICIENT in param_group
        add(self, param_group)
        record.groups.setdefault(id(self), []).append(given)

    return add_param_group


def _watched_init(init: Callable[..., None], record: Record) -> Callable[..., None]:
    @wraps(init)
    def __init__(self: Optimizer, *args: object, **kwargs: object) -> None:  # noqa: N807
        if id(self) not in record.explicit:  # the outermost constructor is the one that the user called
            record.explicit[id(self)] = _gives_coefficient(init, self, args, kwargs)
            record.kept.append(self)
        init(self, *args, **kwargs)

    return __init__


def _gives_coefficient(
    init: Callable[..., None], self: Optimizer, args: tuple[object, ...], kwargs: dict[str, object]
) -> bool:
    if COEFFICIENT in kwargs:
        return True
    try:
        return COEFFICIENT in signature(init).bind_partial(self, *args, **kwargs).arguments
    except TypeError:
        return False  # the constructor itself is about to say what is wrong
