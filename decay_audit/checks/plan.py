"""What a plan alone gives away: rules that match nothing, parameters nobody knows, a policy turned upside down."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from decay_audit.checks.codes import Finding, finding
from decay_audit.roles.words import Classified, Role
from decay_audit.rulesets.conditions import NameForm
from decay_audit.rulesets.matching import compile_when
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.rulesets.ruleset import Rule
from decay_audit.text import count_noun, first_few, join_words

MATRICES: frozenset[Role] = frozenset({"conv_weight", "linear_weight", "recurrent_weight"})
BIASES_AND_NORMS: frozenset[Role] = frozenset({"bias", "norm_weight", "norm_bias"})

_BY_NAME = frozenset({"name", "name_regex", "owner_name", "declared_no_decay"})
_ABOUT_WHAT_IT_IS = frozenset(
    {"role", "layer", "declared_no_decay", "attribute", "trainable", "tied", "any", "all", "not"}
)

SHOWN = 3
"""How many places one finding names."""
_ATTRIBUTE = "_no_weight_decay"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)")


def check_plan(plan: Plan) -> tuple[Finding, ...]:
    """Find what is wrong with the plan itself: DA301 to DA306, DA401 and DA402."""
    return (
        *_idle_rules(plan),
        *_wrapper_rules(plan),
        *_unclassified(plan),
        *_declared(plan),
        *_unknowable(plan),
        *_nothing_decays(plan),
        *_inverted(plan),
    )


def _idle_rules(plan: Plan) -> Iterator[Finding]:
    """DA301 and DA302: rules that decided nothing, and whether earlier rules took all that they match.

    A rule of a preset is as its source has it: that another rule was faster is no mistake, and neither is a model
    without what the rule describes.
    """
    matched = plan.matched()
    for rule in plan.ruleset.rules:
        if matched.get(rule.name) or rule.name in plan.unknown:
            continue
        borrowed = plan.ruleset.preset or rule.file != plan.ruleset.file
        holds = compile_when(rule.when, plan.ruleset.names)
        taken = [decision for decision in plan.decisions if holds(decision.classified)]
        if not taken and not (borrowed and rule.when.keys() <= _ABOUT_WHAT_IT_IS):
            yield finding(
                "DA301",
                message=f"rule {rule.name} matches no parameter of this model",
                expected="at least one parameter",
                found="0 parameters",
                where=rule.location,
            )
        shadows = sorted({decision.rule for decision in taken if decision.grouped})
        if shadows and not borrowed:
            yield finding(
                "DA302",
                parameters=_names(taken),
                message=f"rule {rule.name} never decides: {join_words(shadows)} took all {len(taken)} that it matches",
                expected=rule.name,
                found=", ".join(shadows),
                where=rule.location,
            )


def _wrapper_rules(plan: Plan) -> Iterator[Finding]:
    """DA303: rules whose answer depends on the prefixes that DDP, torch.compile or FSDP put before a name."""
    wrapped = [one.classified for one in plan.decisions if one.classified.parameter.raw_name != one.name]
    if not wrapped:
        return
    for rule in plan.ruleset.rules:
        if rule.when.keys().isdisjoint(_BY_NAME):
            continue
        with_prefix, without = (_holding(rule, wrapped, names) for names in ("raw", "canonical"))
        for only, missing, words in ((with_prefix, without, "with"), (without, with_prefix, "without")):
            if differ := [name for name in only if name not in missing]:
                first = next(one.parameter for one in wrapped if one.parameter.name == differ[0])
                yield finding(
                    "DA303",
                    parameters=tuple(differ),
                    message=f"rule {rule.name} matches {_count(differ)} only {words} the wrapper's prefix",
                    expected=first.name,
                    found=first.raw_name,
                    where=rule.location,
                )


def _holding(rule: Rule, subjects: Iterable[Classified], names: NameForm) -> dict[str, None]:
    holds = compile_when(rule.when, names)
    return {subject.parameter.name: None for subject in subjects if holds(subject)}


def _unclassified(plan: Plan) -> Iterator[Finding]:
    unknown = [decision for decision in plan.decisions if decision.classified.role == "unclassified"]
    if unknown:
        them = "it" if len(unknown) == 1 else "them"
        yield finding(
            "DA304",
            parameters=_names(unknown),
            message=f"{_count(unknown)} could not be classified; rules by role do not see {them}",
            expected="a role",
            found="unclassified",
            fix=f"{_better(unknown)}add a rule by name",
        )


def _better(unknown: Sequence[Decision]) -> str:
    """Say how more could be known: of a module by its use, unless that was seen; of a checkpoint by its model."""
    if not any(one.classified.parameter.owner.types for one in unknown):
        return "name the model that was saved: --model TARGET, or "
    traced = all(one.classified.parameter.uses is not None for one in unknown)
    return "" if traced else "run with --trace to classify by use, or "


def _declared(plan: Plan) -> Iterator[Finding]:
    declared = [one for one in plan.decisions if one.decays and one.classified.parameter.declared_no_decay]
    if declared:
        hooks = sorted({one.classified.parameter.declared_no_decay or "" for one in declared})
        yield finding(
            "DA305",
            parameters=_names(declared),
            message=f"{plan.ruleset.name} decays {_count(declared)} that the model declares in {declarations(hooks)}",
            expected="spared",
            found="decayed",
            where=first_few(sorted({one.location or one.rule for one in declared}), SHOWN),
            fix=_sparing(plan, hooks),
        )


def declarations(hooks: Sequence[str]) -> str:
    """Name places that declare, a few of them and those that only differ in a number as one: `h.*.no_weight_decay()`.

    >>> declarations(["h.0.no_weight_decay()", "h.1.no_weight_decay()", "no_weight_decay()"])
    'h.*.no_weight_decay() and no_weight_decay()'
    """
    alike = Counter(_NUMBER.sub("*", hook) for hook in hooks)
    folded = list(dict.fromkeys(same if alike[same := _NUMBER.sub("*", hook)] > 1 else hook for hook in hooks))
    return first_few(folded, SHOWN) if len(folded) > SHOWN else join_words(folded)


def _sparing(plan: Plan, hooks: Sequence[str]) -> str:
    """The rules that spare what was declared there: on the tensors, by the root, or by modules inside."""
    methods = [hook for hook in hooks if hook != _ATTRIBUTE]
    forms = ["glob", "keywords", *(["submodules"] if any("." in hook for hook in methods) else [])]
    asked = [f"declared_no_decay: [{', '.join(forms)}]"] if methods else []
    asked += [f"attribute: {_ATTRIBUTE}"] if _ATTRIBUTE in hooks else []
    rules = join_words(
        [f"`{{name: declared{at or ''}, when: {{{one}}}, decay: false}}`" for at, one in enumerate(asked)]
    )
    where = f"a ruleset that has `extends: {plan.ruleset.name}`" if plan.ruleset.preset else "the ruleset"
    return f"put {rules} first among the rules of {where}"


def _unknowable(plan: Plan) -> Iterator[Finding]:
    places = {rule.name: rule.location for rule in plan.ruleset.rules}
    for rule, parameters in plan.unknown.items():
        yield finding(
            "DA306",
            parameters=parameters,
            message=f"rule {rule} asks what this source cannot know; it was not applied to {_count(parameters)}",
            expected="owner classes, hints or attributes of a model",
            found="names, shapes and dtypes",
            where=places.get(rule, ""),
            fix="name the model as well: --model TARGET",
        )


def _nothing_decays(plan: Plan) -> Iterator[Finding]:
    coefficients = [rule.amount.coefficient(plan.ruleset.weight_decay) for rule in plan.ruleset.rules]
    asked = plan.ruleset.weight_decay > 0 or any(coefficient > 0 for coefficient in coefficients)
    if asked and plan.decisions and not any(decision.decays for decision in plan.decisions):
        yield finding(
            "DA401",
            parameters=_names(plan.decisions),
            message=f"nothing decays, although {plan.ruleset.name} has weight_decay {plan.ruleset.weight_decay:g}",
            expected=f"weight_decay {plan.ruleset.weight_decay:g}",
            found="every parameter spared",
        )


def _inverted(plan: Plan) -> Iterator[Finding]:
    vectors = [one for one in plan.decisions if one.decays and one.classified.role in BIASES_AND_NORMS]
    if vectors and inverted(plan.decisions, lambda decision: decision.decays):
        yield finding(
            "DA402",
            parameters=_names(vectors),
            message=f"inverted: {_count(vectors)} (biases and norms) decay, and no matrix does",
            expected="matrices decay",
            found="only biases and norms decay",
            where=join_words(sorted({one.location or one.rule for one in vectors})),
        )


def inverted(decisions: Sequence[Decision], decays: Callable[[Decision], bool]) -> bool:
    """Whether matrices exist and none decays, while a bias or a norm parameter does."""
    matrices = [one for one in decisions if one.classified.role in MATRICES and one.grouped]
    vectors = [one for one in decisions if one.classified.role in BIASES_AND_NORMS]
    return bool(matrices) and not any(map(decays, matrices)) and any(map(decays, vectors))


def _names(decisions: Iterable[Decision]) -> tuple[str, ...]:
    return tuple(decision.name for decision in decisions)


def _count(parameters: Sequence[object]) -> str:
    return count_noun(len(parameters), "parameter")
