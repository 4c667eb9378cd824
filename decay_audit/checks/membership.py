"""Who is in which group: DA201 to DA207, and DA505 for tensors that a wrapper has packed."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.phrases import kinds, number
from decay_audit.checks.view import Side
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.roles.words import Classified
from decay_audit.rulesets.plan import DEFAULT, Decision, Plan, plan
from decay_audit.rulesets.ruleset import Amount, RuleSet
from decay_audit.text import count_noun, first_few, join_words

_NAMES = frozenset({"name", "group_name", "layer_name"})
"""Keys that label a group and steer nothing."""


def check_membership(side: Side) -> Iterator[Finding]:
    """Find parameters in no group or in two, strangers, frozen ones that decay, and groups that should not be."""
    if side.origin == "live":
        yield from _absent(side)
        yield from _strange(side)
    if side.origin == "live" or _is_mapped(side):
        yield from _repeated(side)
        yield from _frozen(side)
    yield from _flattened(side)
    for optimizer in side.optimizers.values():
        yield from _empty(optimizer)
        yield from _identical(optimizer)


def _is_mapped(side: Side) -> bool:
    """Whether every position has its name: who is where can be told of all or of none."""
    return all(name for one in side.optimizers.values() for group in one.groups for name in group.parameters)


def _absent(side: Side) -> Iterator[Finding]:
    absent = [
        one
        for one in side.plan.decisions
        if one.classified.parameter.trainable is not False and one.name not in side.observed
    ]
    if absent:
        yield finding(
            "DA201",
            f"{kinds(absent)} {'is' if len(absent) == 1 else 'are'} trainable and in no optimizer",
            _names(absent),
            expected="in a param group",
            found=f"in none of {side.types()}",
            fix=side.fix(),
        )


def _strange(side: Side) -> Iterator[Finding]:
    for optimizer in side.optimizers.values():
        for index, group in enumerate(optimizer.groups):
            if group.foreign_tensors:
                yield finding(
                    "DA203",
                    f"{count_noun(len(group.foreign_tensors), 'tensor')} in group {index} of {optimizer.type} "
                    f"{'is no parameter' if len(group.foreign_tensors) == 1 else 'are no parameters'} of this model",
                    expected="parameters of the model",
                    found=first_few(group.foreign_tensors, 3),
                    where=f"group {index} of {optimizer.type}",
                    fix="build the optimizer after the model is complete, from the model that is trained",
                )


def _repeated(side: Side) -> Iterator[Finding]:
    repeated = [one for one in side.plan.decisions if len(side.observed.get(one.name, ())) > 1]
    if repeated:
        places = {side.location(seen): None for one in repeated for seen in side.observed[one.name]}
        yield finding(
            "DA202",
            f"{kinds(repeated)} {'is' if len(repeated) == 1 else 'are'} held more than once, and stepped as often",
            _names(repeated),
            expected="one place",
            found=join_words([*places][:5]),
            where=join_words([*places][:5]),
            fix="list every tensor once: a set of ids, or named_parameters(), which drops tied names",
        )


def _frozen(side: Side) -> Iterator[Finding]:
    frozen = {
        decision.name: (decision, seen)
        for decision, seen in side.pairs()
        if decision.classified.parameter.trainable is False and seen.weight_decay
    }
    if frozen:
        coefficients = sorted({number(seen.weight_decay) for _, seen in frozen.values()})
        are, them = ("is", "it") if len(frozen) == 1 else ("are", "them")
        yield finding(
            "DA204",
            f"{kinds([one for one, _ in frozen.values()])} {are} frozen and in a decaying group: a gradient of None "
            f"leaves {them} alone, a gradient of zeros does not",
            frozen,
            expected="in no group, or in one with weight_decay 0",
            found=f"weight_decay {join_words(coefficients)}",
            where=join_words(list({side.location(seen): None for _, seen in frozen.values()})[:5]),
            fix="hand over only parameters with requires_grad=True",
        )


def _flattened(side: Side) -> Iterator[Finding]:
    for optimizer in side.optimizers.values():
        flat = [name for group in optimizer.groups for name in group.flat_parameters]
        if flat:
            yield finding(
                "DA505",
                f"{optimizer.type} holds {count_noun(len(flat), 'flattened parameter')}: one coefficient for all that "
                "is packed in it",
                filter(None, flat),
                expected="the model's own parameters",
                found="one-dimensional tensors packed by a wrapper",
                where=optimizer.name,
                fix="wrap with use_orig_params=True or fully_shard, and group by names",
            )


def _empty(optimizer: Optimizer) -> Iterator[Finding]:
    empty = [index for index, group in enumerate(optimizer.groups) if not group.parameters]
    if empty:
        which = join_words([f"{index}" for index in empty])
        yield finding(
            "DA206",
            f"{'group' if len(empty) == 1 else 'groups'} {which} of {optimizer.type} "
            f"{'holds' if len(empty) == 1 else 'hold'} no parameters",
            expected="at least one parameter",
            found="0 parameters",
            where=f"{'group' if len(empty) == 1 else 'groups'} {which} of {optimizer.type}",
            fix="leave the group out, or correct the condition that fills it",
        )


def _identical(optimizer: Optimizer) -> Iterator[Finding]:
    settings = [_settings(group) for group in optimizer.groups if group.parameters]
    distinct = len(set(settings))
    if distinct < len(settings):
        yield finding(
            "DA207",
            f"{len(settings)} groups of {optimizer.type} have {count_noun(distinct, 'different setting')} between them",
            expected=count_noun(distinct, "group"),
            found=count_noun(len(settings), "group"),
            where=optimizer.name,
            fix="merge groups that agree in every hyperparameter",
        )


def _settings(group: ParamGroup) -> tuple[tuple[str, str], ...]:
    kept = {key: value for key, value in group.hyperparameters.items() if key not in _NAMES}
    shared = {"weight_decay": group.weight_decay, "lr": group.lr}
    return tuple(sorted((key, repr(value)) for key, value in (shared | kept).items()))


def check_ties(decided: Plan) -> Iterator[Finding]:
    """Find tied tensors whose other names the rules would decide differently: DA205."""
    tied = [one for one in decided.decisions if one.grouped and one.classified.parameter.tied_to]
    coefficients = _under_other_names(tied, decided.ruleset)
    for decision in tied:
        others = {name: coefficients.get(name) for name in decision.classified.parameter.tied_to}
        differ = {name: got for name, got in others.items() if got is not None and got != decision.weight_decay}
        if differ:
            names = join_words([f"{name} ({number(got)})" for name, got in differ.items()])
            yield finding(
                "DA205",
                f"{decision.name} gets weight_decay {number(decision.weight_decay)}; under its other name it would get "
                f"another: {names}",
                (decision.name, *differ),
                expected="one decision for one tensor",
                found=f"{decision.name} ({number(decision.weight_decay)}), {names}",
                where=decision.location,
                fix="add a rule that matches all its names, or `tied: true`",
            )


def _under_other_names(tied: Sequence[Decision], ruleset: RuleSet) -> dict[str, float]:
    """The coefficient that each tensor would get under its other names, by the same role; none where it is an error."""
    renamed = {name: _renamed(one.classified, name) for one in tied for name in one.classified.parameter.tied_to}
    asked = replace(ruleset, default=ruleset.default or Amount(), lr_scale=(), layer_decay=None, routes=())
    decisions = plan(renamed.values(), asked).decisions
    return {one.name: one.weight_decay for one in decisions if ruleset.default or one.rule != DEFAULT}


def _renamed(subject: Classified, name: str) -> Classified:
    owner = replace(subject.parameter.owner, name=name.rpartition(".")[0])
    return replace(subject, parameter=replace(subject.parameter, name=name, raw_name=name, owner=owner))


def _names(decisions: list[Decision]) -> tuple[str, ...]:
    return tuple(decision.name for decision in decisions)
