"""Compare rulesets on one model: with each other, with an optimizer, or with the codebase that a ruleset comes from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from decay_audit import roles, rulesets
from decay_audit.api.functions import load_rules
from decay_audit.api.loading import LoadedTarget
from decay_audit.api.observing import ObservedOptimizers, observe
from decay_audit.api.pipeline import coefficient_of_optimizers, make_plan, require_coefficient
from decay_audit.api.request import Request
from decay_audit.checks.optimizers.learning_rates import initial_rate
from decay_audit.errors import DecayAuditError, PlanError
from decay_audit.model.horizon import Horizon, Rotation
from decay_audit.model.observations import Observation, Optimizer, UpdateFormula
from decay_audit.reports.report import Report
from decay_audit.roles.words import Classified
from decay_audit.rulesets import diff, explanation
from decay_audit.rulesets.conformance import Conformance, differences
from decay_audit.rulesets.diff import DecayPrediction, RulesetComparison, RulesetMatch
from decay_audit.rulesets.explanation import Explanation
from decay_audit.rulesets.ruleset import RuleSet

if TYPE_CHECKING:
    from decay_audit.rulesets.importing import Imported


def compare(loaded: LoadedTarget, rules: "Sequence[str | Path | RuleSet]", request: Request) -> RulesetComparison:
    """Find the parameters that rulesets treat differently.

    With the length of the run and an optimizer, also compute what the differences come to. The base coefficient is then
    that of the optimizer, unless the request names one.

    Raises:
        DecayAuditError: a ruleset cannot be loaded, fewer than two have an answer, the coefficient is not a number, or
            there is no optimizer for the run.
    """
    require_coefficient(request.weight_decay)
    classified, rulesets_compared = roles.classify(loaded.inventory.parameters), [load_rules(name) for name in rules]
    weight_decay, observed = request.weight_decay, ObservedOptimizers()
    if request.steps is not None or request.schedule is not None or request.epoch_steps is not None:
        observed = observe(loaded, request)
        if weight_decay is None:
            weight_decay = _coefficient_in_use(classified, rulesets_compared, observed.observations)
    prediction = None
    if observed.horizon is not None and observed.decay_with is not None:
        prediction = DecayPrediction(horizon=observed.horizon, decay=observed.decay_with)
    return diff.compare(classified, rulesets_compared, weight_decay, prediction)


def _coefficient_in_use(
    classified: tuple[Classified, ...], rulesets_compared: Sequence[RuleSet], observations: tuple[Observation, ...]
) -> float | None:
    """Find the base coefficient of optimizers by the first ruleset that decides the model."""
    for ruleset in rulesets_compared:
        try:
            base = coefficient_of_optimizers(classified, ruleset, observations)
        except PlanError:
            continue
        if base is not None:
            return base
    return None


def which(loaded: LoadedTarget, request: Request) -> tuple[RulesetMatch, ...]:
    """Rank the presets by how well they match what the requested or the saved optimizer does.

    Raises:
        DecayAuditError: there is no optimizer, or it cannot be made.
    """
    observed = observe(loaded, request)
    if not observed.optimizers:
        raise DecayAuditError(
            "there is no optimizer to compare the presets with",
            "name one: --optimizer EXPRESSION, or a checkpoint that holds its state",
        )
    groups = [group for optimizer in observed.optimizers for group in optimizer.groups]
    unnamed_coefficients = [group.weight_decay for group in groups for name in group.parameters if not name]
    classified = roles.classify(loaded.inventory.parameters)
    return diff.rank_rulesets(
        classified, observed.observations, _presets(), unnamed_coefficients, _learning_rates(observed)
    )


def _learning_rates(observed: ObservedOptimizers) -> dict[str, tuple[str, float]]:
    """Find the learning rate of each parameter, with the name of its optimizer."""
    rates: dict[str, tuple[str, float]] = {}
    for optimizer in observed.optimizers:
        for index, group in enumerate(optimizer.groups):
            rate = initial_rate(optimizer, index)
            if rate:
                rates |= {name: (optimizer.name, rate) for name in group.parameters if name and name not in rates}
    return rates


def explain(name: str, report: Report) -> Explanation:
    """Collect all that a report says of one parameter, with what every other preset would decide.

    Raises:
        DecayAuditError: there is no such parameter.
    """
    others = [preset for preset in _presets() if preset.name != report.plan.ruleset.name]
    explained = explanation.explain(report.plan, name, others, report.observations)
    updates = tuple(_update_formula(observation, report) for observation in explained.observations)
    if explained.decision.classified.parameter.trainable is False:
        # a step skips a frozen parameter: it has no gradient
        updates = tuple(replace(update, zero_gradient="") for update in updates)
    return replace(
        explained,
        updates=updates,
        horizon=_horizon_of(explained.decision.name, report.horizon),
        rotations=tuple(_rotations(explained, report)),
    )


def _rotations(explained: Explanation, report: Report) -> Iterator[Rotation]:
    """Compute how far each optimizer turns a scale-invariant weight in the long run, where a formula is known."""
    from decay_audit.optimizers.horizon.equilibrium import rotation

    scaling = explained.decision.classified.parameter.scaling
    if scaling is None or scaling.effect != "scale-invariant":
        return
    for observation in explained.observations:
        optimizer = _optimizer_of(observation, report)
        radians = rotation(optimizer, optimizer.groups[observation.group])
        if radians is not None:
            yield Rotation(optimizer=optimizer.type, radians=radians)


def _horizon_of(parameter: str, horizon: Horizon | None) -> Horizon | None:
    """Keep of a horizon only the groups that hold a parameter."""
    if horizon is None:
        return None
    return replace(horizon, groups=tuple(group for group in horizon.groups if parameter in group.parameters))


def verify(loaded: LoadedTarget, imported: "Imported") -> Conformance:
    """Decide a model by an imported ruleset, and compare with the codebase's own function where it can be called.

    Raises:
        PlanError: the ruleset has no answer for a parameter.
    """
    ruleset = rulesets.from_text(imported.text, "the imported ruleset")
    base = ruleset.weight_decay or 1.0  # the rules may only give multiples of a coefficient from another file
    plan = make_plan(roles.classify(loaded.inventory.parameters), ruleset, base)
    target = loaded.inventory.target
    if loaded.built is None:
        reason = f"{target} is a checkpoint, and {imported.source} needs a live model"
        return Conformance(plan=plan, target=target, not_compared=reason)
    from decay_audit.api.comparing import codebases

    try:
        codebase = codebases.version(imported.source)
        treatments = codebases.treatments(imported.source, loaded.built.model, imported.configuration, base)
    except codebases.CodebaseUnavailableError as error:
        return Conformance(plan=plan, target=target, not_compared=error.message)
    return Conformance(plan=plan, target=target, codebase=codebase, differences=differences(plan, treatments))


def _presets() -> list[RuleSet]:
    return [rulesets.load(name) for name in rulesets.presets()]


def _update_formula(observation: Observation, report: Report) -> UpdateFormula:
    from decay_audit.optimizers import formulas

    optimizer = _optimizer_of(observation, report)
    return formulas.update_formula(optimizer, optimizer.groups[observation.group])


def _optimizer_of(observation: Observation, report: Report) -> Optimizer:
    key = (observation.optimizer, observation.origin)
    return next(optimizer for optimizer in report.optimizers if (optimizer.name, optimizer.origin) == key)
