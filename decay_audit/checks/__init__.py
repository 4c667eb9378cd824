"""The checks: they compare a plan with what was read and observed, and return findings. No check knows a format.

check() runs these modules, except where a line names another caller:
- plan: the plan alone (DA304-306, DA401, DA402)
- unused_entries: rules and entries of a ruleset that have no effect, or need a wrapper's prefix (DA301-303)
- name_rules: patterns that match nothing, and rules that spare some of a kind by their names (DA307)
- observed_plan: joins the plan with live optimizers, and with saved ones
- optimizers: what live and saved optimizers do, compared with the plan (DA101-105, DA2xx, DA5xx)
- optimizers.over_run: what decay comes to over the whole run (DA801, DA802) and for the output (DA804, DA805);
  `api.pipeline` runs it
- training: what a running script showed beyond one state of its optimizers (DA201, DA803, DA806); `api.running` runs it
- lock: decisions compared with those that a lock file recorded earlier (DA7xx); `api.locking` runs it
- exceptions: removes the findings that a project accepts, and checks its exceptions (DA704-706); `cli` runs it
- resume: what loading a saved state would do, and what a checkpoint holds (DA601, DA602, DA103)

All of them use codes (Finding, and the table of all codes) and finding_text (the words and the fixes). selected_codes
applies --select, --ignore and --fail-on afterwards.
"""

from collections.abc import Iterable, Sequence

from decay_audit.checks.codes import Finding
from decay_audit.checks.name_rules import check_name_rules
from decay_audit.checks.observed_plan import ObservedPlan, observed_plans
from decay_audit.checks.optimizers.coefficients import check_coefficients, coefficient_in_use
from decay_audit.checks.optimizers.effective_decay import check_effective_decay
from decay_audit.checks.optimizers.first_step import check_first_step
from decay_audit.checks.optimizers.group_keys import check_group_keys
from decay_audit.checks.optimizers.group_membership import check_group_membership, check_made_in_forward, check_ties
from decay_audit.checks.optimizers.learning_rates import check_learning_rates
from decay_audit.checks.optimizers.over_run import check_over_run, check_scaling
from decay_audit.checks.optimizers.routes import check_routes
from decay_audit.checks.optimizers.unknown_classes import check_unknown_classes
from decay_audit.checks.optimizers.without_gradient import check_without_gradient
from decay_audit.checks.plan import check_plan
from decay_audit.checks.resume import Migration, check_checkpoint, check_resume
from decay_audit.checks.unused_entries import check_unused_entries
from decay_audit.model.choices import SEVERITIES
from decay_audit.model.inventory import Inventory
from decay_audit.rulesets.plan import Plan

__all__ = [
    "check",
    "check_optimizers",
    "check_over_run",
    "check_scaling",
    "coefficient_in_use",
    "in_order",
    "observed_plans",
]

_OPTIMIZER_CHECKS = (
    check_coefficients,
    check_routes,
    check_learning_rates,
    check_group_keys,
    check_group_membership,
    check_effective_decay,
    check_first_step,
    check_without_gradient,
    check_unknown_classes,
)


def check(
    inventory: Inventory,
    plan: Plan,
    observed: Sequence[ObservedPlan] = (),
    *,
    checkpoint: Inventory | None = None,
    migration: Migration | None = None,
) -> tuple[Finding, ...]:
    """Run all checks. Errors come first, then codes in order.

    Args:
        observed: the plan with what live optimizers do, and with what saved optimizers do: see `observed_plans`.
        checkpoint: a checkpoint that was named besides the target.
        migration: the parts of the command that rewrites the checkpoint for the live optimizers.
    """
    inventories = [inventory, *([checkpoint] if checkpoint else [])]
    optimizers = [optimizer for observed_plan in observed for optimizer in observed_plan.optimizers.values()]
    findings = (
        *check_plan(plan),
        *check_unused_entries(plan),
        *check_name_rules(plan),
        *check_ties(plan),
        *check_made_in_forward(inventory, optimizers),
        *check_optimizers(observed),
        *check_checkpoint(inventories, optimizers),
        *check_resume(optimizers, {parameter.name: parameter.shape for parameter in inventory.parameters}, migration),
    )
    return in_order(findings)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings: errors first, then by code."""
    return tuple(sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.code)))


def check_optimizers(observed: Iterable[ObservedPlan]) -> tuple[Finding, ...]:
    """Compare live and saved optimizers with a plan: DA1xx, DA2xx (without DA205), DA305, DA4xx and DA5xx."""
    return tuple(
        finding for observed_plan in observed for check in _OPTIMIZER_CHECKS for finding in check(observed_plan)
    )
