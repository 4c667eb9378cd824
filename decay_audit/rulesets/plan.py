"""Deciding: every classified parameter gets exactly one decision from a ruleset. Knows no torch and no format."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.errors import PlanError
from decay_audit.roles.words import Classified
from decay_audit.rulesets import layer_decay
from decay_audit.rulesets.conditions import When
from decay_audit.rulesets.layer_decay import Unknown
from decay_audit.rulesets.matching import Test, compile_when
from decay_audit.rulesets.ruleset import Route, Rule, RuleSet
from decay_audit.text import escape_control

DEFAULT = "default"
FROZEN = "frozen"


class Decision(Struct, frozen=True, kw_only=True, eq=False):
    """What the ruleset says of one parameter.

    Attributes:
        rule: name of the rule that decided; `default` where none matched, `frozen` where the ruleset skips frozen
            parameters (they are then in no group).
        place: `file:line` of that rule.
        lr_scale: factor on the learning rate.
        use: the optimizer that takes it, or None.
    """

    classified: Classified
    weight_decay: float
    rule: str
    location: str = ""
    lr_scale: float = 1.0
    use: str | None = None

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
    """Decisions that agree in every channel, so that one param group holds them."""

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
        unknown: for each rule that asked what the source cannot know, the parameters it was not applied to (DA306).
    """

    ruleset: RuleSet
    decisions: tuple[Decision, ...]
    unknown: Mapping[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        """Check the partition.

        Raises:
            ValueError: a parameter is decided twice.
        """
        repeated = [name for name, count in Counter(decision.name for decision in self.decisions).items() if count > 1]
        if repeated:
            raise ValueError(f"decided more than once: {', '.join(repeated)}")

    def matched(self) -> Mapping[str, int]:
        """How many parameters each rule decided."""
        return Counter(decision.rule for decision in self.decisions)

    def groups(self) -> tuple[PlanGroup, ...]:
        """The param groups: the decaying ones first, and within that in order of first appearance."""
        members: dict[tuple[float, float, str | None], list[Decision]] = {}
        for decision in self.decisions:
            if decision.grouped:
                key = (decision.weight_decay, decision.lr_scale, decision.use)
                members.setdefault(key, []).append(decision)
        ordered = sorted(members.items(), key=lambda item: item[0][0] == 0.0)
        return tuple(
            PlanGroup(weight_decay=weight_decay, lr_scale=lr_scale, use=use, decisions=tuple(decisions))
            for (weight_decay, lr_scale, use), decisions in ordered
        )


def plan(subjects: Iterable[Classified], ruleset: RuleSet, weight_decay: float | None = None) -> Plan:
    """Decide every parameter: in each channel the first rule whose condition holds, else the default.

    Args:
        subjects: the classified parameters, in the model's order.
        weight_decay: replaces the ruleset's base coefficient.

    Raises:
        PlanError: the ruleset's default is `error` and a parameter matches no rule, or a layer cannot be numbered.
    """
    if weight_decay is not None:
        ruleset = replace(ruleset, weight_decay=weight_decay)
    subjects = tuple(subjects)
    unknown: dict[str, list[str]] = {}

    def ask(place: str, subject: Classified) -> None:
        unknown.setdefault(place, []).append(subject.parameter.name)

    rules = [(compile_when(rule.when, ruleset.names), rule) for rule in ruleset.rules]
    decisions: Iterable[Decision] = [_decide(subject, rules, ruleset, ask) for subject in subjects]
    if ruleset.lr_scale or ruleset.layer_decay:
        scales = _lr_scales(subjects, ruleset, ask)
        decisions = [replace(one, lr_scale=scale) for one, scale in zip(decisions, scales, strict=True)]
    if ruleset.routes:
        decisions = [replace(one, use=use) for one, use in zip(decisions, _uses(subjects, ruleset, ask), strict=True)]
    return Plan(
        ruleset=ruleset,
        decisions=tuple(decisions),
        unknown={rule: tuple(names) for rule, names in unknown.items()},
    )


def _decide(subject: Classified, rules: Sequence[tuple[Test, Rule]], ruleset: RuleSet, unknown: Unknown) -> Decision:
    if ruleset.frozen == "skip" and subject.parameter.trainable is False:
        return Decision(classified=subject, weight_decay=0.0, rule=FROZEN)
    for test, rule in rules:
        answer = test(subject)
        if answer:
            coefficient = rule.amount.coefficient(ruleset.weight_decay)
            return Decision(classified=subject, weight_decay=coefficient, rule=rule.name, location=rule.location)
        if answer is None:
            unknown(rule.name, subject)
    return _by_default(subject, ruleset)


def _by_default(subject: Classified, ruleset: RuleSet) -> Decision:
    if ruleset.default is None:
        raise PlanError(
            f"no rule of {ruleset.name} matches {escape_control(subject.parameter.name)}, and its default is `error`",
            "it is for the models of its own codebase; `decay-audit rules list` names presets that answer for any model"
            if ruleset.preset
            else "add a rule for it, or give the ruleset a default: `default: {decay: true}`",
        )
    coefficient = ruleset.default.coefficient(ruleset.weight_decay)
    return Decision(classified=subject, weight_decay=coefficient, rule=DEFAULT, location=ruleset.default_location)


def _lr_scales(subjects: Sequence[Classified], ruleset: RuleSet, unknown: Unknown) -> list[float]:
    """The factor on each learning rate: by depth, times every scale that matches."""
    scales = [1.0] * len(subjects)
    if ruleset.layer_decay is not None:
        scales = layer_decay.factors(subjects, ruleset.layer_decay, ruleset.names, unknown)
    for scale in ruleset.lr_scale:
        test = compile_when(scale.when, ruleset.names)
        for index, subject in enumerate(subjects):
            answer = test(subject)
            if answer:
                scales[index] *= scale.times
            elif answer is None:
                unknown(f"lr_scale ({scale.location})", subject)
    return scales


def _uses(subjects: Sequence[Classified], ruleset: RuleSet, unknown: Unknown) -> list[str | None]:
    """The optimizer that takes each parameter: the first route that matches."""
    routes = [(compile_when(route.when or When(), ruleset.names), route) for route in ruleset.routes]
    return [_use(subject, routes, unknown) for subject in subjects]


def _use(subject: Classified, routes: Sequence[tuple[Test, Route]], unknown: Unknown) -> str | None:
    for test, route in routes:
        answer = test(subject)
        if answer:
            return route.use
        if answer is None:
            unknown(f"optimizer ({route.location})", subject)
    return None
