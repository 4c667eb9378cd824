"""Findings on what decay comes to: over a whole run (DA801, DA802), and for the output of the model (DA804, DA805)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import count_by_kind
from decay_audit.checks.observed_plan import effective_weight_decay, has_known_decay
from decay_audit.model.horizon import GroupOverRun, Horizon
from decay_audit.model.observations import Observation
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import format_kept, format_number, join_words, list_numbers

NEGLIGIBLE_SUM = 0.01
"""A run whose steps remove less than this part of a weight, all together, would end alike without decay."""

Effect = Literal["negligible", "faster than an epoch", "slower than the run"]


def check_over_run(horizon: Horizon, plan: Plan) -> Iterator[Finding]:
    """Report parameters whose decay hardly acts in this run, or acts on another timescale than training."""
    by_effect: dict[Effect, list[GroupOverRun]] = {}
    for group in horizon.groups:
        if (effect := _effect(group, horizon)) is not None:
            by_effect.setdefault(effect, []).append(group)
    for effect, groups in sorted(by_effect.items(), key=lambda entry: entry[0] != "negligible"):
        yield from _finding(effect, groups, horizon, plan)


def check_scaling(plan: Plan, observations: Iterable[Observation]) -> Iterator[Finding]:
    """Report weights and parameters whose scale, or whose value, does not change the output of the model.

    Args:
        observations: what optimizers do; where they do not say whether a parameter decays, the plan does.
    """
    observed = {
        observation.parameter: bool(effective_weight_decay(observation))
        for observation in observations
        if has_known_decay(observation)
    }
    decayed: list[Decision] = []
    spared: list[Decision] = []
    inert: list[Decision] = []
    for decision in plan.decisions:
        scaling = decision.classified.parameter.scaling
        if scaling is None or not decision.grouped:
            continue
        if scaling.effect == "inert":
            inert.append(decision)
        elif scaling.effect == "scale-invariant":
            (decayed if observed.get(decision.name, decision.decays) else spared).append(decision)
    yield from _scaling_finding("DA804", decayed, "scale-invariant: decay sets {} learning rate, not the output's size")
    yield from _scaling_finding("DA804", spared, "scale-invariant and spared: {} norm only grows")
    yield from _scaling_finding("DA805", inert, "inert: the output does not depend on {} values")


def _scaling_finding(code: str, decisions: Sequence[Decision], text: str) -> Iterator[Finding]:
    if decisions:
        verb, owner = ("is", "its") if len(decisions) == 1 else ("are", "their")
        message = f"{count_by_kind(decisions)} {verb} {text.format(owner)}"
        yield finding(code, message, [decision.name for decision in decisions])


def _effect(group: GroupOverRun, horizon: Horizon) -> Effect | None:
    """Tell which finding a group has; None for a group that decays nothing, or on a usual or unknown timescale."""
    total, timescale = group.decay.removed_sum, group.decay.timescale_steps
    if not total or timescale is None:
        return None
    if total < NEGLIGIBLE_SUM:
        return "negligible"
    if horizon.epoch_steps is not None and timescale < horizon.epoch_steps < horizon.steps:
        return "faster than an epoch"
    return "slower than the run" if timescale > horizon.steps else None


def _finding(effect: Effect, groups: Sequence[GroupOverRun], horizon: Horizon, plan: Plan) -> Iterator[Finding]:
    names = {name for group in groups for name in group.parameters}
    decisions = [decision for decision in plan.decisions if decision.name in names]
    if not decisions:
        return
    verb, remember = ("keeps", "remembers") if len(decisions) == 1 else ("keep", "remember")
    kept = _range([group.decay.kept for group in groups])
    run, timescales = f"{horizon.steps:,} steps", [group.decay.timescale_steps for group in groups]
    shortest = format_number(min(timescale for timescale in timescales if timescale is not None))
    if effect == "negligible":
        message = f"{verb} {kept} of their values over the {run} if only decay acts: the coefficient does nothing here"
    elif effect == "slower than the run":
        message = f"{verb} {kept} of their values over the {run}: decay would need {shortest} steps to act"
    else:
        message = f"{remember} only about {shortest} steps, less than an epoch of {horizon.epoch_steps:,} steps"
    if len(decisions) == 1:
        message = message.replace("their values", "its values")
    yield finding(
        "DA801" if effect == "negligible" else "DA802",
        f"{count_by_kind(decisions)} {message}",
        [decision.name for decision in decisions],
        expected=f"lr x weight_decay that adds up to {NEGLIGIBLE_SUM} or more"
        if effect == "negligible"
        else "a timescale between an epoch and the run",
        found=f"{shortest} steps",
        where=_places(groups),
    )


def _range(values: Iterable[float | None]) -> str:
    """Write the smallest and the largest part that is kept; one of them if they read alike."""
    known = [value for value in values if value is not None]
    return " to ".join(dict.fromkeys((format_kept(min(known)), format_kept(max(known)))))


def _places(groups: Sequence[GroupOverRun]) -> str:
    indices: dict[str, set[int]] = {}
    for group in groups:
        indices.setdefault(group.type, set()).add(group.group)
    return join_words(
        [
            f"group{'s' if len(group_indices) > 1 else ''} {list_numbers(sorted(group_indices))} of {kind}"
            for kind, group_indices in indices.items()
        ]
    )
