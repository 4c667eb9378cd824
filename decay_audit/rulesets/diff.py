"""Rulesets against each other on one model, and against what an optimizer does: values in, values out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import isclose

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import PlanError
from decay_audit.model.observations import Observation
from decay_audit.roles.words import Classified, Role
from decay_audit.rulesets.plan import Decision, Plan, plan
from decay_audit.rulesets.ruleset import RuleSet, label

ANY_BASE = 1.0
"""A coefficient for rulesets that have none but 0, so that what they would decay is seen."""
_MOST_BASES = 3


class RulesetDecision(Struct, frozen=True, kw_only=True):
    """What one ruleset decides, and by which rule."""

    weight_decay: float
    rule: str
    location: str = ""
    lr_scale: float = 1.0
    use: str | None = None


class RulesetDifference(Struct, frozen=True, kw_only=True):
    """Parameters of one role that the rulesets treat differently, by the same rules.

    Attributes:
        parameters: canonical names, in the model's order.
        sides: one for each ruleset, in their order.
    """

    role: Role
    parameters: tuple[str, ...]
    numel: int
    sides: tuple[RulesetDecision, ...]


class Gap(Struct, frozen=True, kw_only=True):
    """How much two rulesets differ: places in the list of rulesets, parameters and elements."""

    first: int
    second: int
    parameters: int
    numel: int


class Refusal(Struct, frozen=True, kw_only=True):
    """A ruleset without an answer for the model, and why."""

    ruleset: str
    reason: str


class RulesetComparison(Struct, frozen=True, kw_only=True):
    """Several rulesets on one model, all with the base coefficient `weight_decay`.

    Attributes:
        rulesets: those that have an answer, in the order given.
        differences: the largest first.
        gaps: one for each pair of rulesets.
        refused: the rulesets that were left out.
    """

    rulesets: tuple[RuleSet, ...]
    weight_decay: float
    parameters: int
    numel: int
    differences: tuple[RulesetDifference, ...]
    gaps: tuple[Gap, ...]
    refused: tuple[Refusal, ...] = ()


class Mismatch(Struct, frozen=True, kw_only=True):
    """A parameter that an optimizer treats otherwise than a ruleset; None is in no group."""

    parameter: str
    numel: int
    expected: float | None
    found: float | None


class RulesetMatch(Struct, frozen=True, kw_only=True):
    """How well a ruleset tells what an optimizer does.

    Attributes:
        weight_decay: the base coefficient under which it tells it best.
        parameters: how many were compared.
        unplaced: how many were not, because nobody knows at which position they are.
        unmatched: how many of those find no position with the coefficient that the ruleset gives them.
        no_effect: it has rules or routes, and none of them makes a difference to this model.
        scales: it changes the learning rate of some parameter of this model, which is not compared.
        routes: it gives this model's parameters to several optimizers, which is not compared.
        refused: why the ruleset has no answer for this model; "" if it has.
        needs_model: that is because it asks what the source does not know.
    """

    ruleset: RuleSet
    weight_decay: float = 0.0
    parameters: int = 0
    unplaced: int = 0
    unmatched: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    scales: bool = False
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
        """Elements that are treated otherwise."""
        return sum(one.numel for one in self.mismatches)


def compare(
    subjects: Sequence[Classified], rulesets: Sequence[RuleSet], weight_decay: float | None = None
) -> RulesetComparison:
    """Find the parameters that rulesets treat differently, with one base coefficient for all of them.

    A ruleset that has no answer for a parameter is left out, and named.

    Args:
        weight_decay: the base; the first ruleset's that is not 0 if not given.

    Raises:
        PlanError: fewer than two rulesets are left.
    """
    base = _base(rulesets) if weight_decay is None else weight_decay
    plans, errors = _plans(subjects, rulesets, base)
    answering = [ruleset for index, ruleset in enumerate(rulesets) if index in plans]
    if errors and len(answering) < 2:
        raise PlanError("\n".join(error.message for error in errors.values()), next(iter(errors.values())).hint)
    rows: list[tuple[Decision, ...]] = list(zip(*(one.decisions for one in plans.values()), strict=True))
    return RulesetComparison(
        rulesets=tuple(answering),
        weight_decay=base,
        parameters=len(rows),
        numel=sum(row[0].numel for row in rows),
        differences=_differences(rows),
        gaps=tuple(_gap(rows, first, second) for first, second in combinations(range(len(answering)), 2)),
        refused=tuple(Refusal(ruleset=rulesets[index].name, reason=error.message) for index, error in errors.items()),
    )


def which(
    subjects: Sequence[Classified],
    observations: Iterable[Observation],
    rulesets: Iterable[RuleSet],
    unplaced: Sequence[float] = (),
) -> tuple[RulesetMatch, ...]:
    """Rank rulesets by how well they tell what optimizers do, the best first.

    Learning rates and routes are not compared; a match says whether the ruleset has any on this model.

    A ruleset's base coefficient is taken to be one of those observed. Where nothing decays every ruleset would fit
    with a base of 0, which tells nothing: the answer is empty.

    Args:
        unplaced: the coefficients at positions of which nobody knows the parameter. Where there are any, a parameter
            without an observation may be at one of them; else it is in no group.
    """
    found = {one.parameter: one.weight_decay for one in reversed(list(observations))}
    counts = Counter(value for value in (*found.values(), *unplaced) if value)
    bases = [base for base, _ in counts.most_common(_MOST_BASES)]
    matches = [_best(subjects, found, unplaced, ruleset, bases) for ruleset in rulesets] if bases else []
    return tuple(sorted(matches, key=_distance))


def _distance(match: RulesetMatch) -> tuple[bool, int, int, bool, bool]:
    differing = len(match.mismatches) + match.unmatched
    return bool(match.refused), differing, match.numel, match.scales or match.routes, match.no_effect


def _base(rulesets: Iterable[RuleSet]) -> float:
    return next((ruleset.weight_decay for ruleset in rulesets if ruleset.weight_decay), ANY_BASE)


def _plans(
    subjects: Sequence[Classified], rulesets: Sequence[RuleSet], base: float
) -> tuple[dict[int, Plan], dict[int, PlanError]]:
    """The plan of each ruleset, or the reason why there is none, by its place in the list."""
    plans: dict[int, Plan] = {}
    errors: dict[int, PlanError] = {}
    for index, ruleset in enumerate(rulesets):
        try:
            plans[index] = plan(subjects, ruleset, base)
        except PlanError as error:
            errors[index] = error
    return plans, errors


def _differences(rows: Iterable[tuple[Decision, ...]]) -> tuple[RulesetDifference, ...]:
    members: dict[tuple[Role, tuple[RulesetDecision, ...]], list[Decision]] = {}
    for row in rows:
        if any(_differ(row[0], other) for other in row[1:]):
            members.setdefault((row[0].classified.role, tuple(map(_side, row))), []).append(row[0])
    differences = [
        RulesetDifference(
            role=role,
            parameters=tuple(one.name for one in decisions),
            numel=sum(one.numel for one in decisions),
            sides=sides,
        )
        for (role, sides), decisions in members.items()
    ]
    return tuple(sorted(differences, key=lambda one: -one.numel))


def _side(decision: Decision) -> RulesetDecision:
    return RulesetDecision(
        weight_decay=decision.weight_decay,
        rule=decision.rule,
        location=decision.location,
        lr_scale=decision.lr_scale,
        use=decision.use,
    )


def _gap(rows: Iterable[tuple[Decision, ...]], first: int, second: int) -> Gap:
    apart = [row[first].numel for row in rows if _differ(row[first], row[second])]
    return Gap(first=first, second=second, parameters=len(apart), numel=sum(apart))


def _differ(one: Decision, other: Decision) -> bool:
    """Whether a step would differ. A frozen parameter that one ruleset leaves out has no step to compare."""
    if not (one.grouped and other.grouped):
        return False
    return not (
        isclose(one.weight_decay, other.weight_decay, rel_tol=1e-9)
        and isclose(one.lr_scale, other.lr_scale, rel_tol=1e-9)
        and one.use == other.use
    )


def _best(
    subjects: Sequence[Classified],
    found: Mapping[str, float],
    unplaced: Sequence[float],
    ruleset: RuleSet,
    bases: Sequence[float],
) -> RulesetMatch:
    try:
        plans = [plan(subjects, ruleset, base) for base in bases]
    except PlanError as error:
        return RulesetMatch(ruleset=ruleset, refused=error.message)
    if unanswered := ", ".join(label(entry) for entry, _ in plans[0].unanswered()):
        reason = f"asks what this source cannot know: {unanswered}"
        return RulesetMatch(ruleset=ruleset, refused=reason, needs_model=True)
    matches = [_match(decided.decisions, found, unplaced, decided.ruleset) for decided in plans]
    best = min(matches, key=lambda one: (len(one.mismatches) + one.unmatched, one.numel))
    return replace(best, ruleset=ruleset)


def _match(
    decisions: Sequence[Decision], found: Mapping[str, float], unplaced: Sequence[float], ruleset: RuleSet
) -> RulesetMatch:
    placed = [one for one in decisions if not unplaced or one.name in found]
    others = [one.weight_decay for one in decisions if unplaced and one.grouped and one.name not in found]
    expected = [(one, one.weight_decay if one.grouped else None, found.get(one.name)) for one in placed]
    chosen = {(one.rule, one.use) for one in decisions if one.grouped}
    return RulesetMatch(
        ruleset=ruleset,
        weight_decay=ruleset.weight_decay,
        parameters=len(placed),
        unplaced=len(decisions) - len(placed),
        unmatched=(Counter(map(_rounded, others)) - Counter(map(_rounded, unplaced))).total(),
        mismatches=tuple(
            Mismatch(parameter=one.name, numel=one.numel, expected=wanted, found=is_)
            for one, wanted, is_ in expected
            if not _equal(wanted, is_)
        ),
        scales=any(one.lr_scale != 1.0 for one in decisions if one.grouped),
        routes=len({use for _, use in chosen}) > 1,
        no_effect=bool(ruleset.rules or ruleset.routes) and len(chosen) == 1,
    )


def _rounded(weight_decay: float) -> str:
    return f"{weight_decay:.6e}"


def _equal(wanted: float | None, found: float | None) -> bool:
    if wanted is None or found is None:
        return wanted is found
    return isclose(wanted, found, rel_tol=1e-6)
