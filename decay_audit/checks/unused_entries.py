"""Find entries of a ruleset that have no effect, and rules that match only with or only without a wrapper's prefix."""

from collections.abc import Iterator, Sequence

from decay_audit.checks.codes import Finding, finding
from decay_audit.rulesets.conditions import NameForm, When
from decay_audit.rulesets.matching import MatchingParameters, compile_when
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.rulesets.ruleset import Route, Rule, RulesetEntry, label
from decay_audit.text import count_noun, join_words

_NAME_KEYS = frozenset({"name", "name_regex", "owner_name", "declared_no_decay"})
"""Keys whose answer may change with the prefix that a wrapper puts before a name."""
_PATTERN_KEYS = ("name", "leaf", "owner_name", "name_regex", "leaf_regex")
"""Keys whose values are names or patterns of names."""
_ROLE_KEYS = frozenset({"role", "layer", "owner", "owner_exact", "owner_class", "within"})
"""Keys that ask for a role or for a class."""
_KIND_KEYS = frozenset({"role", "layer", "declared_no_decay", "attribute", "trainable", "tied", "any", "all", "not"})
"""A preset's rule with only these keys asks for a kind of parameter, which a model may simply not have: no finding."""


def check_unused_entries(plan: Plan) -> tuple[Finding, ...]:
    """Find rules that match nothing (DA301), never decide (DA302), or depend on a prefix (DA303).

    Entries of `lr_scale`, `layer_decay` and `optimizer` that match nothing are DA301, too.

    A preset repeats the rules of its source, which are for many models. So the rules of a preset never give DA302, and
    they give DA301 only if none of them matches this model. The layer numbers of a preset give DA301 only if they
    change no learning rate; its `optimizer` entries give DA301 only if an optimizer gets no parameter.
    """
    # their conditions ask for what the source does not tell, such as the classes in a checkpoint
    without_facts = {id(entry) for entry, _ in plan.entries_without_facts()}
    return (
        *_find_unused_rules(plan, without_facts),
        *_find_unused_other_entries(plan),
        *_find_unused_layers(plan, without_facts),
        *_find_unused_routes(plan, without_facts),
        *_find_unused_exclusions(plan),
        *_find_prefix_rules(plan),
    )


def _find_unused_rules(plan: Plan, without_facts: set[int]) -> Iterator[Finding]:
    matched, parameters = plan.counts_by_rule(), _parameters(plan.decisions, plan.ruleset.names)
    inherited_rules = [rule for rule in plan.ruleset.rules if _is_inherited(plan, rule.location)]
    source_applies = any(
        matched.get(rule.name) or id(rule) in without_facts or parameters.positions(rule.when)
        for rule in inherited_rules
    )
    for rule in plan.ruleset.rules:
        if matched.get(rule.name) or id(rule) in without_facts:
            continue
        matching_decisions = [plan.decisions[position] for position in parameters.positions(rule.when)]
        inherited = rule in inherited_rules
        if not matching_decisions and not (inherited and (source_applies or rule.when.keys() <= _KIND_KEYS)):
            yield _unmatched_finding(rule)
        earlier_rules = sorted({decision.rule for decision in matching_decisions if decision.grouped})
        if earlier_rules and not inherited:
            yield finding(
                "DA302",
                parameters=tuple(decision.name for decision in matching_decisions),
                message=f"rule {rule.name} never decides: {join_words(earlier_rules)} already "
                f"{'decides' if len(earlier_rules) == 1 else 'decide'} every parameter that it matches "
                f"({len(matching_decisions)})",
                expected=rule.name,
                found=", ".join(earlier_rules),
                where=rule.location,
            )


def _find_unused_other_entries(plan: Plan) -> Iterator[Finding]:
    """Find entries of the ruleset's own `lr_scale`, `layer_decay` and `optimizer` that match nothing."""
    for entry, when in _other_entries(plan):
        if _is_inherited(plan, entry.location):
            continue
        holds = compile_when(when, plan.ruleset.names)
        if all(holds(decision.classified) is False for decision in plan.decisions):
            yield _unmatched_finding(entry)


def _other_entries(plan: Plan) -> Iterator[tuple[RulesetEntry, When]]:
    """Yield the entries of `lr_scale`, `layer_decay` and `optimizer` that have a condition."""
    ruleset = plan.ruleset
    yield from ((scale, scale.when) for scale in ruleset.lr_scale)
    if (decay := ruleset.layer_decay) is not None:
        if decay.when is not None:
            yield decay, decay.when
        yield from ((layer, layer.when) for layer in decay.layers or ())
    yield from ((route, route.when) for route in ruleset.routes if route.when is not None)


def _find_unused_layers(plan: Plan, without_facts: set[int]) -> Iterator[Finding]:
    """Find layer numbers of a preset, or of the model itself, that change no learning rate."""
    decay = plan.ruleset.layer_decay
    if decay is None or decay.rate == 1.0 or not (decay.layers is None or _is_inherited(plan, decay.location)):
        return
    layers_lack_facts = not without_facts.isdisjoint(map(id, (decay, *(decay.layers or ()))))
    if not layers_lack_facts and all(decision.layer_scale == 1.0 for decision in plan.decisions):
        yield finding(
            "DA301",
            message=f"layer_decay of {plan.ruleset.name} matches no layer of this model",
            expected="learning rates that fall with depth",
            found="the same learning rate for every layer",
            where=decay.location,
        )


