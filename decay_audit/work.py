"""Limit the work that reading a checkpoint can cause, whatever is in the file: each stage spends units of a budget.

Work is counted, not timed. So a file is read on every machine, or refused on every machine. A unit is about 10 µs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from decay_audit.errors import TargetError

UNITS_PER_TENSOR: Final = 4
"""What one tensor costs: it is read, decided and shown."""
UNITS_PER_KIND: Final = 12
"""What a tensor costs in addition, if its name and owner are not like those of an earlier tensor: to find its role."""
UNITS_PER_OWNER: Final = 1
"""What an owner costs, if there are far more owners than tensors."""
UNITS_PER_CONTAINER: Final = 2
"""What a dict, a list or an object of a pickle costs that is searched for state dicts."""
UNITS_PER_STATE_DICT: Final = 4
"""What a state dict costs in addition: it is compared with the others."""
CHARACTERS_PER_UNIT: Final = 2
"""This many characters of a part of a name cost one unit, if the part is longer than those of real models."""
OPERATIONS_PER_UNIT: Final = 30
"""This many opcodes of a pickle, or entries of a dict, cost one unit."""

_UNITS_OF_ANY_FILE: Final = 400_000
"""The units that even the smallest file has."""
_BYTES_PER_UNIT: Final = 100
"""So many bytes of a file give one more unit."""
_SMALL_FILE: Final = 10_000_000
"""Up to so many bytes a file may take 5 seconds. The header of a larger file can describe many more tensors."""
_LATER_BYTES_PER_UNIT: Final = 20
"""So many bytes beyond that give one more unit. The entry of a tensor with a usual name and shape has 80 or more."""
_UNITS_FOR_ROLES: Final = 300_000
"""The units for finding roles, before the tensors are counted."""
_LEAST_UNITS_FOR_ROLES: Final = 60_000
"""The units for finding roles that remain however many tensors there are."""


class Budget:
    """A number of units that can be spent."""

    __slots__ = ("units",)

    def __init__(self, units: int) -> None:
        self.units = units

    def spend(self, units: int) -> None:
        """Take units.

        Raises:
            TargetError: none are left.
        """
        self.require(units)
        self.units -= units

    def require(self, units: int) -> None:
        """Check that so many units are left, before memory is used for what will cost them.

        Raises:
            TargetError: fewer are left.
        """
        if self.units < units:
            raise TargetError(
                "the checkpoint needs more work than one of its size should: it has too many tensors or names",
                "if it is a real checkpoint, save the state dict of the model alone, in a file of its own",
            )


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)
"""The budget of the checkpoint that is being read; None outside `limit_by_size`."""


@contextmanager
def limit_by_size(size: int) -> Iterator[None]:
    """Set the budget for the `with` statement, in which files are read that have `size` bytes together."""
    first, more = min(size, _SMALL_FILE), max(size - _SMALL_FILE, 0)
    token = _budget.set(Budget(_UNITS_OF_ANY_FILE + first // _BYTES_PER_UNIT + more // _LATER_BYTES_PER_UNIT))
    try:
        yield
    finally:
        _budget.reset(token)


def spend(units: int) -> None:
    """Take units from the budget that `limit_by_size` set; do nothing outside its `with` statement.

    Raises:
        TargetError: none are left.
    """
    budget = _budget.get()
    if budget is not None:
        budget.spend(units)


def require(units: int) -> None:
    """Check that so many units are left in the budget that `limit_by_size` set.

    Raises:
        TargetError: fewer are left.
    """
    budget = _budget.get()
    if budget is not None:
        budget.require(units)


def budget_for_roles(tensors: int) -> Budget:
    """Make the budget for finding the roles of a checkpoint's tensors: the more tensors, the fewer units are left."""
    return Budget(max(_LEAST_UNITS_FOR_ROLES, _UNITS_FOR_ROLES - tensors * UNITS_PER_TENSOR // 2))
