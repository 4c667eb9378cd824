"""The work for a checkpoint is counted: a file that needs more than one of its size should is refused."""

import pytest

from decay_audit import work
from decay_audit.errors import TargetError


def test_a_budget_refuses_what_it_does_not_cover() -> None:
    with work.limit_by_size(size=0):
        work.spend(work.UNITS_PER_TENSOR * 90_000)
        with pytest.raises(TargetError, match="needs more work than one of its size should"):
            work.spend(work.UNITS_PER_TENSOR * 90_000)
    work.spend(10**9)  # nothing is counted outside the block
