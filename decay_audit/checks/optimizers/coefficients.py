"""Compare what optimizers decay with what the ruleset decays: DA101, DA102, DA103, DA305, DA401 and DA402."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose
from operator import itemgetter

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, rules_with_locations, use_another_class
from decay_audit.checks.observed_plan import ObservedPlan, Pair, effective_weight_decay, has_known_decay
from decay_audit.checks.optimizers.products import find_other_products, has_scaled_product
from decay_audit.checks.plan import BIASES_AND_NORMS, by_leniency, declarations, is_inverted
from decay_audit.model.observations import Observation, ParamGroup
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import join_words

TOLERANCE = 1e-6
"""Relative difference up to which two coefficients are the same."""
_PRODUCT_FIX = "write `compare: product` in the ruleset if lr x weight_decay is what should agree"
_MAX_COEFFICIENTS = 5
"""How many coefficients, with their groups, one finding lists."""


def check_coefficients(observed: ObservedPlan) -> Iterator[Finding]:
    """Compare coefficients.

    If nothing decays, or if biases and norms decay and matrices do not, one finding says so, and the parameters are not
    reported again. These two findings look at strict decisions only. Parameters with unknown decay are left out.
    """
    grouped = [pair for pair in observed.pairs() if pair[0].grouped]
    unknown = {decision.name for decision, observation in grouped if not has_known_decay(observation)}
    pairs = [pair for pair in grouped if pair[0].name not in unknown]
    strict = [pair for pair in pairs if not pair[0].lenient]
    decayed = {decision.name for decision, observation in pairs if effective_weight_decay(observation)}
    if not unknown:
        if not decayed and any(decision.decays for decision, _ in strict):
            yield _nothing_decays_finding(observed, strict)
            return
        if is_inverted([decision for decision, _ in strict], lambda decision: decision.name in decayed):
            yield _inverted_finding(observed, strict)
            pairs = [pair for pair in pairs if pair[0].lenient]
    yield from _find_decayed(observed, pairs)
    yield from _find_spared(observed, [pair for pair in pairs if pair[0].name not in decayed])
    if observed.compared_fully:
        compare_products = observed.plan.ruleset.compare == "product"
        yield from (find_other_products if compare_products else _find_other_coefficients)(observed, pairs)
    yield from _find_decayed_against_declaration(observed)


def coefficient_in_use(plan: Plan, observations: Sequence[Observation]) -> float | None:
    """Find the base coefficient that optimizers use: the most frequent one on parameters that get the ruleset's base.

    A ruleset says which parameters decay. Its own base is only the default of the codebase that it comes from.
    Lenient decisions are used only if no strict decision has the base coefficient.
    """
    base = plan.ruleset.weight_decay
    with_base = [decision for decision in plan.decisions if decision.weight_decay == base and decision.decays]
    strict = [decision for decision in with_base if not decision.lenient]
    live = [observation for observation in observations if observation.origin == "live"]
    for decisions in (strict, with_base):
        names = {decision.name for decision in decisions}
        counts = Counter(
            coefficient
            for observation in live or observations
            if observation.parameter in names
            and has_known_decay(observation)
            and (coefficient := effective_weight_decay(observation))
        )
        if counts:
            return counts.most_common(1)[0][0]
    return None


def _nothing_decays_finding(observed: ObservedPlan, pairs: Sequence[Pair]) -> Finding:
    optimizers = tuple(observed.optimizers.values())
    without_decay = all(optimizer.semantics == "none" for optimizer in optimizers)
    ignores_coefficient = any(observation.weight_decay for _, observation in pairs)
    missed = [decision for decision, _ in pairs if decision.decays]
    agent_text = observed.agent_text()
    by_choice = _is_without_decay_by_choice(observed)
    if not ignores_coefficient and any(optimizer.step_hooks for optimizer in optimizers):
        return _step_hook_finding(observed, pairs, by_choice=by_choice)
    if by_choice:
        is_default = all(group.weight_decay_is_default is not False for group in _filled_groups(observed))
        code = "neither the code nor an option sets a coefficient" if is_default else "the code sets weight_decay 0"
        return finding(
            "DA401",
            f"nothing decays, because {code}; nothing was compared",
            _names(missed),
            expected="a coefficient, if anything should decay",
            found="weight_decay 0" + (", the default of the class" if is_default else ""),
            where=_groups(observed, pairs),
            fix="name the coefficient that you expect: --weight-decay X",
            severity="note",
        )
    return finding(
        "DA401",
        f"nothing {'is decayed' if agent_text else 'decays'}{agent_text}; "
        f"{_ruleset(observed)} decays {count_by_kind(missed)}",
        _names(missed),
        expected=f"weight_decay {coefficient_text(observed.plan.ruleset.weight_decay)}",
        found="steps that ignore weight_decay" if ignores_coefficient else "weight_decay 0 everywhere",
        where=_groups(observed, pairs),
        fix=use_another_class(observed.plan, optimizers, observed.target, observed.emit_options)
        if without_decay or ignores_coefficient
        else observed.emit_command(missed),
    )


def _step_hook_finding(observed: ObservedPlan, pairs: Sequence[Pair], *, by_choice: bool) -> Finding:
    hooks = [hook for optimizer in observed.optimizers.values() for hook in optimizer.step_hooks]
    verb = "runs" if len(hooks) == 1 else "run"
    return finding(
        "DA401",
        f"no group has a coefficient; {join_words(hooks)}, which {verb} at each step, may decay weights: "
        "nothing was compared",
        _names([decision for decision, _ in pairs if decision.decays]),
        expected=f"weight_decay {coefficient_text(observed.plan.ruleset.weight_decay)}",
        found="weight_decay 0 everywhere",
        where=_groups(observed, pairs),
        fix=f"set weight_decay in the groups, unless {join_words(hooks)} {'decays' if len(hooks) == 1 else 'decay'} "
        "the weights",
        severity="note" if by_choice else "warning",
    )


def _is_without_decay_by_choice(observed: ObservedPlan) -> bool:
    """Whether nobody asks for decay: no option gives a coefficient, and the ruleset is a preset for any model.

    The live groups have the default 0 of their class; or each optimizer has a single group, and the code sets 0 in it.
    Several groups that all have 0 are often the mistake of the condition that fills them.
    """
    is_default = all(group.weight_decay_is_default is not False for group in _filled_groups(observed))
    is_single = all(len(optimizer.groups) == 1 for optimizer in observed.optimizers.values())
    base_is_from_live = observed.origin == "live" and observed.coefficient_adopted
    is_zero = all(group.weight_decay == 0 for group in _filled_groups(observed))
    return base_is_from_live and observed.plan.ruleset.preset and is_zero and (is_default or is_single)


def _filled_groups(observed: ObservedPlan) -> list[ParamGroup]:
    return [group for optimizer in observed.optimizers.values() for group in optimizer.groups if group.parameters]


def _inverted_finding(observed: ObservedPlan, pairs: Sequence[Pair]) -> Finding:
    vectors = [
        decision
        for decision, observation in pairs
        if decision.classified.role in BIASES_AND_NORMS and effective_weight_decay(observation)
    ]
    return finding(
        "DA402",
        f"inverted: {count_by_kind(vectors)} {_are(vectors)} decayed{observed.agent_text()}, and no matrix is",
        _names(vectors),
        expected="matrices decay",
        found="only biases and norms decay",
        where=_groups(observed, pairs),
        fix=observed.emit_command(vectors),
    )


def _find_decayed(observed: ObservedPlan, pairs: Sequence[Pair]) -> Iterator[Finding]:
    spared = [pair for pair in pairs if not pair[0].decays and effective_weight_decay(pair[1])]
    for lenient, differing in by_leniency(spared, itemgetter(0)):
        decisions = _unique(differing)
        message = (
            f"{count_by_kind(decisions)} {_are(decisions)} decayed{observed.agent_text()}; "
            f"{_ruleset(observed)} spares {_them(decisions)}{_leniency_text(lenient=lenient)}"
        )
        yield _difference_finding(observed, "DA101", message, differing, expected="weight_decay 0")


def _find_spared(observed: ObservedPlan, pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find parameters that no optimizer decays: DA102. If one of two groups decays a parameter, DA202 reports it."""
    for lenient, differing in by_leniency([pair for pair in pairs if pair[0].decays], itemgetter(0)):
        decisions = _unique(differing)
        coefficients = sorted({coefficient_text(decision.weight_decay) for decision in decisions})
        message = (
            f"{count_by_kind(decisions)} {_are(decisions)} not decayed{observed.agent_text()}; "
            f"{_ruleset(observed)} decays {_them(decisions)}{_leniency_text(lenient=lenient)}"
        )
        expected = f"weight_decay {join_words(coefficients)}"
        yield _difference_finding(observed, "DA102", message, differing, expected=expected)


