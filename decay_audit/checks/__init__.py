"""Comparing: a plan, and what was read and observed, become findings. Knows no format."""

from collections.abc import Sequence

from decay_audit.checks.checkpoint import check_checkpoint
from decay_audit.checks.codes import Finding
from decay_audit.checks.optimizers import check_optimizers, check_ties, coefficient_in_use
from decay_audit.checks.plan import check_plan
from decay_audit.checks.resume import check_resume
from decay_audit.checks.unused_entries import check_channels
from decay_audit.model.choices import SEVERITIES
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Plan

__all__ = ["check", "coefficient_in_use"]


def check(
    inventory: Inventory,
    plan: Plan,
    optimizers: Sequence[Optimizer] = (),
    observations: Sequence[Observation] = (),
    target: str = "",
    *,
    adopted: bool = False,
    beside: Inventory | None = None,
) -> tuple[Finding, ...]:
    """Compare everything with everything; errors first, then by code.

    Args:
        target: the target as the user wrote it, for the commands that a fix names; "" for a model in Python.
        adopted: nobody asked for the plan's base coefficient; it is the one in use.
        beside: a checkpoint that was named beside the target.
    """
    found = (
        *check_plan(plan),
        *check_channels(plan),
        *check_ties(plan),
        *check_optimizers(plan, optimizers, observations, target, adopted=adopted),
        *check_checkpoint([inventory, *([beside] if beside else [])], optimizers),
        *check_resume(optimizers, {one.name: one.shape for one in inventory.parameters}, target),
    )
    return tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.code)))
