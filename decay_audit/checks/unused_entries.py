"""What a plan gives away of its learning rates and optimizers: entries that match nothing. Knows no optimizer."""

from collections.abc import Iterator

from decay_audit.checks.codes import Finding, finding
from decay_audit.rulesets import layer_decay
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.matching import compile_when
from decay_audit.rulesets.plan import Plan
from decay_audit.rulesets.ruleset import LayerDecay


def check_channels(plan: Plan) -> tuple[Finding, ...]:
    """Find the entries of `lr_scale`, `layer_decay` and `optimizer` that match no parameter: DA301.

    Those of a preset are as its source has them; of a preset's layers only that none at all is found is said.
    """
    return *_idle_entries(plan), *_idle_layers(plan)


def _idle_entries(plan: Plan) -> Iterator[Finding]:
    for channel, when, place in _entries(plan):
        if _borrowed(plan, place):
            continue
        holds = compile_when(when, plan.ruleset.names)
        if all(holds(decision.classified) is False for decision in plan.decisions):
            said = f"{channel} entry ({place})" if place else f"an entry of {channel}"
            yield _idle(f"{said} matches no parameter of this model", "at least one parameter", "0 parameters", place)


def _entries(plan: Plan) -> Iterator[tuple[str, When, str]]:
    """The channel, the condition and the place of every entry that has a condition."""
    ruleset = plan.ruleset
    for scale in ruleset.lr_scale:
        yield "lr_scale", scale.when, scale.location
    if (decay := ruleset.layer_decay) is not None:
        if decay.when is not None:
            yield "layer_decay", decay.when, decay.location
        yield from (("layer_decay", layer.when, layer.location) for layer in decay.layers or ())
    for route in ruleset.routes:
        if route.when is not None:
            yield "optimizer", route.when, route.location


def _idle_layers(plan: Plan) -> Iterator[Finding]:
    """Layers that were not written for this model, by a preset or by the model itself, and scale nothing in it."""
    decay = plan.ruleset.layer_decay
    if decay is None or decay.rate == 1.0 or not (decay.layers is None or _borrowed(plan, decay.location)):
        return
    if not _scales(plan, decay):
        yield _idle(
            f"layer_decay of {plan.ruleset.name} matches no layer of this model",
            "learning rates that fall with depth",
            "every learning rate as it was",
            decay.location,
        )


def _scales(plan: Plan, decay: LayerDecay) -> bool:
    """Whether the layers change any learning rate, or may where the source cannot know."""
    unknown: list[str] = []
    subjects = [decision.classified for decision in plan.decisions]
    factors = layer_decay.factors(subjects, decay, plan.ruleset.names, lambda place, _: unknown.append(place))
    return bool(unknown) or any(factor != 1.0 for factor in factors)


def _borrowed(plan: Plan, place: str) -> bool:
    return plan.ruleset.preset or place.rpartition(":")[0] != plan.ruleset.file


def _idle(message: str, expected: str, found: str, where: str) -> Finding:
    return finding("DA301", message=message, expected=expected, found=found, where=where)