def _difference_finding(
    observed: ObservedPlan, code: str, message: str, pairs: Sequence[Pair], *, expected: str, where: str = ""
) -> Finding:
    """Make the finding on pairs that are all lenient or all strict. If they are lenient, it is a note without a fix.

    Args:
        where: by default, the rules that decided.
    """
    decisions = _unique(pairs)
    lenient = decisions[0].lenient
    return finding(
        code,
        message,
        _names(decisions),
        expected=expected,
        found=_coefficients(observed, pairs),
        where=where or rules_with_locations(decisions),
        fix="" if lenient else observed.emit_command(decisions) or _edit(observed, pairs, expected),
        severity="note" if lenient else None,
    )


def _edit(observed: ObservedPlan, pairs: Sequence[Pair], expected: str) -> str:
    """Say what to edit if no command makes the groups: they already have what is expected, or are another model's."""
    them = _them(_unique(pairs))
    if all(decision.weight_decay == observation.weight_decay for decision, observation in pairs):
        classes = join_words(list(dict.fromkeys(observed.optimizer(observation).type for _, observation in pairs)))
        return f"{_groups_have(observed, pairs, expected)}: read what step() of {classes} does with {them}"
    return f"put {them} into a group with {expected}"


def _groups_have(observed: ObservedPlan, pairs: Sequence[Pair], expected: str) -> str:
    groups = [observed.optimizer(observation).groups[observation.group] for _, observation in pairs]
    if any(group.coefficient_key for group in groups):
        return f"the groups already have {expected}"
    return "the groups have no weight_decay"


