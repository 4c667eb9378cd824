"""Join a plan with optimizers, and run the checks on optimizers."""

from collections.abc import Collection, Mapping, Sequence

from decay_audit import checks
from decay_audit.checks.codes import Finding
from decay_audit.checks.observed_plan import NO_OPTIONS, observed_plans
from decay_audit.model.observations import Observation, Optimizer, OptimizerOrigin
from decay_audit.rulesets.plan import Plan


def check_optimizers(
    plan: Plan,
    optimizers: Sequence[Optimizer],
    observations: Sequence[Observation] = (),
    target: str = "TARGET",
    *,
    emit_options: Mapping[OptimizerOrigin, Sequence[str]] = NO_OPTIONS,
    of_other_models: Collection[str] = (),
    coefficient_adopted: bool = False,
) -> tuple[Finding, ...]:
    """Compare optimizers with a plan."""
    plans = observed_plans(
        plan,
        optimizers,
        observations,
        target,
        emit_options=emit_options,
        of_other_models=of_other_models,
        coefficient_adopted=coefficient_adopted,
    )
    return checks.check_optimizers(plans)
