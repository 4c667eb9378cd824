"""Lock and Entry, the values that a lock file holds; an Entry is made from a decision and from what optimizers do."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.checks.observed_plan import effective_weight_decay, has_known_decay
from decay_audit.model.choices import CoefficientSource
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.text import format_coefficient, format_shape


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """What is decided for one parameter, and what optimizers do to it. All fields are text, to compare exactly.

    Attributes:
        weight_decay: the coefficient that the ruleset decides, or "frozen".
        lr_scale: the factor on the learning rate; "1" for none.
        use: the name of the optimizer for it; "" if the ruleset names none.
        rule: the rule that decided.
        observed: for each optimizer that holds it the class, the weight_decay, and the factor on the learning rate
            where it is not 1: `AdamW:0.05`; "none" if no optimizer holds it, "" if no optimizer was read.
    """

    shape: str
    role: str
    weight_decay: str
    lr_scale: str = "1"
    use: str = ""
    rule: str = ""
    observed: str = ""

    @property
    def decision(self) -> tuple[str, ...]:
        """The fields on which a step depends."""
        return (self.weight_decay, self.lr_scale, self.use)


Entries = Mapping[str, Entry]
"""The entries of a model, by canonical name."""
NameParts = tuple[str, ...]
"""The parts of a dotted name: `("norm1", "weight")`."""


class Lock(Struct, frozen=True, kw_only=True):
    """The decisions on a model at one time.

    Attributes:
        ruleset_hash: a hash of what decides in the ruleset: see `hash_ruleset`.
        weight_decay: the base coefficient, as text.
        weight_decay_from: where that coefficient comes from.
        optimizers: the classes of the optimizers whose effect is in the entries; "" if there are none.
        versions: the versions of decay-audit and torch that made the lock, as text.
        lines: the line of the lock file for each parameter; empty for a lock that was not read from a file.
    """

    target: str
    ruleset: str
    ruleset_hash: str
    weight_decay: str
    weight_decay_from: CoefficientSource
    optimizers: str = ""
    versions: str = ""
    entries: Entries
    lines: Mapping[str, int] = {}


def hash_ruleset(ruleset: RuleSet) -> str:
    """Hash the parts of a ruleset that decide.

    Line numbers, file names, the title, the source, the base coefficient and the examples are left out, and so is
    whether the ruleset is a preset.
    """
    deciding = replace(ruleset, title="", source="", weight_decay=0.0, file="", default_location="", examples=())
    content = _without_locations(msgspec.to_builtins(deciding))
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:16]


def _without_locations(value: object) -> object:
    match value:
        case dict():
            return {
                key: _without_locations(inner)
                for key, inner in value.items()
                if key not in ("file", "line", "location", "preset")
            }
        case list() | tuple():
            return [_without_locations(inner) for inner in value]
        case _:
            return value


def plan_entries(
    plan: Plan, optimizers: Sequence[Optimizer] = (), observations: Sequence[Observation] = ()
) -> dict[str, Entry]:
    """Make the entry of each parameter. Saved optimizers are left out."""
    live = {optimizer.name: optimizer for optimizer in optimizers if optimizer.origin == "live"}
    observed = _observed_by_name(live, [observation for observation in observations if observation.origin == "live"])
    in_none = "none" if live else ""
    return {decision.name: _entry(decision, observed.get(decision.name, in_none)) for decision in plan.decisions}


def _entry(decision: Decision, observed: str) -> Entry:
    classified = decision.classified
    return Entry(
        shape="lazy" if classified.parameter.lazy else format_shape(classified.parameter.shape),
        role=classified.role,
        weight_decay=_number(decision.weight_decay) if decision.grouped else "frozen",
        lr_scale=_number(decision.lr_scale),
        use=decision.use or "",
        rule=decision.rule,
        observed=observed,
    )


def _observed_by_name(optimizers: Mapping[str, Optimizer], observations: Sequence[Observation]) -> dict[str, str]:
    """Write what the optimizers do to each parameter. A learning rate is divided by the largest of its optimizer."""
    highest: dict[str, float] = {}
    for observation in observations:
        highest[observation.optimizer] = max(highest.get(observation.optimizer, 0.0), observation.lr or 0.0)
    texts: dict[str, list[str]] = {}
    for observation in observations:
        text = _observation(observation, optimizers[observation.optimizer].type, highest[observation.optimizer])
        texts.setdefault(observation.parameter, []).append(text)
    return {name: ",".join(sorted(parts)) for name, parts in texts.items()}


def _observation(observation: Observation, type_: str, highest_lr: float) -> str:
    known = has_known_decay(observation)
    decay = _number(effective_weight_decay(observation)) if known else "unknown"
    scale = 1.0 if not (observation.lr and highest_lr) else observation.lr / highest_lr
    return f"{type_}:{decay}" + ("" if _number(scale) == "1" else f":x{_number(scale)}")


@cache
def _number(value: float) -> str:
    """Write a coefficient or a factor to 6 significant digits: float32 and a measured step have no more."""
    return format_coefficient(float(f"{value:.6g}"))
