"""What optimizers decay, against what the ruleset asks for: DA101, DA102, DA103, DA305, DA401 and DA402."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose

from decay_audit.checks import fixes
from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.phrases import kinds, number, places
from decay_audit.checks.plan import BIASES_AND_NORMS, declarations, inverted
from decay_audit.checks.view import Side, effective
from decay_audit.model.observations import Observation
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import join_words

Pair = tuple[Decision, Observation]
TOLERANCE = 1e-6
"""Relative difference up to which two coefficients are the same."""


def check_coefficients(side: Side) -> Iterator[Finding]:
    """Compare coefficients. Where nothing decays, or all is upside down, that is said once, and not per parameter."""
    pairs = [(decision, seen) for decision, seen in side.pairs() if decision.grouped]
    decayed = {decision.name for decision, seen in pairs if effective(seen)}
    if pairs and not decayed and any(decision.decays for decision, _ in pairs):
        yield _nothing(side, pairs)
        return
    if inverted([decision for decision, _ in pairs], lambda decision: decision.name in decayed):
        yield _inverted(side, pairs)
        return
    yield from _decayed(side, pairs)
    yield from _spared(side, [(decision, seen) for decision, seen in pairs if decision.name not in decayed])
    if side.first:
        yield from _other(side, pairs)
    yield from _declared(side)


def coefficient_in_use(plan: Plan, observations: Sequence[Observation]) -> float | None:
    """Find the base coefficient that an optimizer works with: what most parameters get that the ruleset decays fully.

    A ruleset says which parameters decay; its own number is only the default of the codebase that it comes from.
    """
    full = {one.name for one in plan.decisions if one.weight_decay == plan.ruleset.weight_decay and one.decays}
    live = [one for one in observations if one.origin == "live"]
    counts = Counter(effective(one) for one in live or observations if one.parameter in full and effective(one))
    return counts.most_common(1)[0][0] if counts else None


def _nothing(side: Side, pairs: Sequence[Pair]) -> Finding:
    optimizers = tuple(side.optimizers.values())
    without = all(one.semantics == "none" for one in optimizers)
    missed = [decision for decision, _ in pairs if decision.decays]
    return finding(
        "DA401",
        f"nothing {'is decayed' if side.by() else 'decays'}{side.by()}: {_ruleset(side)} asks for {kinds(missed)}",
        _names(missed),
        expected=f"weight_decay {number(side.plan.ruleset.weight_decay)}",
        found="weight_decay 0 everywhere",
        where=_groups(side, pairs),
        fix=fixes.another(side.plan, optimizers, side.target) if without else side.fix(),
    )


def _inverted(side: Side, pairs: Sequence[Pair]) -> Finding:
    vectors = [one for one, seen in pairs if one.classified.role in BIASES_AND_NORMS and effective(seen)]
    return finding(
        "DA402",
        f"inverted: {kinds(vectors)} are decayed{side.by()}, and no matrix is",
        _names(vectors),
        expected="matrices decay",
        found="only biases and norms decay",
        where=_groups(side, pairs),
        fix=side.fix(),
    )


def _decayed(side: Side, pairs: Sequence[Pair]) -> Iterator[Finding]:
    differ = [(decision, seen) for decision, seen in pairs if not decision.decays and effective(seen)]
    if differ:
        decisions = _unique(differ)
        yield finding(
            "DA101",
            f"{kinds(decisions)} {_are(decisions)} decayed{side.by()}; {_ruleset(side)} spares {_them(decisions)}",
            _names(decisions),
            expected="weight_decay 0",
            found=_said(side, differ),
            where=places(decisions),
            fix=side.fix(),
        )


def _spared(side: Side, pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Say it of what none decays: that a parameter is held twice, with and without, is a finding of its own."""
    differ = [(decision, seen) for decision, seen in pairs if decision.decays]
    if differ:
        decisions = _unique(differ)
        wanted = sorted({number(decision.weight_decay) for decision in decisions})
        yield finding(
            "DA102",
            f"{kinds(decisions)} {_are(decisions)} not decayed{side.by()}; {_ruleset(side)} decays {_them(decisions)}",
            _names(decisions),
            expected=f"weight_decay {join_words(wanted)}",
            found=_said(side, differ),
            where=places(decisions),
            fix=side.fix(),
        )


