"""Replace constructors of optimizers, to record each new optimizer, its arguments, and the group keys that code set.

Python calls `Optimizer.__new__` before `__init__`. The replacement of `__new__` wraps the `__init__` of the class, if
this is the first instance of the class. The wrapped `__init__` gets the arguments that the script gave.
"""

import functools
import inspect
from typing import Any, Callable, Dict, List, Set, Tuple

import torch

from .. import recording, variables

_WRAPPED_CLASSES: "Set[type]" = set()
"""The optimizer classes whose `__init__` is wrapped."""
_UNDER_CONSTRUCTION: Dict[int, "OptimizerConstruction"] = {}
"""The constructions that are running, by the id of the optimizer."""


class OptimizerConstruction:
    """An optimizer's construction, while its constructor runs.

    Attributes:
        set_names: names of the arguments that the caller gave.
        group_keys: each group, with the keys that it had before the class's defaults were added.
        call_stack: the call stack of the call of the constructor.
    """

    def __init__(self, set_names: List[str], call_stack: "variables.CallStack") -> None:
        self.set_names = set_names
        self.group_keys: List[Tuple[Dict[str, Any], List[str]]] = []
        self.call_stack = call_stack


def set_hooks() -> None:
    """Replace `__new__` and `add_param_group` of the base class of all optimizers."""
    base = torch.optim.Optimizer
    new = base.__new__

    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:  # noqa: N807, ARG001
        try:
            _wrap_init(cls)
        except Exception as error:
            recording.note(f"{cls.__name__} could not be watched: {error!r}")
        return new(cls)

    base.__new__ = staticmethod(__new__)  # type: ignore[method-assign]
    base.add_param_group = _watched_add_param_group(base.add_param_group)  # type: ignore[method-assign]


def _wrap_init(cls: type) -> None:
    """Wrap the constructor of a class of optimizers, if it is not wrapped yet."""
    if cls in _WRAPPED_CLASSES:
        return
    _WRAPPED_CLASSES.add(cls)
    init = cls.__init__  # type: ignore[misc]

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if id(self) in _UNDER_CONSTRUCTION:  # a base class's constructor
            init(self, *args, **kwargs)
            return
        _UNDER_CONSTRUCTION[id(self)] = OptimizerConstruction(
            _names_of_given_arguments(init, self, args, kwargs), variables.caller()
        )
        try:
            init(self, *args, **kwargs)
        finally:
            construction = _UNDER_CONSTRUCTION.pop(id(self))
        recording.add_optimizer(self, construction)

    cls.__init__ = __init__  # type: ignore[misc]


def _names_of_given_arguments(
    init: Callable[..., None], self: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]
) -> List[str]:
    try:
        arguments = inspect.signature(init).bind_partial(self, *args, **kwargs).arguments
    except (TypeError, ValueError):
        return list(kwargs)
    return list(dict.fromkeys([*list(arguments)[1:], *kwargs]))


def _watched_add_param_group(add: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(add)
    def add_param_group(self: Any, param_group: Any) -> None:
        keys = list(param_group) if isinstance(param_group, dict) else []
        add(self, param_group)
        if not isinstance(param_group, dict):
            return
        construction = _UNDER_CONSTRUCTION.get(id(self))
        if construction is not None:
            construction.group_keys.append((param_group, keys))
        else:
            recording.add_group(self, param_group, keys)

    return add_param_group