def _find_other_coefficients(observed: ObservedPlan, pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find coefficients that differ: one DA103 for each combination of expected and actual coefficient.

    If the plan took its base from one optimizer, another optimizer may still have its own base.
    """
    base = observed.plan.ruleset.weight_decay
    own_bases = _own_bases(observed, pairs) if observed.coefficient_adopted else {}
    causes: dict[tuple[bool, float, float], list[Pair]] = {}
    for decision, observation in pairs:
        expected, actual = decision.weight_decay, effective_weight_decay(observation)
        if expected == base and own_bases.get(observation.optimizer) == actual:
            continue
        if expected and actual and not isclose(expected, actual, rel_tol=TOLERANCE):
            causes.setdefault((decision.lenient, expected, actual), []).append((decision, observation))
    for (lenient, expected, actual), differing in causes.items():
        decisions = _unique(differing)
        expected_text, actual_text = coefficient_text(expected), coefficient_text(actual)
        same_product = all(has_scaled_product(observed, expected, observation) for _, observation in differing)
        note = lenient or same_product
        lenient_text = f"; {_ruleset(observed)} is lenient there"
        product_text = f"; but lr x {actual_text} equals {expected_text} x the lr of another group, as in muP"
        yield finding(
            "DA103",
            f"{count_by_kind(decisions)} {_are(decisions)} decayed{observed.agent_text()} with {actual_text}, "
            f"not {expected_text}" + (product_text if same_product else lenient_text if lenient else ""),
            _names(decisions),
            expected=f"weight_decay {expected_text}",
            found=_coefficients(observed, differing),
            where=rules_with_locations(decisions),
            fix=_coefficient_fix(expected_text, actual_text, is_base=expected == base)
            if not note
            else _PRODUCT_FIX
            if same_product
            else "",
            severity="note" if note else None,
        )


def _coefficient_fix(expected: str, actual: str, *, is_base: bool) -> str:
    """Say how to change the coefficient. The option replaces the ruleset's base only."""
    return f"set weight_decay={expected}" + (f", or audit with --weight-decay {actual}" if is_base else "")


def _own_bases(observed: ObservedPlan, pairs: Sequence[Pair]) -> dict[str, float]:
    """Find the base coefficient of each optimizer.

    It is the coefficient of the parameters that get the ruleset's base; an optimizer with several such coefficients is
    left out. Lenient decisions count only if the optimizer has no strict decision.
    """
    strict: dict[str, set[float]] = {}
    lenient: dict[str, set[float]] = {}
    for decision, observation in pairs:
        coefficient = effective_weight_decay(observation)
        if decision.weight_decay == observed.plan.ruleset.weight_decay and coefficient:
            coefficients = lenient if decision.lenient else strict
            coefficients.setdefault(observation.optimizer, set()).add(coefficient)
    return {name: min(values) for name, values in (lenient | strict).items() if len(values) == 1}


def _find_decayed_against_declaration(observed: ObservedPlan) -> Iterator[Finding]:
    """Find decayed parameters that the model excludes: DA305. `checks.plan` reports those that the ruleset decays."""
    declared = [
        (decision, observation)
        for decision, observation in observed.pairs()
        if decision.classified.parameter.declared_no_decay
        and has_known_decay(observation)
        and effective_weight_decay(observation)
        and not decision.decays
    ]
    for _, differing in by_leniency(declared, itemgetter(0)):
        decisions = _unique(differing)
        methods = declarations(
            sorted({decision.classified.parameter.declared_no_decay or "" for decision in decisions})
        )
        message = (
            f"{count_by_kind(decisions)} {_are(decisions)} decayed although the model excludes {_them(decisions)}: "
            f"{methods}"
        )
        yield _difference_finding(observed, "DA305", message, differing, expected="spared", where=methods)


def _coefficients(observed: ObservedPlan, pairs: Sequence[Pair]) -> str:
    """Write the coefficients and their groups: `weight_decay 0.0005 in group 0 of SGD, measured 0.0001`."""
    by_coefficient: dict[tuple[str, str], list[Observation]] = {}
    for _, observation in pairs:
        effective = effective_weight_decay(observation)
        measured = f", measured {coefficient_text(effective)}" if effective != observation.weight_decay else ""
        by_coefficient.setdefault((coefficient_text(observation.weight_decay), measured), []).append(observation)
    texts = [
        f"weight_decay {declared} in {observed.group_names(observations)}{measured}"
        for (declared, measured), observations in by_coefficient.items()
    ]
    return "; ".join(texts[:_MAX_COEFFICIENTS]) + ("; ..." if len(texts) > _MAX_COEFFICIENTS else "")


def _groups(observed: ObservedPlan, pairs: Sequence[Pair]) -> str:
    return observed.group_names(observation for _, observation in pairs)


def _ruleset(observed: ObservedPlan) -> str:
    return observed.plan.ruleset.name


def _unique(pairs: Sequence[Pair]) -> list[Decision]:
    return list({decision.name: decision for decision, _ in pairs}.values())


def _names(decisions: Sequence[Decision]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(decision.name for decision in decisions))


def _leniency_text(*, lenient: bool) -> str:
    return ", but accepts both" if lenient else ""


def _are(decisions: Sequence[Decision]) -> str:
    return "is" if len(decisions) == 1 else "are"


def _them(decisions: Sequence[Decision]) -> str:
    return "it" if len(decisions) == 1 else "them"
