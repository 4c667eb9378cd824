"""Look up what `weight_decay` means: the form of decay, from class names and a group's settings.

The facts are in `classes`. No torch object is needed, so a checkpoint's optimizer is looked up like a live one.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

from msgspec import Struct

from decay_audit.model.observations import Semantics
from decay_audit.optimizers.table.classes import CLASSES
from decay_audit.optimizers.table.decay_forms import SEMANTICS, ClassFacts, DecayForm
from decay_audit.optimizers.table.group_keys import WITHOUT_LR_KEYS


class DecaySemantics(Struct, frozen=True, kw_only=True):
    """How an optimizer's coefficients act on the weights.

    Attributes:
        forms: the form of decay of each group.
        semantics: the semantics of all groups; unknown if they differ.
        adaptive_denominator: whether the step of a group divides the decay by a running magnitude of the gradient.
        decoupled_by: the argument that would decouple the decay, e.g. `decoupled_weight_decay=True`; "" without one.
    """

    forms: tuple[DecayForm, ...]
    semantics: Semantics
    adaptive_denominator: bool
    decoupled_by: str = ""
    notes: tuple[str, ...] = ()


def class_facts(class_names: Sequence[str]) -> ClassFacts | None:
    """Find the first class that is in the table.

    Args:
        class_names: most derived first. Qualified (`torch.optim.adamw.AdamW`), or simple as in a checkpoint (`AdamW`):
            a simple name means torch's class where torch has one of that name.
    """
    rows = (_find(*_split(name)) for name in class_names)
    return next((facts for facts in rows if facts is not None), None)


def decay_form(facts: ClassFacts | None, settings: Mapping[str, object]) -> DecayForm:
    """Return the form of decay with these settings: a group's hyperparameters and the optimizer's own attributes."""
    if facts is None:
        return "unknown"
    is_on = facts.switch and settings.get(facts.switch, facts.on_by_default)
    form = facts.form_if_on if is_on else facts.form
    if form != "decoupled":
        return form
    if any(settings.get(key) for key in facts.own_rate_switches):
        return "decoupled_own_rate"
    return "decoupled_without_lr" if any(settings.get(key) for key in WITHOUT_LR_KEYS) else "decoupled"


def decay_semantics(class_names: Sequence[str], groups: Sequence[Mapping[str, object]]) -> DecaySemantics:
    """Describe an optimizer by its class names and the settings of each of its groups."""
    facts = class_facts(class_names)
    forms = tuple(decay_form(facts, group) for group in groups)
    distinct = {SEMANTICS[form] for form in forms}
    notes = [facts.note] if facts and facts.note else []
    if len(distinct) > 1:
        notes.append("its groups differ: " + ", ".join(f"{i} {SEMANTICS[form]}" for i, form in enumerate(forms)))
    is_coupled = any(SEMANTICS[form] != "decoupled" for form in forms)
    switch = facts.switch if facts and is_coupled and SEMANTICS[facts.form_if_on] == "decoupled" else ""
    return DecaySemantics(
        decoupled_by=f"{switch}=True" if switch and all(switch in group for group in groups) else "",
        forms=forms,
        semantics=distinct.pop() if len(distinct) == 1 else "unknown",
        adaptive_denominator="coupled_adaptive" in forms,
        notes=tuple(notes),
    )


def declared_rate(form: DecayForm, weight_decay: float, lr: float | None) -> float | None:
    """Return the fraction of the weight that a step removes, divided by lr; None if it is not constant or not known.

    Coupled decay has no such rate: momentum and denominators change it from step to step.
    """
    match form:
        case "decoupled":
            return weight_decay
        case "decoupled_without_lr" if lr and isfinite(lr):
            return weight_decay / lr
        case "none":
            return 0.0
        case _:
            return None


def _split(name: str) -> tuple[str, str]:
    package, _, rest = name.partition(".")
    return (package, rest.rpartition(".")[2]) if rest else ("", package)


def _find(package: str, name: str) -> ClassFacts | None:
    if package:
        return CLASSES.get(package, {}).get(name)
    return next((rows[name] for rows in CLASSES.values() if name in rows), None)
