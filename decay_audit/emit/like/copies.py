"""Optimizers as data from which code can make them again. This module does not import torch."""

from collections.abc import Mapping

from msgspec import Struct

Settings = tuple[tuple[str, object], ...]
"""Names with their values: plain data, functions, classes, or tensors with one element."""


class GroupCopy(Struct, frozen=True, kw_only=True, eq=False):
    """A param group: the canonical names of its parameters, and the settings that differ from its optimizer's.

    Attributes:
        lr: the learning rate of the group, before a scheduler changed it.
        all_settings: every setting except weight_decay. The emitted code is checked to give the same settings.
    """

    parameters: tuple[str, ...]
    settings: Settings = ()
    lr: float | None = None
    all_settings: Mapping[str, object] = {}


class OptimizerCopy(Struct, frozen=True, kw_only=True, eq=False):
    """An optimizer: its class, the arguments of its constructor besides the groups, and its groups.

    Attributes:
        name: the name of the optimizer, as `find` gives it.
        type: the name of its class, for messages.
        class_path: the dotted path by which code imports the class; "" if code cannot import it.
        lr: the learning rate that the constructor gets; None if it gets none.
        attributes: the attributes that are numbers or texts. The emitted code is checked to give the same.
        problem: why code cannot make this optimizer; "" if it can.
    """

    name: str
    type: str
    class_path: str
    arguments: Settings = ()
    groups: tuple[GroupCopy, ...] = ()
    lr: float | None = None
    attributes: Mapping[str, object] = {}
    problem: str = ""
