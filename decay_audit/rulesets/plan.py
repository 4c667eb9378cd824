"""Decide classified parameters by a ruleset: each parameter gets exactly one Decision, and the Decisions make a Plan.

A Decision has three results: the weight decay, a factor on the learning rate, and the optimizer. torch is not used.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import PlanError
from decay_audit.roles.words import Classified
from decay_audit.rulesets import layer_decay
from decay_audit.rulesets.conditions import NameForm, When
from decay_audit.rulesets.matching import EntryFinder, compile_when
from decay_audit.rulesets.ruleset import LayerDecay, RuleSet, RulesetEntry
from decay_audit.text import escape_control

DEFAULT = "default"
"""The `rule` of a decision that no rule made."""
FROZEN = "frozen"
"""The `rule` of a decision on a frozen parameter that the ruleset skips."""


class Decision(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """The decision of a ruleset on one parameter.

    Attributes:
        rule: name of the rule that decided; `default` where none matched, `frozen` where the ruleset skips frozen
            parameters (they are then in no group).
        location: `file:line` of that rule.
        lenient: whether that rule is lenient: if an optimizer differs, the finding is only a note.
        lr_scale: factor on the learning rate: the factor of its layer, times every `lr_scale` entry that matches.
        layer_scale: the factor of its layer alone.
        use: the name of the optimizer that takes it; None if the ruleset names no optimizers.
        entries_without_facts: the rules, and the entries for learning rates and optimizers, that were skipped because
            they need facts that the source does not have.
    """

    classified: Classified
    weight_decay: float
    rule: str
    location: str = ""
    lenient: bool = False
    lr_scale: float = 1.0
    layer_scale: float = 1.0
    use: str | None = None
    entries_without_facts: tuple[RulesetEntry, ...] = ()

    @property
    def name(self) -> str:
        """Canonical name of the parameter."""
        return self.classified.parameter.name

    @property
    def numel(self) -> int:
        """Elements of the parameter."""
        return self.classified.parameter.numel

    @property
    def decays(self) -> bool:
        """Whether the ruleset decays it at all."""
        return self.weight_decay != 0.0

    @property
    def grouped(self) -> bool:
        """Whether it belongs in a param group: frozen parameters that the ruleset skips do not."""
        return self.rule != FROZEN


class PlanGroup(Struct, frozen=True, kw_only=True):
    """Decisions with the same weight decay, learning rate factor and optimizer: one param group holds them."""

    weight_decay: float
    lr_scale: float
    use: str | None
    decisions: tuple[Decision, ...]

    @property
    def numel(self) -> int:
        """Elements of all its parameters."""
        return sum(decision.numel for decision in self.decisions)


class Plan(Struct, frozen=True, kw_only=True, eq=False):
    """A ruleset's decisions on a model: a partition of its parameters, each exactly once, in the model's order.

    Attributes:
        group_order: the weight_decay, lr_scale and use of each param group, in the order that a saved optimizer needs;
            () for the usual order.
    """

    ruleset: RuleSet
    decisions: tuple[Decision, ...]
    group_order: tuple[tuple[float, float, str | None], ...] = ()

    def __post_init__(self) -> None:
        """Check the partition.

        Raises:
            ValueError: a parameter is decided twice.
        """
        if len({decision.classified.parameter.name for decision in self.decisions}) < len(self.decisions):
            counts = Counter(decision.name for decision in self.decisions)
            repeated = [name for name, count in counts.items() if count > 1]
            raise ValueError(f"decided more than once: {', '.join(repeated)}")

    def __repr__(self) -> str:
        """Keep the text short: the decisions on a large model have a million characters."""
        decaying = sum(decision.decays for decision in self.decisions)
        return f"<Plan of {self.ruleset.name}: {len(self.decisions)} parameters, {decaying} decay>"

    def counts_by_rule(self) -> Mapping[str, int]:
        """How many parameters each rule decided."""
        return Counter(decision.rule for decision in self.decisions)

    def entries_without_facts(self) -> tuple[tuple[RulesetEntry, tuple[str, ...]], ...]:
        """The entries that need facts which the source lacks, each with the parameters for which it was skipped."""
        entries: dict[int, RulesetEntry] = {}
        names: dict[int, list[str]] = {}
        for decision in self.decisions:
            for entry in decision.entries_without_facts:
                entries[id(entry)] = entry
                names.setdefault(id(entry), []).append(decision.name)
        return tuple((entry, tuple(names[identity])) for identity, entry in entries.items())

    def group_rank(self, weight_decay: float, lr_scale: float, use: str | None) -> int:
        """Return the rank of a param group; groups of equal rank are in the order of their first parameter."""
        if self.group_order:
            key = (weight_decay, lr_scale, use)
            return self.group_order.index(key) if key in self.group_order else len(self.group_order)
        return int(weight_decay == 0.0)

    def groups(self) -> tuple[PlanGroup, ...]:
        """Make the param groups, by `group_rank`, then in the order of their first parameter."""
        members: dict[tuple[float, float, str | None], list[Decision]] = {}
        for decision in self.decisions:
            if decision.grouped:
                key = (decision.weight_decay, decision.lr_scale, decision.use)
                members.setdefault(key, []).append(decision)
        ordered = sorted(members.items(), key=lambda item: self.group_rank(*item[0]))
        return tuple(
            PlanGroup(weight_decay=weight_decay, lr_scale=lr_scale, use=use, decisions=tuple(decisions))
            for (weight_decay, lr_scale, use), decisions in ordered
        )


def decide(parameters: Iterable[Classified], ruleset: RuleSet, weight_decay: float | None = None) -> Plan:
    """Decide every parameter: its weight decay, its factor on the learning rate, and its optimizer.

    The weight decay, the layer number and the optimizer are each decided by the first entry whose condition holds. The
    factors of all `lr_scale` entries whose conditions hold are multiplied.

    Args:
        parameters: the classified parameters, in the model's order.
        weight_decay: replaces the ruleset's base coefficient.

    Raises:
        PlanError: the ruleset's default is `error` and a parameter matches no rule, or a layer cannot be numbered.
    """
    if weight_decay is not None:
        ruleset = replace(ruleset, weight_decay=weight_decay)
    decisions = _weight_decays(parameters, ruleset)
    if ruleset.layer_decay is not None:
        decisions = _with_layer_decay(decisions, ruleset.layer_decay, ruleset.names)
    if ruleset.lr_scale:
        decisions = _with_lr_scales(decisions, ruleset)
    if ruleset.routes:
        decisions = _with_optimizers(decisions, ruleset)
    return Plan(ruleset=ruleset, decisions=tuple(decisions))


def _weight_decays(parameters: Iterable[Classified], ruleset: RuleSet) -> list[Decision]:
    rules = EntryFinder([(rule.when, rule) for rule in ruleset.rules], ruleset.names)
    answers = {
        id(rule): (rule.amount.coefficient(ruleset.weight_decay), rule.name, rule.location, rule.lenient)
        for rule in ruleset.rules
    }
    default = None
    if ruleset.default is not None:
        coefficient = ruleset.default.coefficient(ruleset.weight_decay)
        default = (coefficient, DEFAULT, ruleset.default_location, ruleset.default_lenient)
    skip_frozen = ruleset.frozen == "skip"
    decisions = []
    for classified in parameters:
        if skip_frozen and classified.parameter.trainable is False:
            decisions.append(Decision(classified=classified, weight_decay=0.0, rule=FROZEN))
            continue
        rule, without_facts = rules.first_match(classified)
        answer = default if rule is None else answers[id(rule)]
        if answer is None:
            raise _no_rule_error(classified, ruleset)
        coefficient, name, location, lenient = answer
        decisions.append(
            Decision(
                classified=classified,
                weight_decay=coefficient,
                rule=name,
                location=location,
                lenient=lenient,
                entries_without_facts=without_facts,
            )
        )
    return decisions


def _no_rule_error(classified: Classified, ruleset: RuleSet) -> PlanError:
    return PlanError(
        f"no rule of {ruleset.name} matches {escape_control(classified.parameter.name)}, and its default is `error`",
        "the preset is only for the models of its own codebase; `decay-audit rules list` lists the presets"
        if ruleset.preset
        else "add a rule for it, or give the ruleset a default: `default: {decay: true}`",
    )


def _with_layer_decay(decisions: Sequence[Decision], decay: LayerDecay, names: NameForm) -> list[Decision]:
    factors = layer_decay.factors([decision.classified for decision in decisions], decay, names)
    return [
        replace(_with_entries(decision, without_facts), lr_scale=factor, layer_scale=factor)
        for decision, (factor, without_facts) in zip(decisions, factors, strict=True)
    ]


def _with_lr_scales(decisions: Sequence[Decision], ruleset: RuleSet) -> list[Decision]:
    scales = [(compile_when(scale.when, ruleset.names), scale) for scale in ruleset.lr_scale]
    scaled = []
    for decision in decisions:
        answers = [(holds(decision.classified), scale) for holds, scale in scales]
        factor = prod(scale.times for answer, scale in answers if answer)
        without_facts = [scale for answer, scale in answers if answer is None]
        scaled.append(replace(_with_entries(decision, without_facts), lr_scale=decision.lr_scale * factor))
    return scaled


def _with_optimizers(decisions: Sequence[Decision], ruleset: RuleSet) -> list[Decision]:
    routes = EntryFinder([(route.when or When(), route) for route in ruleset.routes], ruleset.names)
    routed = []
    for decision in decisions:
        route, without_facts = routes.first_match(decision.classified)
        use = None if route is None else route.use
        routed.append(replace(_with_entries(decision, without_facts), use=use))
    return routed


def _with_entries(decision: Decision, without_facts: Sequence[RulesetEntry]) -> Decision:
    """Add, to a decision, further entries that need facts which the source does not have."""
    if not without_facts:
        return decision
    return replace(decision, entries_without_facts=(*decision.entries_without_facts, *without_facts))