def _find_unused_routes(plan: Plan, without_facts: set[int]) -> Iterator[Finding]:
    """Find optimizers that a preset names and that get no parameter of this model."""
    first_routes = {route.use: route for route in reversed(_inherited_routes(plan))}  # reversed: the first one stays
    uses = {decision.use for decision in plan.decisions}
    for use, route in first_routes.items():
        routes = [route for route in plan.ruleset.routes if route.use == use]
        if use not in uses and without_facts.isdisjoint(map(id, routes)):
            yield _unmatched_finding(route, f", so {use} gets no parameter", _other_preset(plan, use))


def _find_unused_exclusions(plan: Plan) -> Iterator[Finding]:
    """Find optimizer entries of a preset that exclude parameters by names which this model does not have.

    An entry that also asks for a role or a class was written for any model: its names may be absent.
    """
    parameters = _parameters(plan.decisions, plan.ruleset.names)
    for route in _inherited_routes(plan):
        if route.when is None or route.when.not_ is None or not _ROLE_KEYS.isdisjoint(route.when.keys()):
            continue
        patterns = _name_patterns(route.when.not_)
        if patterns and not any(map(parameters.positions, patterns)):
            names = join_words([word for when in patterns for word in _pattern_words(when)])
            yield finding(
                "DA301",
                message=f"{label(route)} excludes {names} from {route.use}, and no parameter of this model has such a "
                f"name: the preset was written for another model",
                expected="at least one parameter",
                found="0 parameters",
                where=route.location,
                fix=_other_preset(plan, route.use),
            )


def _other_preset(plan: Plan, use: str) -> str:
    """Name a preset that gives an optimizer its parameters by role; "" if there is none."""
    if use != "muon":
        return ""
    if plan.ruleset.name == "muon":
        return "--rules muon-stacked, if your Muon takes stacked experts and convolutions"
    return "--rules muon, which finds the matrices of hidden layers by their role, in any model"


def _inherited_routes(plan: Plan) -> list[Route]:
    return [route for route in plan.ruleset.routes if route.when is not None and _is_inherited(plan, route.location)]


def _name_patterns(when: When) -> list[When]:
    """Split a condition into its conditions on names, one for each key."""
    inner_conditions = (*(when.any_ or ()), *(when.all_ or ()))
    conditions = [When(**{key: value}) for key in _PATTERN_KEYS if (value := getattr(when, key)) is not None]
    return conditions + [pattern for inner in inner_conditions for pattern in _name_patterns(inner)]


def _pattern_words(when: When) -> Iterator[str]:
    for key in _PATTERN_KEYS:
        value = getattr(when, key)
        yield from () if value is None else (value,) if isinstance(value, str) else value


def _find_prefix_rules(plan: Plan) -> Iterator[Finding]:
    """Find rules whose answer depends on the prefixes that DDP, torch.compile or FSDP put before a name."""
    wrapped = [decision for decision in plan.decisions if decision.classified.parameter.raw_name != decision.name]
    with_raw_names, with_names = _parameters(wrapped, "raw"), _parameters(wrapped, "canonical")
    for rule in plan.ruleset.rules if wrapped else ():
        if rule.when.keys().isdisjoint(_NAME_KEYS):
            continue
        with_prefix, without = (
            [wrapped[position] for position in parameters.positions(rule.when)]
            for parameters in (with_raw_names, with_names)
        )
        yield from _prefix_finding(rule, "with", with_prefix, without)
        yield from _prefix_finding(rule, "without", without, with_prefix)


def _prefix_finding(
    rule: Rule, word: str, matching: Sequence[Decision], others: Sequence[Decision]
) -> Iterator[Finding]:
    other_decisions = set(others)
    differing = [decision for decision in matching if decision not in other_decisions]
    if differing:
        yield finding(
            "DA303",
            parameters=tuple(decision.name for decision in differing),
            message=f"rule {rule.name} matches {count_noun(len(differing), 'parameter')} only {word} the prefix of the "
            "wrapper",
            expected=differing[0].name,
            found=differing[0].classified.parameter.raw_name,
            where=rule.location,
        )


def _parameters(decisions: Sequence[Decision], names: NameForm) -> MatchingParameters:
    return MatchingParameters([decision.classified for decision in decisions], names)


def _is_inherited(plan: Plan, location: str) -> bool:
    """Whether an entry is a preset's, or comes from a file that the ruleset extends."""
    return plan.ruleset.preset or location.rpartition(":")[0] != plan.ruleset.file


def _unmatched_finding(entry: RulesetEntry, consequence: str = "", fix: str = "") -> Finding:
    return finding(
        "DA301",
        message=f"{label(entry)} matches no parameter of this model{consequence}",
        expected="at least one parameter",
        found="0 parameters",
        where=entry.location,
        fix=fix,
    )
