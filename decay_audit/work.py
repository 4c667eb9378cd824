"""Limit the work that a checkpoint can cause, whatever it holds: each stage spends units of a budget.

Work is counted and not timed, so that a file is read or refused on every machine alike. A unit is about 10 µs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from decay_audit.errors import TargetError

TENSOR: Final = 4
"""The units of a tensor: it is read, decided and shown."""
KIND: Final = 12
"""The units of a tensor whose names are not like those of an earlier tensor: its role must be found."""
OPERATIONS_PER_UNIT: Final = 30
"""This many opcodes of a pickle, or entries of a dict, cost one unit."""

_UNITS_OF_ANY_FILE: Final = 400_000
_BYTES_PER_UNIT: Final = 100
_UNITS_FOR_ROLES: Final = 300_000
_LEAST_UNITS_FOR_ROLES: Final = 60_000


class Budget:
    """Units of work that can be spent."""

    __slots__ = ("units",)

    def __init__(self, units: int) -> None:
        self.units = units

    def spend(self, units: int) -> None:
        """Take units.

        Raises:
            TargetError: none are left.
        """
        self.units -= units
        if self.units < 0:
            raise TargetError(
                "the checkpoint needs more work than one of its size should: it has too many tensors or names",
                "if it is a real checkpoint, save the state dict of the model alone, in a file of its own",
            )


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Set one budget for the with-statement, in which files of `size` bytes together are read."""
    token = _budget.set(Budget(_UNITS_OF_ANY_FILE + size // _BYTES_PER_UNIT))
    try:
        yield
    finally:
        _budget.reset(token)


def spend(units: int) -> None:
    """Take units from the budget that `limited` set, if there is one.

    Raises:
        TargetError: none are left.
    """
    budget = _budget.get()
    if budget is not None:
        budget.spend(units)


def budget_for_roles(tensors: int) -> Budget:
    """Make the budget for finding the roles of a checkpoint's tensors: the more tensors, the fewer units are left."""
    return Budget(max(_LEAST_UNITS_FOR_ROLES, _UNITS_FOR_ROLES - tensors * TENSOR // 2))
