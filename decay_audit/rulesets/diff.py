"""Rulesets compared on one model: with each other, and with what an optimizer does."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from math import isclose
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import PlanError
from decay_audit.model.horizon import DecayOverRun, Horizon
from decay_audit.model.observations import Observation
from decay_audit.roles.words import Classified, Role
from decay_audit.rulesets.plan import Decision, Plan, decide
from decay_audit.rulesets.ruleset import RuleSet, label

ANY_BASE = 1.0
"""The base coefficient for a ruleset whose own base is 0. With it, the plan shows what the ruleset would decay."""
_BASES_TO_TRY = 3
"""How many coefficients of an optimizer are tried as the base of a ruleset."""
_OTHER_OPTIMIZERS = DecayOverRun(reason="not known: the rulesets choose different optimizers for it")


class RulesetDecision(Struct, frozen=True, kw_only=True):
    """What one ruleset decides, and by which rule.

    Attributes:
        over_run: what decay then does over the run of `--steps`; None without that option.
    """

    weight_decay: float
    rule: str
    location: str = ""
    lenient: bool = False
    lr_scale: float = 1.0
    use: str | None = None
    over_run: DecayOverRun | None = None


class DecayPrediction(Struct, frozen=True, kw_only=True, eq=False):
    """A run, and a function that computes what decay comes to over it.

    Attributes:
        decay: takes the name of a parameter, its coefficient, and the factor on its lr.
    """

    horizon: Horizon
    decay: Callable[[str, float, float], DecayOverRun]


class RulesetDifference(Struct, frozen=True, kw_only=True):
    """Parameters of one role that the rulesets treat differently, by the same rules.

    Attributes:
        parameters: canonical names, in the model's order.
        sides: the decision of each ruleset, in the order of the rulesets.
    """

    role: Role
    parameters: tuple[str, ...]
    numel: int
    sides: tuple[RulesetDecision, ...]


class Gap(Struct, frozen=True, kw_only=True):
    """How many parameters and elements two rulesets (`first` and `second`, by index) treat differently."""

    first: int
    second: int
    parameters: int
    numel: int


class Refusal(Struct, frozen=True, kw_only=True):
    """A ruleset that refuses the model, and why."""

    ruleset: str
    reason: str


class RulesetComparison(Struct, frozen=True, kw_only=True):
    """Several rulesets on one model, all with the base coefficient `weight_decay`.

    Attributes:
        rulesets: the rulesets that decide every parameter, in the order given.
        differences: what they decide differently, the largest difference first.
        gaps: one for each pair of rulesets.
        refused: the rulesets that were left out, because they refuse a parameter.
        horizon: the run over which decay was computed; None if its length is not known.
    """

    rulesets: tuple[RuleSet, ...]
    weight_decay: float
    parameters: int
    numel: int
    differences: tuple[RulesetDifference, ...]
    gaps: tuple[Gap, ...]
    refused: tuple[Refusal, ...] = ()
    horizon: Horizon | None = None


class Mismatch(Struct, frozen=True, kw_only=True):
    """A parameter whose coefficient in the optimizer (`observed`) differs from that of the ruleset (`expected`).

    Attributes:
        expected, observed: None where the parameter is in no group.
    """

    parameter: str
    numel: int
    expected: float | None
    observed: float | None


class RulesetMatch(Struct, frozen=True, kw_only=True):
    """How well a ruleset reproduces the coefficients of an optimizer.

    Attributes:
        weight_decay: the base coefficient with which it fits best.
        parameters: how many parameters were compared.
        unplaced: how many were not compared, because their position in the saved optimizer is not known.
        unmatched: how many of the unplaced parameters cannot have the coefficient that the ruleset gives them.
        no_effect: the ruleset has rules or routes, but they treat all parameters of this model alike.
        scales: the ruleset changes the learning rate of some parameter of this model.
        same_rates: the optimizer's learning rates have the ratios of the ruleset; None if its rates are not known.
        routes: the ruleset gives this model's parameters to several optimizers, which is not compared.
        refused: why the ruleset does not decide this model; "" if it does.
        needs_model: the ruleset refuses because it needs facts that a checkpoint does not have.
    """

    ruleset: RuleSet
    weight_decay: float = 0.0
    parameters: int = 0
    unplaced: int = 0
    unmatched: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    scales: bool = False
    same_rates: bool | None = None
    routes: bool = False
    no_effect: bool = False
    refused: str = ""
    needs_model: bool = False

    @property
    def exact(self) -> bool:
        """Whether every coefficient is the one that the ruleset gives."""
        return not (self.mismatches or self.unmatched or self.refused)

    @property
    def numel(self) -> int:
        """How many elements have a coefficient that differs from the ruleset's."""
        return sum(mismatch.numel for mismatch in self.mismatches)


