"""A Request becomes a Report: load, classify, decide, observe, compare. This is the only way to a Report."""

from math import isfinite
from pathlib import Path

from msgspec.structs import replace

from decay_audit import roles, rulesets
from decay_audit.api import locking
from decay_audit.api.loading import LoadedTarget, load
from decay_audit.api.observing import ObservedOptimizers, observe
from decay_audit.api.request import Request
from decay_audit.checks import (
    check,
    check_over_run,
    check_scaling,
    coefficient_in_use,
    in_order,
    observed_plans,
    selected_codes,
)
from decay_audit.checks.resume import Migration
from decay_audit.errors import DecayAssertionError, DecayAuditError
from decay_audit.model.choices import CoefficientSource, Severity
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, OptimizerOrigin
from decay_audit.reports.report import Report
from decay_audit.roles.words import Classified
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.rulesets.ruleset import RuleSet


def run(request: Request, loaded: LoadedTarget | None = None) -> Report:
    """Read, decide, observe and compare what a request asks for.

    Args:
        loaded: what `load` returned for a request with the same `loading_key`; by default, the target is loaded.

    Raises:
        DecayAuditError: the model or the optimizer cannot be read, made or stepped; the ruleset cannot be loaded or has
            no answer for a parameter; a lock cannot be read; or a code to select or ignore does not exist.
    """
    selected_codes.select_codes(request.select, request.ignore)  # refuses unknown codes before anything is read
    loaded = loaded or load(request)
    return report_on(loaded, observe(loaded, request), request)


def report_on(loaded: LoadedTarget, observed: ObservedOptimizers, request: Request) -> Report:
    """Decide and compare what was read and observed.

    Raises:
        DecayAuditError: the ruleset cannot be loaded or has no answer for a parameter, a lock cannot be read, or a code
            does not exist.
    """
    codes = selected_codes.select_codes(request.select, request.ignore)
    lock = None if request.lock is None else locking.read(Path(request.lock))
    ruleset = request.ruleset or rulesets.load(request.rules)
    classified = roles.classify(loaded.inventory.parameters)
    weight_decay = request.weight_decay
    from_optimizers = weight_decay is None and bool(observed.observations)
    if from_optimizers:
        weight_decay = coefficient_of_optimizers(classified, ruleset, observed.observations)
    source: CoefficientSource = "optimizer" if from_optimizers and weight_decay is not None else "ruleset"
    plan = make_plan(classified, ruleset, weight_decay)
    plans = observed_plans(
        plan,
        observed.optimizers,
        observed.observations,
        request.model or request.target,  # where code for the parameters can be made and run
        emit_options=_emit_options(request),
        of_other_models=loaded.of_other_models,
        coefficient_adopted=from_optimizers,
    )
    findings = check(
        loaded.inventory,
        plan,
        plans,
        checkpoint=observed.checkpoint,
        migration=_migration(request, observed.checkpoint or loaded.inventory),
    )
    if observed.horizon is not None:
        findings = in_order([*findings, *check_over_run(observed.horizon, plan)])
    findings = in_order([*findings, *check_scaling(plan, observed.observations)])
    report = Report(
        inventory=loaded.inventory,
        plan=plan,
        optimizers=observed.optimizers,
        observations=observed.observations,
        findings=findings,
        horizon=observed.horizon,
        weight_decay_from=source if request.weight_decay is None else "option",
    )
    if lock is not None:
        report = locking.compare(report, lock, request)
    return replace(report, findings=tuple(finding for finding in report.findings if finding.code in codes))


def _migration(request: Request, checkpoint: Inventory) -> Migration | None:
    """List the parts of the command that rewrites a checkpoint for the optimizer of a request, if it has one."""
    if request.optimizer is None:
        return None
    options = [
        *(["--device", request.device] if request.device != "auto" else []),
        *(["--key", request.key] if request.key is not None else []),
    ]
    return Migration(
        checkpoint=request.checkpoint or request.target,
        optimizer=request.optimizer,
        model=request.model or request.target,
        options=tuple(options),
        opaque=bool(checkpoint.opaque),
    )


def _emit_options(request: Request) -> dict[OptimizerOrigin, tuple[str, ...]]:
    """List the options with which `emit` reads the same model and makes its optimizers again, by their origin."""
    options = [
        *(["--device", request.device] if request.device != "auto" else []),
        *([f"--trace={request.trace}"] if request.trace is not None else []),
        *(["--no-trace"] if request.no_trace else []),
        *(["--key", request.key] if request.key is not None else []),
    ]
    checkpoint = request.checkpoint or request.target
    return {
        "live": (*options, "--like", request.optimizer) if request.optimizer else tuple(options),
        "checkpoint": (*options, "--like", checkpoint),
    }


def make_plan(classified: tuple[Classified, ...], ruleset: RuleSet, weight_decay: float | None = None) -> Plan:
    """Decide every parameter by a ruleset.

    Raises:
        DecayAuditError: the ruleset has no answer for a parameter, or the coefficient is not a number >= 0.
    """
    require_coefficient(weight_decay)
    return decide(classified, ruleset, weight_decay)


def require_coefficient(weight_decay: float | None) -> None:
    """Refuse a coefficient that is not a finite number >= 0; None leaves it to the ruleset."""
    if weight_decay is not None and not (isfinite(weight_decay) and weight_decay >= 0):
        raise DecayAuditError(f"weight_decay is {weight_decay}", "it must be a finite number, 0 or more")


def coefficient_of_optimizers(
    classified: tuple[Classified, ...], ruleset: RuleSet, observations: tuple[Observation, ...]
) -> float | None:
    """Find the base coefficient that the optimizers use.

    A ruleset says which parameters decay. Its own number is only the default of the codebase that it comes from, so the
    optimizers' number replaces it unless the user set one.
    """
    decaying = make_plan(classified, ruleset, ruleset.weight_decay or 1.0)  # with a base of 0 nothing would decay
    return coefficient_in_use(decaying, observations)


def raise_on_findings(report: Report, fail_on: Severity) -> None:
    """Fail if a finding is at least as severe as `fail_on`.

    Raises:
        DecayAssertionError: there are such findings; its message is the verdict and the findings.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test, and not the code of this package
    if selected_codes.has_failure(report.findings, fail_on):
        from decay_audit import reports

        raise DecayAssertionError(f"{reports.verdict(report)}\n\n{reports.render_findings(report)}")
