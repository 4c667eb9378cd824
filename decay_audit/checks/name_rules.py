"""Find rules on names that cover less than they seem to.

Either a pattern in a list matches no parameter, or a rule spares only some parameters of a kind. Only the project's own
rules are checked: a preset repeats the rules of its source, which are for many models.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import count_by_kind
from decay_audit.roles.words import FAMILIES, Role
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.matching import compile_when
from decay_audit.rulesets.plan import DEFAULT, Decision, Plan
from decay_audit.rulesets.ruleset import Rule
from decay_audit.text import join_words

_PATTERN_KEYS = ("name", "name_regex", "owner_name")
_UNIFORM_KINDS: tuple[tuple[Role, ...], ...] = (FAMILIES["norm"], ("bias",))
"""Kinds of parameters of which code usually spares all or decays all."""


def check_name_rules(plan: Plan) -> tuple[Finding, ...]:
    """Find patterns in lists that match nothing, and kinds of parameters that a rule spares only in part (DA307)."""
    if plan.ruleset.preset:
        return ()
    own_rules = [rule for rule in plan.ruleset.rules if rule.file == plan.ruleset.file]
    matched = plan.counts_by_rule()
    return (
        *chain.from_iterable(_find_dead_patterns(rule, plan) for rule in own_rules if matched.get(rule.name)),
        *chain.from_iterable(_find_split_kinds(rule, plan) for rule in own_rules),
    )


def _find_dead_patterns(rule: Rule, plan: Plan) -> Iterator[Finding]:
    dead = [*_dead_patterns(rule.when, plan)]
    if dead:
        verb = "matches" if len(dead) == 1 else "match"
        yield finding(
            "DA307",
            message=f"rule {rule.name}: {join_words([f'`{pattern}`' for pattern in dead])} {verb} no parameter of this "
            "model; its other patterns do",
            expected="every pattern matches a parameter",
            found=", ".join(dead),
            where=rule.location,
            fix="correct the pattern, or delete it",
        )


def _dead_patterns(when: When, plan: Plan) -> Iterator[str]:
    """Yield each pattern that matches no parameter, from every list of two or more patterns in a condition."""
    for key in _PATTERN_KEYS:
        patterns = getattr(when, key)
        if not isinstance(patterns, tuple) or len(patterns) < 2:
            continue
        for pattern in patterns:
            holds = compile_when(When(**{key: pattern}), plan.ruleset.names)
            if not any(holds(decision.classified) for decision in plan.decisions):
                yield pattern
    for inner in (*(when.any_ or ()), *(when.all_ or ())):
        yield from _dead_patterns(inner, plan)


def _find_split_kinds(rule: Rule, plan: Plan) -> Iterator[Finding]:
    """Find parameters that decay because no name matches, while a rule spares others of the same class by name."""
    if not _is_by_name_alone(rule.when) or rule.lenient:
        return
    decided = [decision for decision in plan.decisions if decision.rule == rule.name and decision.grouped]
    kind = _uniform_kind(decided)
    if kind is None or any(decision.decays for decision in decided) or _owner_count(decided) < 2:
        return
    classes = {_class(decision) for decision in decided}
    catch_alls = _rules_for_all_kinds(plan)
    missed = [
        decision
        for decision in plan.decisions
        if decision.decays
        and decision.classified.role in kind
        and _class(decision) in classes
        and decision.rule in catch_alls
    ]
    if missed:
        yield finding(
            "DA307",
            parameters=tuple(decision.name for decision in missed),
            message=f"rule {rule.name} spares {count_by_kind(decided)} by name alone; {count_by_kind(missed)} of the "
            f"same class {'decays' if len(missed) == 1 else 'decay'}, because no name fits",
            expected="spared",
            found="decayed",
            where=rule.location,
            fix=f"use the role in place of the name: when: {{role: [{', '.join(kind)}]}}",
        )


def _is_by_name_alone(when: When) -> bool:
    return bool(when.keys()) and when.keys() <= {*_PATTERN_KEYS, "any"}


def _uniform_kind(decisions: Sequence[Decision]) -> tuple[Role, ...] | None:
    """Return the kind of `_UNIFORM_KINDS` to which all parameters belong; None if there is no such kind."""
    roles = {decision.classified.role for decision in decisions}
    return next((kind for kind in _UNIFORM_KINDS if roles and roles <= {*kind}), None)


def _owner_count(decisions: Sequence[Decision]) -> int:
    return len({decision.classified.parameter.owner.name for decision in decisions})


def _class(decision: Decision) -> tuple[str, str]:
    """Return the class of the module that holds the parameter, and the kind of its layer."""
    types = decision.classified.parameter.owner.types
    return types[0] if types else "", decision.classified.layer


def _rules_for_all_kinds(plan: Plan) -> frozenset[str]:
    """Name the rules that do not single out a kind of parameter: the default, and rules that decide several kinds."""
    roles: Mapping[str, set[Role]] = {rule.name: set() for rule in plan.ruleset.rules}
    for decision in plan.decisions:
        if decision.rule in roles:
            roles[decision.rule].add(decision.classified.role)
    for_all_kinds = {name for name, decided in roles.items() if not any(decided <= {*kind} for kind in _UNIFORM_KINDS)}
    return frozenset({DEFAULT, *for_all_kinds})
