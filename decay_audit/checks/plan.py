"""Check a plan by itself: parameters without a role, ignored declarations, rules that lack facts, inverted decay."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from decay_audit.checks.codes import Finding, finding
from decay_audit.roles.words import Role
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.rulesets.ruleset import RuleSet, RulesetEntry, label
from decay_audit.text import count_noun, first_few, join_words

T = TypeVar("T")

MATRICES: frozenset[Role] = frozenset({"conv_weight", "linear_weight", "recurrent_weight"})
"""The roles of matrices, which usually decay."""
BIASES_AND_NORMS: frozenset[Role] = frozenset({"bias", "norm_weight", "norm_bias"})
"""The roles of vectors, which usually do not decay."""

_MAX_LOCATIONS = 3
"""How many locations one finding names."""
_TENSOR_ATTRIBUTE = "_no_weight_decay"
"""The attribute by which a tensor itself declares that it does not decay."""
_NUMBER_IN_NAME = re.compile(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)")
"""A number as one word of a dotted name, as in `h.0.mlp`."""


def check_plan(plan: Plan) -> tuple[Finding, ...]:
    """Find what is wrong with the plan itself: DA304 to DA306, DA401 and DA402."""
    return (
        *_find_unclassified(plan),
        *_find_decayed_against_declaration(plan),
        *_find_rules_without_facts(plan),
        *_find_no_decay(plan),
        *_find_inversion(plan),
    )


def _find_unclassified(plan: Plan) -> Iterator[Finding]:
    unknown = [decision for decision in plan.decisions if decision.classified.role == "unclassified"]
    if unknown and _asks_roles(plan.ruleset):
        pronoun = "it" if len(unknown) == 1 else "them"
        yield finding(
            "DA304",
            parameters=_names(unknown),
            message=f"{_count(unknown)} could not be classified; rules on roles do not match {pronoun}",
            expected="a role",
            found="unclassified",
            fix=f"{_how_to_classify(unknown)}add a rule by name",
        )


def _asks_roles(ruleset: RuleSet) -> bool:
    """Whether any condition of a ruleset is on roles; otherwise an unclassified parameter is no problem."""
    decay = ruleset.layer_decay
    conditions = [rule.when for rule in ruleset.rules] + [scale.when for scale in ruleset.lr_scale]
    conditions += [route.when for route in ruleset.routes if route.when is not None]
    if decay is not None:
        conditions += [layer.when for layer in decay.layers or ()] + ([decay.when] if decay.when is not None else [])
    return any("role" in keys for keys in (when.keys() for when in conditions))


def _how_to_classify(unknown: Sequence[Decision]) -> str:
    """Say how to find the roles: name the model of a checkpoint, or trace a model that was not traced."""
    if not any(decision.classified.parameter.owner.types for decision in unknown):
        return "name the model that was saved: --model TARGET, or "
    traced = all(decision.classified.parameter.uses is not None for decision in unknown)
    return "" if traced else "run with --trace to classify by use, or "


def _find_decayed_against_declaration(plan: Plan) -> Iterator[Finding]:
    differing = [
        decision for decision in plan.decisions if decision.decays and decision.classified.parameter.declared_no_decay
    ]
    for lenient, members in by_leniency(differing, lambda decision: decision):
        declared = sorted({decision.classified.parameter.declared_no_decay or "" for decision in members})
        yield finding(
            "DA305",
            parameters=_names(members),
            message=f"{plan.ruleset.name} decays {_count(members)} that the model excludes from decay in "
            f"{declarations(declared)}",
            expected="spared",
            found="decayed",
            where=first_few(sorted({decision.location or decision.rule for decision in members}), _MAX_LOCATIONS),
            fix="" if lenient else _sparing_rules(plan, declared),
            severity="note" if lenient else None,
        )


def by_leniency(items: Iterable[T], decision: Callable[[T], Decision]) -> Iterator[tuple[bool, list[T]]]:
    """Split items by whether their decision is lenient, strict ones first. A kind without items is left out."""
    split: dict[bool, list[T]] = {False: [], True: []}
    for item in items:
        split[decision(item).lenient].append(item)
    return ((lenient, members) for lenient, members in split.items() if members)


def declarations(declared: Sequence[str]) -> str:
    """List a few of the methods that exclude parameters. Methods that differ only in a number become one (`h.*`).

    >>> declarations(["h.0.no_weight_decay()", "h.1.no_weight_decay()", "no_weight_decay()"])
    'h.*.no_weight_decay() and no_weight_decay()'
    """
    patterns = {method: _NUMBER_IN_NAME.sub("*", method) for method in declared}
    counts = Counter(patterns.values())
    listed = list(dict.fromkeys(pattern if counts[pattern] > 1 else method for method, pattern in patterns.items()))
    return first_few(listed, _MAX_LOCATIONS) if len(listed) > _MAX_LOCATIONS else join_words(listed)


def _sparing_rules(plan: Plan, declared: Sequence[str]) -> str:
    """Write rules that spare the declared parameters; a tensor, the model or a submodule may have declared them."""
    methods = [declaration for declaration in declared if declaration != _TENSOR_ATTRIBUTE]
    forms = [
        "glob",
        "keywords",
        *(["patterns"] if any(method.endswith("patterns()") for method in methods) else []),
        *(["submodules"] if any("." in method for method in methods) else []),
    ]
    conditions = [f"declared_no_decay: [{', '.join(forms)}]"] if methods else []
    conditions += [f"attribute: {_TENSOR_ATTRIBUTE}"] if _TENSOR_ATTRIBUTE in declared else []
    rules = join_words(
        [
            f"`{{name: declared{index or ''}, when: {{{condition}}}, decay: false}}`"
            for index, condition in enumerate(conditions)
        ]
    )
    where = f"a ruleset that has `extends: {plan.ruleset.name}`" if plan.ruleset.preset else "the ruleset"
    return f"put {rules} first among the rules of {where}"


class _MissingFacts(Struct, frozen=True, kw_only=True):
    """Facts that a source may lack, and how to get them."""

    expected: str
    found: str
    fix: str


_FACTS: Mapping[frozenset[str], _MissingFacts] = {
    frozenset({"scale_invariant", "inert"}): _MissingFacts(
        expected="measured scale invariance",
        found="not measured",
        fix="measure it: --invariance, in Python audit(invariance=True)",
    ),
    frozenset({"rests_at", "feeds"}): _MissingFacts(
        expected="a trace of the forward pass",
        found="not traced",
        fix="trace it: --trace, or --trace SHAPE if the input shapes cannot be inferred",
    ),
    frozenset(): _MissingFacts(
        expected="classes, declarations or attributes of a model",
        found="names, shapes and dtypes",
        fix="name the model as well: --model TARGET",
    ),
}
"""By the keys of the conditions that need them; the last for all other keys."""


def _keys(entry: RulesetEntry) -> frozenset[str]:
    """Return the keys of the condition of an entry."""
    return frozenset() if entry.when is None else entry.when.keys()


def _find_rules_without_facts(plan: Plan) -> Iterator[Finding]:
    for entry, parameters in plan.entries_without_facts():
        facts = next(text for keys, text in _FACTS.items() if keys & _keys(entry) or not keys)
        yield finding(
            "DA306",
            parameters=parameters,
            message=f"{label(entry)} needs facts that this source lacks; it was not applied to {_count(parameters)}",
            expected=facts.expected,
            found=facts.found,
            where=entry.location,
            fix=facts.fix,
        )


def _find_no_decay(plan: Plan) -> Iterator[Finding]:
    coefficients = [rule.amount.coefficient(plan.ruleset.weight_decay) for rule in plan.ruleset.rules]
    is_set = plan.ruleset.weight_decay > 0 or any(coefficient > 0 for coefficient in coefficients)
    # a model of scalars and vectors alone, such as a learned temperature, is rightly spared whole
    has_matrix = any(_is_matrix(decision) for decision in plan.decisions)
    if is_set and has_matrix and not any(decision.decays for decision in plan.decisions):
        yield finding(
            "DA401",
            parameters=_names(plan.decisions),
            message=f"nothing decays, although {plan.ruleset.name} has weight_decay {plan.ruleset.weight_decay:g}",
            expected=f"weight_decay {plan.ruleset.weight_decay:g}",
            found="every parameter spared",
        )


def _is_matrix(decision: Decision) -> bool:
    """Whether a parameter is one that usually decays, or may be one: nothing is known of it but two sizes above 1."""
    classified = decision.classified
    if classified.role == "unclassified":
        return sum(size > 1 for size in classified.parameter.shape) > 1
    return classified.role in MATRICES | {"embedding", "adapter_weight"}


def _find_inversion(plan: Plan) -> Iterator[Finding]:
    vectors = [
        decision for decision in plan.decisions if decision.decays and decision.classified.role in BIASES_AND_NORMS
    ]
    if vectors and is_inverted(plan.decisions, lambda decision: decision.decays):
        yield finding(
            "DA402",
            parameters=_names(vectors),
            message=f"inverted: {_count(vectors)} (biases and norms) decay, and no matrix does",
            expected="matrices decay",
            found="only biases and norms decay",
            where=join_words(sorted({decision.location or decision.rule for decision in vectors})),
        )


def is_inverted(decisions: Sequence[Decision], decays: Callable[[Decision], bool]) -> bool:
    """Whether matrices exist and none decays, while a bias or a norm parameter does."""
    matrices = [decision for decision in decisions if decision.classified.role in MATRICES and decision.grouped]
    vectors = [decision for decision in decisions if decision.classified.role in BIASES_AND_NORMS]
    return bool(matrices) and not any(map(decays, matrices)) and any(map(decays, vectors))


def _names(decisions: Iterable[Decision]) -> tuple[str, ...]:
    return tuple(decision.name for decision in decisions)


def _count(parameters: Sequence[object]) -> str:
    return count_noun(len(parameters), "parameter")
