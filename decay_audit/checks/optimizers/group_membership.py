"""Check which parameters are in which group: DA201, DA202, DA204 to DA207, DA209; DA505 for packed parameters."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind, group_names
from decay_audit.checks.observed_plan import ObservedPlan
from decay_audit.checks.optimizers.foreign_tensors import (
    REBUILD_FIX,
    check_foreign_tensors,
    copied_parameters,
    replaced_parameters,
)
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.roles.words import Classified
from decay_audit.rulesets.plan import DEFAULT, Decision, Plan, decide
from decay_audit.rulesets.ruleset import Amount, RuleSet
from decay_audit.text import count_noun, format_shape, join_words, list_numbers

_LABEL_KEYS = frozenset({"name", "group_name", "layer_name"})
"""Keys that only name a group: the step does not read them."""
_MAX_GROUPS = 5
"""How many groups one finding names."""


def check_group_membership(observed: ObservedPlan) -> Iterator[Finding]:
    """Find missing, repeated, foreign and packed tensors, frozen parameters with decay, and useless groups."""
    if observed.origin == "live":
        yield from _find_missing(observed)
        yield from check_foreign_tensors(observed)
    if observed.origin == "live" or _every_position_has_a_name(observed):
        yield from _find_repeated(observed)
        yield from _find_frozen(observed)
    yield from _find_flattened(observed)
    yield from _find_packed(observed)
    for optimizer in observed.optimizers.values():
        yield from _find_empty_groups(optimizer, observed.optimizer_name(optimizer))
        yield from _find_identical_groups(optimizer, observed.optimizer_name(optimizer))


def _every_position_has_a_name(observed: ObservedPlan) -> bool:
    """Whether a saved optimizer names every position. If some have no name, no parameter's group is certain."""
    return all(
        name for optimizer in observed.optimizers.values() for group in optimizer.groups for name in group.parameters
    )


def _find_missing(observed: ObservedPlan) -> Iterator[Finding]:
    in_optimizers = {*observed.observations, *copied_parameters(observed)}
    missing = [
        decision
        for decision in observed.plan.decisions
        if decision.classified.parameter.trainable is not False and decision.name not in in_optimizers
    ]
    if missing:
        are_replaced = replaced_parameters(observed).issuperset(decision.name for decision in missing)
        command = REBUILD_FIX if are_replaced else _second_optimizer_fix(observed, missing)
        command = command or observed.emit_command(missing)
        yield finding(
            "DA201",
            f"{count_by_kind(missing)} {_are(missing)} trainable and in no optimizer",
            _names(missing),
            expected="in a param group",
            found=f"in no param group of {observed.class_names()}",
            fix=command or "put them into the groups, after the model has all its parameters",
        )


def _second_optimizer_fix(observed: ObservedPlan, missing: Sequence[Decision]) -> str:
    """Say what to do if no optimizer can take the missing parameters: torch's Muon refuses all but matrices."""
    takes_all = any(optimizer.import_path != "Muon" for optimizer in observed.optimizers.values())
    if takes_all or all(len(decision.classified.parameter.shape) == 2 for decision in missing):
        return ""
    return "give them to a second optimizer, such as AdamW, and return both: Muon takes matrices only"


def _find_repeated(observed: ObservedPlan) -> Iterator[Finding]:
    repeated = [
        decision for decision in observed.plan.decisions if len(observed.observations.get(decision.name, ())) > 1
    ]
    if repeated:
        observations = [observation for decision in repeated for observation in observed.observations[decision.name]]
        groups = observed.group_names(observations)
        yield finding(
            "DA202",
            f"{count_by_kind(repeated)} {_are(repeated)} listed more than once: each step updates {_them(repeated)} "
            "more than once",
            _names(repeated),
            expected="listed once",
            found=groups,
            where=groups,
            fix="list each tensor once; named_parameters() leaves out tied names",
        )


def _find_frozen(observed: ObservedPlan) -> Iterator[Finding]:
    frozen = {
        decision.name: (decision, observation)
        for decision, observation in observed.pairs()
        if decision.classified.parameter.trainable is False and observation.weight_decay
    }
    if frozen:
        decisions = [decision for decision, _ in frozen.values()]
        observations = [observation for _, observation in frozen.values()]
        coefficients = sorted({coefficient_text(observation.weight_decay) for observation in observations})
        yield finding(
            "DA204",
            f"{count_by_kind(decisions)} {_are(decisions)} frozen and in a group with weight decay: if the gradient is "
            f"zeros and not None, a step decays {_them(decisions)}",
            frozen,
            expected="in no group, or in one with weight_decay 0",
            found=f"weight_decay {join_words(coefficients)}",
            where=observed.group_names(observations),
            fix="give the optimizer only parameters with requires_grad=True",
        )


def _find_flattened(observed: ObservedPlan) -> Iterator[Finding]:
    for optimizer in observed.optimizers.values():
        flat = [name for group in optimizer.groups for name in group.flat_parameters]
        if flat:
            yield finding(
                "DA505",
                f"{optimizer.type} holds {count_noun(len(flat), 'flattened parameter')}: all parameters "
                f"in {'it' if len(flat) == 1 else 'one of them'} get the same coefficient",
                filter(None, flat),
                expected="the model's own parameters",
                found="one-dimensional tensors packed by a wrapper",
                where=optimizer.name,
                fix="wrap with use_orig_params=True or fully_shard, and group by names",
            )


