"""A plan against what optimizers hold, saved and measurably do. Knows no torch: observations are plain data."""

from collections.abc import Sequence

from decay_audit.checks.codes import Finding
from decay_audit.checks.coefficients import check_coefficients, coefficient_in_use
from decay_audit.checks.membership import check_membership, check_ties
from decay_audit.checks.semantics import check_meanings
from decay_audit.checks.view import sides
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Plan

__all__ = ["check_optimizers", "check_ties", "coefficient_in_use"]


def check_optimizers(
    plan: Plan,
    optimizers: Sequence[Optimizer],
    observations: Sequence[Observation] = (),
    target: str = "TARGET",
    *,
    adopted: bool = False,
) -> tuple[Finding, ...]:
    """Compare optimizers with a plan: DA101-103, DA201-204, DA206, DA207, DA305, DA401, DA402, DA501-505.

    Live optimizers and saved ones are compared each on their own.

    Args:
        observations: what is known of each parameter; an optimizer without any is read from its groups.
        target: the target as it stands in the commands that a fix names; "" for a model in Python.
        adopted: nobody asked for the plan's base coefficient; it is the one in use.
    """
    return tuple(
        found
        for side in sides(plan, optimizers, observations, target, adopted=adopted)
        for check in (check_coefficients, check_membership, check_meanings)
        for found in check(side)
    )
