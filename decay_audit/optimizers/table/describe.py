"""Make an Optimizer and its Observations from param groups and from the facts of the optimizer's class.

Live and recorded optimizers are described alike.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from decay_audit.model.observations import Observation, Optimizer, ParamGroup
from decay_audit.optimizers.table.decay_forms import DecayForm
from decay_audit.optimizers.table.group_keys import COMPENSATION_KEYS
from decay_audit.optimizers.table.lookup import class_facts, decay_semantics, declared_rate
from decay_audit.text import join_words

Described = tuple[Optimizer, tuple[Observation, ...]]


def describe_optimizer(
    name: str,
    groups: tuple[ParamGroup, ...],
    *,
    display_name: str,
    import_path: str,
    group_keys: tuple[str, ...],
    decaying_class: Sequence[str],
    attributes: Mapping[str, object],
) -> Described:
    """Make the Optimizer, and an Observation for each parameter in each group.

    Args:
        display_name: the class as a person reads it, e.g. `Lookahead(AdamW)`.
        group_keys: the keys that its classes read from their groups.
        decaying_class: names of the class whose step decides the decay, and of its base classes.
        attributes: numbers and flags of the optimizer of that class. A flag may choose the form of decay.
    """
    settings = [{**attributes, **group.hyperparameters} for group in groups]
    decay = decay_semantics(decaying_class, settings)
    is_known = class_facts(decaying_class) is not None
    optimizer = Optimizer(
        name=name,
        type=display_name,
        import_path=import_path,
        group_keys=group_keys,
        groups=groups,
        semantics=decay.semantics,
        adaptive_denominator=decay.adaptive_denominator,
        compensates_rounding=any(setting.get(key) for setting in settings for key in COMPENSATION_KEYS),
        decoupled_by=decay.decoupled_by,
        notes=decay.notes,
        class_is_known=is_known,
    )
    return optimizer, _observations(optimizer, decay.forms)


def with_step_hooks(optimizer: Optimizer, hooks: tuple[str, ...]) -> Optimizer:
    """Add the names of functions that code registered to run before or after each step, with a note on them."""
    if not hooks:
        return optimizer
    note = f"{optimizer.type} runs {join_words(hooks)} at each step: what this does to the weights is not known"
    return replace(optimizer, step_hooks=hooks, notes=(*optimizer.notes, note))


def _observations(optimizer: Optimizer, forms: Sequence[DecayForm]) -> tuple[Observation, ...]:
    return tuple(
        Observation(
            parameter=parameter,
            optimizer=optimizer.name,
            group=index,
            weight_decay=group.weight_decay,
            lr=group.lr,
            declared_rate=declared_rate(form, group.weight_decay, group.lr),
            movement=None if optimizer.class_is_known and not group.missing_keys else "unknown",
        )
        for index, (group, form) in enumerate(zip(optimizer.groups, forms, strict=True))
        for parameter in group.parameters
        if parameter
    )