def _find_packed(observed: ObservedPlan) -> Iterator[Finding]:
    """Find flat copies of several parameters for which the ruleset decides differently."""
    decisions = {decision.name: decision for decision in observed.plan.decisions}
    for optimizer in observed.optimizers.values():
        for index, group in enumerate(optimizer.groups):
            packed = [decisions[name] for source in group.foreign_sources for name in source.packed]
            strict = [decision for decision in packed if decision.grouped and not decision.lenient]
            differing = [decision for decision in strict if decision.decays != (group.weight_decay > 0)]
            if differing:
                place = group_names([index], len(optimizer.groups), observed.optimizer_name(optimizer))
                coefficient = f"weight_decay {coefficient_text(group.weight_decay)}"
                verb = "spares" if group.weight_decay else "decays"
                yield finding(
                    "DA505",
                    f"{place} packs {count_noun(len(packed), 'parameter')} of the model into flat tensors: all get "
                    f"{coefficient}, also {count_by_kind(differing)} that {observed.plan.ruleset.name} {verb}",
                    _names(differing),
                    expected="one flat tensor for what decays, and one for the rest",
                    found=coefficient,
                    where=place,
                    fix="split the parameters into groups by name, before each group is packed",
                )


def _find_empty_groups(optimizer: Optimizer, name: str) -> Iterator[Finding]:
    empty = [index for index, group in enumerate(optimizer.groups) if not group.parameters]
    if empty:
        groups = f"{'group' if len(empty) == 1 else 'groups'} {list_numbers(empty)}"
        yield finding(
            "DA206",
            f"{groups} of {name} {'holds' if len(empty) == 1 else 'hold'} no parameters",
            expected="at least one parameter",
            found="0 parameters",
            where=f"{groups} of {name}",
            fix="leave the group out, or correct the condition that fills it",
        )


def _find_identical_groups(optimizer: Optimizer, name: str) -> Iterator[Finding]:
    """Find groups that could be merged; skip unknown classes, because their step may depend on a group's position."""
    if not optimizer.class_is_known:
        return
    settings = [_settings(group) for group in optimizer.groups if group.parameters]
    distinct = len(set(settings))
    if distinct < len(settings):
        yield finding(
            "DA207",
            f"{len(settings)} groups of {name} have "
            + ("the same settings" if distinct == 1 else f"only {distinct} different settings"),
            expected=count_noun(distinct, "group"),
            found=count_noun(len(settings), "group"),
            where=optimizer.name,
            fix="merge groups that agree in every hyperparameter",
        )


def _settings(group: ParamGroup) -> tuple[tuple[str, str], ...]:
    hyperparameters = {key: value for key, value in group.hyperparameters.items() if key not in _LABEL_KEYS}
    settings = {"weight_decay": group.weight_decay, "lr": group.lr, **hyperparameters}
    return tuple(sorted((key, repr(value)) for key, value in settings.items()))


def check_made_in_forward(inventory: Inventory, optimizers: Sequence[Optimizer]) -> Iterator[Finding]:
    """Find parameters that the first forward pass creates, after the live optimizers were created: DA209."""
    new = [parameter for parameter in inventory.made_in_forward if parameter.name]
    if not new or all(optimizer.origin != "live" for optimizer in optimizers):
        return
    yield finding(
        "DA209",
        f"{count_noun(len(new), 'parameter')} {'appears' if len(new) == 1 else 'appear'} in the first forward pass, "
        "after the optimizer was made: no optimizer holds " + ("it" if len(new) == 1 else "them"),
        [parameter.name for parameter in new],
        expected="every parameter is there before the optimizer is made",
        found=", ".join(
            f"{parameter.name} {format_shape(parameter.shape)}".rstrip() for parameter in new[:_MAX_GROUPS]
        ),
        fix="make the parameters in __init__, or run one forward pass before the optimizer is made",
    )


def check_ties(plan: Plan) -> Iterator[Finding]:
    """Find tied tensors for which the rules decide differently under different names: DA205."""
    tied = [decision for decision in plan.decisions if decision.grouped and decision.classified.parameter.tied_to]
    coefficients = _coefficients_by_other_name(tied, plan.ruleset)
    for decision in tied:
        others = {name: coefficients.get(name) for name in decision.classified.parameter.tied_to}
        differing = {
            name: value for name, value in others.items() if value is not None and value != decision.weight_decay
        }
        if differing:
            own = coefficient_text(decision.weight_decay)
            names = join_words([f"{name} ({coefficient_text(value)})" for name, value in differing.items()])
            yield finding(
                "DA205",
                f"{decision.name} gets weight_decay {own}; other names of the same tensor would get a different one: "
                f"{names}",
                (decision.name, *differing),
                expected="one decision for one tensor",
                found=f"{decision.name} ({own}), {names}",
                where=decision.location,
                fix="add a rule that matches all its names, or `tied: true`",
            )


def _coefficients_by_other_name(tied: Sequence[Decision], ruleset: RuleSet) -> dict[str, float]:
    """Decide each tensor under each of its other names, with the same role.

    Leave out names that neither a rule nor the default decides.
    """
    renamed = {
        name: _renamed(decision.classified, name) for decision in tied for name in decision.classified.parameter.tied_to
    }
    coefficients_only = replace(ruleset, default=ruleset.default or Amount(), lr_scale=(), layer_decay=None, routes=())
    decisions = decide(renamed.values(), coefficients_only).decisions
    return {
        decision.name: decision.weight_decay for decision in decisions if ruleset.default or decision.rule != DEFAULT
    }


def _renamed(classified: Classified, name: str) -> Classified:
    owner = replace(classified.parameter.owner, name=name.rpartition(".")[0])
    return replace(classified, parameter=replace(classified.parameter, name=name, raw_name=name, owner=owner))


def _names(decisions: Sequence[Decision]) -> tuple[str, ...]:
    return tuple(decision.name for decision in decisions)


def _are(decisions: Sequence[Decision]) -> str:
    return "is" if len(decisions) == 1 else "are"


def _them(decisions: Sequence[Decision]) -> str:
    return "it" if len(decisions) == 1 else "them"
