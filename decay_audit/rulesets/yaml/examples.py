"""Make parameters of the examples in a rules file, and decide them like those of a model.

A decision that is not what its example says is a failure of the ruleset.
"""

from collections.abc import Iterator
from math import isclose

from decay_audit import roles
from decay_audit.errors import PlanError
from decay_audit.model.parameters import Declaration, Owner, Parameter, Scaling, declared_no_decay
from decay_audit.rulesets.plan import Decision, decide
from decay_audit.rulesets.ruleset import Amount, Example, RuleSet
from decay_audit.rulesets.yaml.form import AmountForm, ExampleForm


def amount(form: AmountForm) -> Amount:
    """Return the amount that `decay` or `weight_decay` gives."""
    if form.weight_decay is not None:
        return Amount(weight_decay=form.weight_decay)
    return Amount(times=float(form.decay if form.decay is not None else True))


def example(form: ExampleForm, location: str) -> Example:
    """Make the parameter that an example describes, with its owner and the owner's ancestors."""
    owner, attributes = _owner(form), _as_tuple(form.attributes)
    has_amount = form.decay is not None or form.weight_decay is not None
    return Example(
        parameter=Parameter(
            name=form.name,
            raw_name=form.name,
            shape=form.shape,
            dtype=form.dtype,
            owner=owner,
            trainable=form.trainable,
            scaling=Scaling(effect=form.scaling) if form.scaling else None,
            rests_at=form.rests_at,
            feeds=(form.feeds,) if isinstance(form.feeds, str) else form.feeds,
            tied_to=_as_tuple(form.tied_to),
            attributes=attributes,
            declared_no_decay=declared_no_decay(form.name, owner.lineage(), attributes),
        ),
        amount=amount(form) if has_amount else None,
        lenient=form.lenient,
        rule=form.rule,
        lr_scale=form.lr_scale,
        use=form.use,
        location=location,
    )


def failures(ruleset: RuleSet) -> Iterator[str]:
    """Decide every example; yield a message for each decision that differs from what its example says."""
    for ruleset_example in ruleset.examples:
        parameter = ruleset_example.parameter
        others = [other.parameter for other in ruleset.examples if other.parameter.name != parameter.name]
        # with layer decay, the number of the last layer depends on all parameters
        model = [parameter, *({other.name: other for other in others}.values() if ruleset.layer_decay else ())]
        try:
            decision = decide(roles.classify(model), ruleset).decisions[0]
        except PlanError as error:
            if ruleset_example.rule != REFUSED:
                yield f"{ruleset_example.location}: the example {parameter.name}: {error.message}"
        else:
            yield from _differences(ruleset_example, decision, ruleset)


def _differences(expected: Example, decision: Decision, ruleset: RuleSet) -> Iterator[str]:
    weight_decay = None if expected.amount is None else expected.amount.coefficient(ruleset.weight_decay)
    start = f"{expected.location}: the example {expected.parameter.name}, a {decision.classified.role}, gets"
    if weight_decay is not None and decision.weight_decay != weight_decay:
        actual = f"weight_decay {decision.weight_decay:g}"
        yield f"{start} {actual} by the rule `{decision.rule}`; it promises {weight_decay:g}"
    if expected.lenient not in (None, decision.lenient):
        actual, promised = ("a lenient", "a strict") if decision.lenient else ("a strict", "a lenient")
        yield f"{start} {actual} answer by the rule `{decision.rule}`; it promises {promised} one"
    if expected.rule not in (None, decision.rule):
        yield f"{start} its answer from the rule `{decision.rule}`; it promises `{expected.rule}`"
    if expected.lr_scale is not None and not isclose(expected.lr_scale, decision.lr_scale, rel_tol=1e-6):
        yield f"{start} lr_scale {decision.lr_scale:g}; it promises {expected.lr_scale:g}"
    if expected.use not in (None, decision.use):
        yield f"{start} the optimizer {decision.use or 'none'}; it promises {expected.use}"


def _owner(form: ExampleForm) -> Owner:
    """Make the owner and its ancestors: one module for each part of the parameter's name."""
    parts = form.name.split(".")[:-1]
    declaration = Declaration(
        names=_as_tuple(form.no_weight_decay),
        keywords=_as_tuple(form.no_weight_decay_keywords),
        patterns=_as_tuple(form.no_weight_decay_patterns),
    )
    types = _as_tuple(form.owner) or (UNKNOWN_CLASS,)
    tensors = {form.name.rpartition(".")[2]: form.shape}
    if not parts:
        return Owner(types=types, tensors=tensors, declaration=declaration)
    owner = Owner(types=(UNKNOWN_CLASS,), declaration=declaration)
    ancestors = _as_tuple(form.within)
    types_of_ancestors = [UNKNOWN_CLASS] * (len(parts) - 1 - len(ancestors)) + list(ancestors)
    for depth, ancestor in enumerate(types_of_ancestors[: len(parts) - 1], start=1):
        owner = Owner(name=".".join(parts[:depth]), types=(ancestor,), parent=owner)
    return Owner(name=".".join(parts), types=types, parent=owner, tensors=tensors)


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


REFUSED = "error"
"""The `rule` of an example that the ruleset must refuse, because no rule matches and the default is `error`."""
UNKNOWN_CLASS = "model.Module"
"""The class of a module for which an example gives no class; no rule and no convention matches this name."""
