"""Make parameters from the examples of a rules file, and decide them like any other: a ruleset tests itself."""

from collections.abc import Iterator
from math import isclose

from decay_audit import roles
from decay_audit.errors import PlanError
from decay_audit.model.parameters import Declaration, Owner, Parameter, declared_no_decay
from decay_audit.rulesets.plan import Decision, plan
from decay_audit.rulesets.ruleset import Amount, Example, RuleSet
from decay_audit.rulesets.yaml.form import AmountForm, ExampleForm


def amount(form: AmountForm) -> Amount:
    """Read the amount that `decay` or `weight_decay` says."""
    if form.weight_decay is not None:
        return Amount(weight_decay=form.weight_decay)
    return Amount(times=float(form.decay if form.decay is not None else True))


def example(form: ExampleForm, place: str) -> Example:
    """Make the parameter that an example describes, with its owner and the owner's ancestors."""
    owner, attributes = _owner(form), _as_tuple(form.attributes)
    says_amount = form.decay is not None or form.weight_decay is not None
    return Example(
        parameter=Parameter(
            name=form.name,
            raw_name=form.name,
            shape=form.shape,
            dtype=form.dtype,
            owner=owner,
            trainable=form.trainable,
            tied_to=_as_tuple(form.tied_to),
            attributes=attributes,
            declared_no_decay=declared_no_decay(form.name, owner.lineage(), attributes),
        ),
        amount=amount(form) if says_amount else None,
        lenient=form.lenient,
        rule=form.rule,
        lr_scale=form.lr_scale,
        use=form.use,
        location=place,
    )


def failures(ruleset: RuleSet) -> Iterator[str]:
    """Decide every example; give a message, with its place, for each that is not decided as it says."""
    for one in ruleset.examples:
        others = [other.parameter for other in ruleset.examples if other.parameter.name != one.parameter.name]
        model = [one.parameter, *({other.name: other for other in others}.values() if ruleset.layer_decay else ())]
        try:
            decision = plan(roles.classify(model), ruleset).decisions[0]
        except PlanError as error:
            if one.rule != REFUSED:
                yield f"{one.location}: the example {one.parameter.name}: {error.message}"
        else:
            yield from _unmet_promises(one, decision, ruleset)


def _unmet_promises(one: Example, decision: Decision, ruleset: RuleSet) -> Iterator[str]:
    wanted = None if one.amount is None else one.amount.coefficient(ruleset.weight_decay)
    found = f"{one.location}: the example {one.parameter.name}, a {decision.classified.role}, gets"
    if wanted is not None and decision.weight_decay != wanted:
        yield f"{found} weight_decay {decision.weight_decay:g} by the rule `{decision.rule}`; it promises {wanted:g}"
    if one.lenient not in (None, decision.lenient):
        found_lenient, promised = ("a lenient", "a strict") if decision.lenient else ("a strict", "a lenient")
        yield f"{found} {found_lenient} answer by the rule `{decision.rule}`; it promises {promised} one"
    if one.rule not in (None, decision.rule):
        yield f"{found} its answer from the rule `{decision.rule}`; it promises `{one.rule}`"
    if one.lr_scale is not None and not isclose(one.lr_scale, decision.lr_scale, rel_tol=1e-6):
        yield f"{found} lr_scale {decision.lr_scale:g}; it promises {one.lr_scale:g}"
    if one.use not in (None, decision.use):
        yield f"{found} the optimizer {decision.use or 'none'}; it promises {one.use}"


def _owner(form: ExampleForm) -> Owner:
    """The owner, in a chain of ancestors named after the parts of the parameter's name."""
    parts = form.name.split(".")[:-1]
    declares = Declaration(names=_as_tuple(form.no_weight_decay), keywords=_as_tuple(form.no_weight_decay_keywords))
    types = _as_tuple(form.owner) or (UNKNOWN_CLASS,)
    tensors = {form.name.rpartition(".")[2]: form.shape}
    if not parts:
        return Owner(types=types, tensors=tensors, declaration=declares)
    owner = Owner(types=(UNKNOWN_CLASS,), declaration=declares)
    ancestors = _as_tuple(form.within)
    between = [UNKNOWN_CLASS] * (len(parts) - 1 - len(ancestors)) + list(ancestors)
    for depth, ancestor in enumerate(between[: len(parts) - 1], start=1):
        owner = Owner(name=".".join(parts[:depth]), types=(ancestor,), parent=owner)
    return Owner(name=".".join(parts), types=types, parent=owner, tensors=tensors)


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


REFUSED = "error"
"""The `rule` of an example that the ruleset must refuse, because no rule matches and the default is `error`."""
UNKNOWN_CLASS = "model.Module"
"""The class of a module for which an example gives none; no rule and no convention matches it."""
