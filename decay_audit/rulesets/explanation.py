"""The explanation of one parameter, as a value: its role and why, which rule decided, what other rulesets decide."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from msgspec import Struct

from decay_audit.errors import DecayAuditError
from decay_audit.model.horizon import Horizon, Rotation
from decay_audit.model.observations import Observation, UpdateFormula
from decay_audit.roles.words import Classified
from decay_audit.rulesets.diff import ANY_BASE
from decay_audit.rulesets.plan import DEFAULT, FROZEN, Decision, Plan, decide
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.text import escape_control

_BRACES = re.compile(r"\{([^{}]*)\}")
"""The alternatives of a folded name: `{weight,bias}`."""
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})|([0-9]{1,5})\.\.([0-9]{1,5})/([1-9][0-9]{0,4})")
"""A range of numbers among the alternatives, `0-11`, or every nth number of one: `7..399/4`."""
_LIST_LABEL = re.compile(r"\{[A-Z]{1,3}\}")
"""The name that a table gives to a long list of alternatives: `{A}`."""


class RuleAnswer(Struct, frozen=True, kw_only=True):
    """A rule, and whether its condition holds for the parameter; None where the source cannot know that."""

    rule: str
    location: str
    answer: bool | None


class OtherDecision(Struct, frozen=True, kw_only=True):
    """What another ruleset decides; `decays` is None where it refuses the parameter."""

    ruleset: str
    decays: bool | None
    rule: str


class Explanation(Struct, frozen=True, kw_only=True):
    """The explanation of one parameter.

    Attributes:
        rule_answers: the rules in order, up to the rule that decided; the default is the last where no rule decided.
        other_rulesets: what the other presets would decide.
        updates: for each optimizer that holds the parameter, what a step does to it.
        horizon: what decay comes to over the run, in the groups that hold the parameter; None if that is not known.
        rotations: for a scale-invariant weight, how far the steps of its optimizers turn it in the long run.
    """

    ruleset: RuleSet
    decision: Decision
    rule_answers: tuple[RuleAnswer, ...]
    other_rulesets: tuple[OtherDecision, ...] = ()
    observations: tuple[Observation, ...] = ()
    updates: tuple[UpdateFormula, ...] = ()
    horizon: Horizon | None = None
    rotations: tuple[Rotation, ...] = ()


def explain(
    plan: Plan, name: str, others: Sequence[RuleSet] = (), observations: Iterable[Observation] = ()
) -> Explanation:
    """Explain the parameter `name`: its canonical name, its raw name, one of its tied names, or a folded name.

    A folded name is written as in a table, `blocks.{0-11}.norm.{weight,bias}`; its first parameter is explained.

    Raises:
        DecayAuditError: the plan has no such parameter.
    """
    decision = _find_decision(plan, name)
    return Explanation(
        ruleset=plan.ruleset,
        decision=decision,
        rule_answers=tuple(_rule_answers(plan.ruleset, decision)),
        other_rulesets=tuple(_other_decision(ruleset, decision.classified) for ruleset in others),
        observations=tuple(observation for observation in observations if observation.parameter == decision.name),
    )


def _find_decision(plan: Plan, name: str) -> Decision:
    for matches in (name.__eq__, _pattern(name).fullmatch):
        for decision in plan.decisions:
            parameter = decision.classified.parameter
            if any(map(matches, (parameter.name, parameter.raw_name, *parameter.tied_to))):
                return decision
    names = [decision.name for decision in plan.decisions]
    if (label := _LIST_LABEL.search(name)) is not None:
        in_list = re.compile(r"[^.]*".join(map(re.escape, _LIST_LABEL.split(name))))
        example = next(filter(in_list.fullmatch, names), names[0])
        raise DecayAuditError(
            f"{label[0]} is a list of names, which the line `{label[0]} is ...` below the table explains",
            f"name one parameter of the list, such as {escape_control(example)}",
        )
    near = ", ".join(map(escape_control, get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]))
    raise DecayAuditError(
        f"no parameter {escape_control(name)}", f"did you mean {near}? `inspect --full` lists them all"
    )


def _pattern(name: str) -> re.Pattern[str]:
    """Make a regular expression from a folded name; what is not in braces is literal."""
    parts = _BRACES.split(name)
    return re.compile(
        "".join(
            f"(?:{_alternatives_regex(part)})" if index % 2 else re.escape(part) for index, part in enumerate(parts)
        )
    )


def _alternatives_regex(alternatives: str) -> str:
    included, _, excepted = alternatives.partition(" except ")
    left_out = set(_alternatives(excepted)) if excepted else set()
    return "|".join(re.escape(text) for text in _alternatives(included) if text not in left_out) or "(?!)"


def _alternatives(text: str) -> Iterator[str]:
    for piece in text.split(","):
        match = _RANGE.fullmatch(piece)
        if match is None:
            yield piece
        elif match[1]:
            yield from map(str, range(int(match[1]), int(match[2]) + 1))
        else:
            yield from map(str, range(int(match[3]), int(match[4]) + 1, int(match[5])))


def _rule_answers(ruleset: RuleSet, decision: Decision) -> Iterator[RuleAnswer]:
    if decision.rule == FROZEN:
        yield RuleAnswer(rule=FROZEN, location=ruleset.file, answer=True)
        return
    for rule in ruleset.rules:
        answer = None if rule in decision.entries_without_facts else rule.name == decision.rule
        yield RuleAnswer(rule=rule.name, location=rule.location, answer=answer)
        if answer:
            return
    yield RuleAnswer(rule=DEFAULT, location=decision.location, answer=True)


def _other_decision(ruleset: RuleSet, classified: Classified) -> OtherDecision:
    try:
        decision = decide([classified], ruleset, ruleset.weight_decay or ANY_BASE).decisions[0]
    except DecayAuditError:
        return OtherDecision(ruleset=ruleset.name, decays=None, rule="error")
    return OtherDecision(ruleset=ruleset.name, decays=decision.decays, rule=decision.rule)
