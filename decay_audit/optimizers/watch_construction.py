"""Record the arguments of optimizers while user code builds them, and the lines that build them.

A finished optimizer does not show whether its 0.01 was chosen or is AdamW's default. `watch` wraps the constructors of
the optimizer classes that are loaded, and restores them at the end.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import Parameter, signature
from traceback import walk_stack

from msgspec import Struct, field
from torch.optim import Optimizer

COEFFICIENT = "weight_decay"


class ConstructionLog(Struct, frozen=True, kw_only=True):
    """The arguments of optimizers, and where they were created, by the id of the optimizer.

    Attributes:
        set_in_constructor: whether the constructor was given the coefficient.
        set_in_groups: for each group, whether the dict of the group had the coefficient.
        callers: the file and line of each call that led to the constructor, the innermost first.
        arguments: the arguments that the user gave the constructor, by their names.
        group_settings: for each group, its settings when it was added, without the parameters.
        optimizers: references that keep the optimizers alive, so that no id is used twice.
    """

    set_in_constructor: dict[int, bool] = field(default_factory=dict)
    set_in_groups: dict[int, list[bool]] = field(default_factory=dict)
    callers: dict[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    arguments: dict[int, dict[str, object]] = field(default_factory=dict)
    group_settings: dict[int, list[dict[str, object]]] = field(default_factory=dict)
    optimizers: list[Optimizer] = field(default_factory=list)

    def weight_decay_is_default(self, optimizer: object, group: int) -> bool | None:
        """Whether no code set the coefficient of this group; None if the construction was not recorded."""
        groups = self.set_in_groups.get(id(optimizer), [])
        if group < len(groups) and groups[group]:
            return False
        if id(optimizer) not in self.set_in_constructor or group >= len(groups):
            return None
        return not self.set_in_constructor[id(optimizer)]


@contextmanager
def watch() -> Iterator[ConstructionLog]:
    """Record the optimizers that are built during the with-statement, of the classes that are loaded before it."""
    log = ConstructionLog()
    with ExitStack() as stack:
        _replace(stack, Optimizer, "add_param_group", _watched_add_param_group(Optimizer.add_param_group, log))
        for kind in _subclasses(Optimizer):
            if "__init__" in kind.__dict__:
                _replace(stack, kind, "__init__", _watched_init(kind.__dict__["__init__"], log))
        yield log


def _replace(stack: ExitStack, kind: type, name: str, function: Callable[..., None]) -> None:
    stack.callback(setattr, kind, name, kind.__dict__[name])
    setattr(kind, name, function)


def _subclasses(kind: type[Optimizer]) -> Iterator[type[Optimizer]]:
    for derived in set(kind.__subclasses__()):
        yield derived
        yield from _subclasses(derived)


def _watched_add_param_group(add: Callable[..., None], log: ConstructionLog) -> Callable[..., None]:
    @wraps(add)
    def add_param_group(self: Optimizer, param_group: object) -> None:
        is_set = isinstance(param_group, dict) and COEFFICIENT in param_group
        add(self, param_group)
        log.set_in_groups.setdefault(id(self), []).append(is_set)
        settings = {key: value for key, value in self.param_groups[-1].items() if key != "params"}
        log.group_settings.setdefault(id(self), []).append(settings)

    return add_param_group


def _watched_init(init: Callable[..., None], log: ConstructionLog) -> Callable[..., None]:
    @wraps(init)
    def __init__(self: Optimizer, *args: object, **kwargs: object) -> None:  # noqa: N807
        if id(self) not in log.set_in_constructor:  # the outermost constructor is the one that the user called
            arguments = _named_arguments(init, self, args, kwargs)
            if type(self).__init__ is __init__:  # otherwise a class that is not watched calls this constructor
                log.arguments[id(self)] = arguments
            log.set_in_constructor[id(self)] = COEFFICIENT in arguments
            log.callers[id(self)] = _callers()
            log.optimizers.append(self)
        init(self, *args, **kwargs)

    return __init__


def _callers() -> tuple[tuple[str, int], ...]:
    """List the files and lines of the calls that led here, the innermost first, without those of this module."""
    frames = ((frame.f_code.co_filename, line) for frame, line in walk_stack(sys._getframe(1)))
    return tuple(caller for caller in frames if caller[0] != __file__)


def _named_arguments(
    init: Callable[..., None], self: Optimizer, args: tuple[object, ...], kwargs: dict[str, object]
) -> dict[str, object]:
    """Return the arguments by the constructor's names, including those that it takes as **kwargs."""
    try:
        bound = signature(init).bind_partial(self, *args, **kwargs)
    except TypeError:
        return dict(kwargs)  # the arguments are wrong: the constructor is about to raise
    named = dict([*bound.arguments.items()][1:])  # without self
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            keywords = named.pop(name, {})
            named |= keywords if isinstance(keywords, dict) else {}
    return named