def compare(
    parameters: Sequence[Classified],
    rulesets: Sequence[RuleSet],
    weight_decay: float | None = None,
    prediction: DecayPrediction | None = None,
) -> RulesetComparison:
    """Find the parameters that rulesets treat differently, with one base coefficient for all of them.

    A ruleset that refuses a parameter is left out; `refused` has its name.

    Args:
        weight_decay: the base; if not given, the first of the rulesets' own bases that is not 0.
        prediction: adds what decay comes to under each ruleset.

    Raises:
        PlanError: fewer than two rulesets are left.
    """
    base = _first_base(rulesets) if weight_decay is None else weight_decay
    plans, errors = _plans(parameters, rulesets, base)
    deciding_rulesets = [ruleset for index, ruleset in enumerate(rulesets) if index in plans]
    if errors and len(deciding_rulesets) < 2:
        raise PlanError("\n".join(error.message for error in errors.values()), next(iter(errors.values())).hint)
    rows: list[tuple[Decision, ...]] = list(zip(*(plan.decisions for plan in plans.values()), strict=True))
    return RulesetComparison(
        rulesets=tuple(deciding_rulesets),
        weight_decay=base,
        parameters=len(rows),
        numel=sum(row[0].numel for row in rows),
        differences=_differences(rows, prediction),
        gaps=tuple(_gap(rows, first, second) for first, second in combinations(range(len(deciding_rulesets)), 2)),
        refused=tuple(Refusal(ruleset=rulesets[index].name, reason=error.message) for index, error in errors.items()),
        horizon=prediction.horizon if prediction else None,
    )


def rank_rulesets(
    parameters: Sequence[Classified],
    observations: Iterable[Observation],
    rulesets: Iterable[RuleSet],
    unplaced: Sequence[float] = (),
    rates: Mapping[str, tuple[str, float]] = MappingProxyType({}),
) -> tuple[RulesetMatch, ...]:
    """Rank rulesets by how well they reproduce what optimizers do, the best first.

    The most frequent coefficients of the optimizers are tried as a ruleset's base. If nothing decays, every ruleset
    fits with a base of 0, so the result is empty. Routes are not compared; a match says whether the ruleset has any
    on this model.

    Args:
        unplaced: the coefficients at positions whose parameter is not known. If there are any, a parameter without an
            observation may be at such a position; otherwise it is in no group.
        rates: for each parameter, its optimizer and its learning rate there. Rates are compared within one optimizer.
    """
    # reversed: of several observations of a parameter, the first counts
    observed = {observation.parameter: observation.weight_decay for observation in reversed(list(observations))}
    counts = Counter(value for value in (*observed.values(), *unplaced) if value)
    bases = [base for base, _ in counts.most_common(_BASES_TO_TRY)]
    matches = (
        [_best_match(parameters, observed, unplaced, ruleset, bases, rates) for ruleset in rulesets] if bases else []
    )
    return tuple(sorted(matches, key=_distance))


def _distance(match: RulesetMatch) -> tuple[bool, int, int, bool, bool]:
    differing = len(match.mismatches) + match.unmatched
    other_rates = match.scales if match.same_rates is None else not match.same_rates
    return bool(match.refused), differing, match.numel, other_rates or match.routes, match.no_effect


def _first_base(rulesets: Iterable[RuleSet]) -> float:
    return next((ruleset.weight_decay for ruleset in rulesets if ruleset.weight_decay), ANY_BASE)


def _plans(
    parameters: Sequence[Classified], rulesets: Sequence[RuleSet], base: float
) -> tuple[dict[int, Plan], dict[int, PlanError]]:
    """Return the plan of each ruleset, or its refusal, by the ruleset's index."""
    plans: dict[int, Plan] = {}
    errors: dict[int, PlanError] = {}
    for index, ruleset in enumerate(rulesets):
        try:
            plans[index] = decide(parameters, ruleset, base)
        except PlanError as error:
            errors[index] = error
    return plans, errors


def _differences(
    rows: Iterable[tuple[Decision, ...]], prediction: DecayPrediction | None
) -> tuple[RulesetDifference, ...]:
    members: dict[tuple[Role, tuple[RulesetDecision, ...]], list[Decision]] = {}
    for row in rows:
        if any(_differ(row[0], other) for other in row[1:]):
            same_optimizer = len({decision.use for decision in row}) == 1
            sides = tuple(_ruleset_decision(decision, prediction, same_optimizer=same_optimizer) for decision in row)
            members.setdefault((row[0].classified.role, sides), []).append(row[0])
    differences = [
        RulesetDifference(
            role=role,
            parameters=tuple(decision.name for decision in decisions),
            numel=sum(decision.numel for decision in decisions),
            sides=sides,
        )
        for (role, sides), decisions in members.items()
    ]
    return tuple(sorted(differences, key=lambda difference: -difference.numel))


