"""A pytest fixture, found through its entry point: `decay_audit(model, optimizer, rules=...)` asserts in a test."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from decay_audit.reports.report import Report


@pytest.fixture
def decay_audit() -> "Callable[..., Report]":
    """Give a test `decay_audit.assert_decay`: it returns the report, or fails with the findings in its message."""
    from decay_audit.api import assert_decay

    return assert_decay
