"""Comparing: a plan, and what was read and observed, become findings. Knows no format."""

from collections.abc import Sequence

from decay_audit.checks.plan import check_plan
from decay_audit.decisions import Plan
from decay_audit.findings import SEVERITIES, Finding
from decay_audit.inventory import Inventory

__all__ = ["check", "check_plan"]


def check(inventory: Inventory, plan: Plan) -> tuple[Finding, ...]:
    """Compare everything with everything; findings by severity, then by code."""
    return in_order(check_plan(plan))


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first, then by code; findings of one code keep their order."""
    return tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.code)))