def _ruleset_decision(
    decision: Decision, prediction: DecayPrediction | None, *, same_optimizer: bool
) -> RulesetDecision:
    over_run = None
    if prediction is not None:
        predicted = prediction.decay(decision.name, decision.weight_decay, decision.lr_scale)
        over_run = predicted if same_optimizer else _OTHER_OPTIMIZERS
    return RulesetDecision(
        weight_decay=decision.weight_decay,
        rule=decision.rule,
        location=decision.location,
        lenient=decision.lenient,
        lr_scale=decision.lr_scale,
        use=decision.use,
        over_run=over_run,
    )


def _gap(rows: Iterable[tuple[Decision, ...]], first: int, second: int) -> Gap:
    differing = [row[first].numel for row in rows if _differ(row[first], row[second])]
    return Gap(first=first, second=second, parameters=len(differing), numel=sum(differing))


def _differ(first: Decision, second: Decision) -> bool:
    """Tell whether a step would differ. A frozen parameter that one ruleset leaves out has no step to compare."""
    if not (first.grouped and second.grouped):
        return False
    return not (
        isclose(first.weight_decay, second.weight_decay, rel_tol=1e-9)
        and isclose(first.lr_scale, second.lr_scale, rel_tol=1e-9)
        and first.use == second.use
    )


def _best_match(
    parameters: Sequence[Classified],
    observed: Mapping[str, float],
    unplaced: Sequence[float],
    ruleset: RuleSet,
    bases: Sequence[float],
    rates: Mapping[str, tuple[str, float]],
) -> RulesetMatch:
    try:
        plans = [decide(parameters, ruleset, base) for base in bases]
    except PlanError as error:
        return RulesetMatch(ruleset=ruleset, refused=error.message)
    if labels := ", ".join(label(entry) for entry, _ in plans[0].entries_without_facts()):
        reason = f"needs facts that this source lacks: {labels}"
        return RulesetMatch(ruleset=ruleset, refused=reason, needs_model=True)
    matches = [_match(candidate.decisions, observed, unplaced, candidate.ruleset) for candidate in plans]
    best = min(matches, key=lambda match: _distance(match)[1:3])  # parameters, then elements
    return replace(best, ruleset=ruleset, same_rates=_has_same_rates(plans[0].decisions, rates))


def _has_same_rates(decisions: Iterable[Decision], rates: Mapping[str, tuple[str, float]]) -> bool | None:
    """Whether the learning rates of each optimizer have the ratios of the ruleset; None if no rate is known."""
    bases: dict[str, set[str]] = {}
    for decision in decisions:
        if decision.name in rates and decision.grouped and decision.lr_scale:
            optimizer, rate = rates[decision.name]
            bases.setdefault(optimizer, set()).add(f"{rate / decision.lr_scale:.3e}")
    return all(len(values) == 1 for values in bases.values()) if bases else None


def _match(
    decisions: Sequence[Decision], observed: Mapping[str, float], unplaced: Sequence[float], ruleset: RuleSet
) -> RulesetMatch:
    grouped = [decision for decision in decisions if decision.grouped]
    placed = [decision for decision in decisions if not unplaced or decision.name in observed]
    expected_unplaced = [decision.weight_decay for decision in grouped if unplaced and decision.name not in observed]
    treatments = {(decision.rule, decision.use) for decision in grouped}
    return RulesetMatch(
        ruleset=ruleset,
        weight_decay=ruleset.weight_decay,
        parameters=len(placed),
        unplaced=len(decisions) - len(placed),
        unmatched=(Counter(map(_rounded, expected_unplaced)) - Counter(map(_rounded, unplaced))).total(),
        mismatches=tuple(
            Mismatch(parameter=decision.name, numel=decision.numel, expected=expected, observed=coefficient)
            for decision in placed
            if not _equal(
                expected := decision.weight_decay if decision.grouped else None,
                coefficient := observed.get(decision.name),
            )
        ),
        scales=any(decision.lr_scale != 1.0 for decision in grouped),
        routes=len({use for _, use in treatments}) > 1,
        no_effect=bool(ruleset.rules or ruleset.routes) and len(treatments) == 1,
    )


def _rounded(weight_decay: float) -> str:
    return f"{weight_decay:.6e}"


def _equal(expected: float | None, observed: float | None) -> bool:
    if expected is None or observed is None:
        return expected is observed
    return isclose(expected, observed, rel_tol=1e-6)