def _other(side: Side, pairs: Sequence[Pair]) -> Iterator[Finding]:
    """One finding for each pair of coefficients that differ.

    A base coefficient that nobody asked for is only that of one optimizer: another may have its own, if it has one.
    """
    base = side.plan.ruleset.weight_decay
    own = _own_bases(side, pairs) if side.adopted else {}
    causes: dict[tuple[float, float], list[Pair]] = {}
    for decision, seen in pairs:
        wanted, got = decision.weight_decay, effective(seen)
        if wanted == base and own.get(seen.optimizer) == got:
            continue
        if wanted and got and not isclose(wanted, got, rel_tol=TOLERANCE):
            causes.setdefault((wanted, got), []).append((decision, seen))
    for (wanted, got), differ in causes.items():
        decisions = _unique(differ)
        yield finding(
            "DA103",
            f"{kinds(decisions)} {_are(decisions)} decayed{side.by()} with {number(got)}, not {number(wanted)}",
            _names(decisions),
            expected=f"weight_decay {number(wanted)}",
            found=_said(side, differ),
            where=places(decisions),
            fix=f"set weight_decay={number(wanted)}, or audit with --weight-decay {number(got)}",
        )


def _own_bases(side: Side, pairs: Sequence[Pair]) -> dict[str, float]:
    """The coefficient that each optimizer gives to all that the ruleset decays fully, by its name."""
    given: dict[str, set[float]] = {}
    for decision, seen in pairs:
        if decision.weight_decay == side.plan.ruleset.weight_decay and effective(seen):
            given.setdefault(seen.optimizer, set()).add(effective(seen))
    return {name: min(values) for name, values in given.items() if len(values) == 1}


def _declared(side: Side) -> Iterator[Finding]:
    """What the ruleset decays as well is said of the plan."""
    ignored = [
        (decision, seen)
        for decision, seen in side.pairs()
        if decision.classified.parameter.declared_no_decay and effective(seen) and not decision.decays
    ]
    if ignored:
        decisions = _unique(ignored)
        hooks = sorted({one.classified.parameter.declared_no_decay or "" for one in decisions})
        yield finding(
            "DA305",
            f"{kinds(decisions)} {_are(decisions)} decayed that the model declares in {declarations(hooks)}",
            _names(decisions),
            expected="spared",
            found=_said(side, ignored),
            where=declarations(hooks),
            fix=side.fix(),
        )


def _said(side: Side, pairs: Sequence[Pair]) -> str:
    """The coefficients in these groups: `weight_decay 0.0005 in group 0 of SGD`, measured ones as such."""
    seen = {_one(side, observation): None for _, observation in pairs}
    return "; ".join([*seen][:5]) + ("; ..." if len(seen) > 5 else "")


def _one(side: Side, observation: Observation) -> str:
    measured = effective(observation) != observation.weight_decay
    word = f"weight_decay {number(observation.weight_decay)} in {side.location(observation)}"
    return f"{word}, measured {number(effective(observation))}" if measured else word


def _groups(side: Side, pairs: Sequence[Pair]) -> str:
    return join_words(list({side.location(observation): None for _, observation in pairs})[:5])


def _ruleset(side: Side) -> str:
    return side.plan.ruleset.name


def _unique(pairs: Sequence[Pair]) -> list[Decision]:
    return list({decision.name: decision for decision, _ in pairs}.values())


def _names(decisions: Sequence[Decision]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(decision.name for decision in decisions))


def _are(decisions: Sequence[Decision]) -> str:
    return "is" if len(decisions) == 1 else "are"


def _them(decisions: Sequence[Decision]) -> str:
    return "it" if len(decisions) == 1 else "them"
