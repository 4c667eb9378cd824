"""Group what a comparison found: parameters that differ alike are one group. Text and page write the groups."""

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.checks.lock.changes import Change, ComparedSide, ModelComparison
from decay_audit.checks.lock.entries import Entry
from decay_audit.checks.lock.entry_text import count_roles, decision_and_rule, optimizer_text, role_text
from decay_audit.reports.document.over_run_text import kept_text, run_text
from decay_audit.reports.totals import factors
from decay_audit.roles.words import NOUNS, Role
from decay_audit.rulesets.diff import RulesetComparison, RulesetDecision, RulesetDifference
from decay_audit.rulesets.plan import FROZEN
from decay_audit.text import count_noun, escape_control, format_coefficient, join_words


class ChangeGroup(Struct, frozen=True, kw_only=True):
    """Parameters that differ between two models in the same way.

    Attributes:
        roles: how many of which roles: `2 norm weights and 1 bias`.
        title: what differs: `renamed`, `decided differently`, `added`, `gone`.
        before: what is said of them on the earlier side: the decision, the optimizer, the role with its evidence, the
            shape, each if it differs; empty if that side does not have them, or if only the name differs.
        after: the same of the later side.
        states: whether each side `decays`, is `spared` or `frozen`; "" for a side that lacks the parameters, and for
            both if their decisions are the same.
        old_names: their names on the earlier side; empty if that side does not have them.
        new_names: their names on the later side, in the same order.
    """

    roles: str
    title: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    states: tuple[str, str] = ("", "")
    old_names: tuple[str, ...] = ()
    new_names: tuple[str, ...] = ()

    @property
    def renamed(self) -> bool:
        """Whether both sides have the parameters, under other names."""
        return bool(self.old_names and self.new_names) and self.old_names != self.new_names


def change_groups(comparison: ModelComparison) -> tuple[ChangeGroup, ...]:
    """Group what differs between two models: what both have, then what was added, then what is gone."""
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Change]] = {}
    for change in comparison.changes.changed:
        sides = ((change.before, comparison.before, change.old_name), (change.after, comparison.after, change.name))
        before, after = (_side_texts(change, entry, side.evidence.get(name, "")) for entry, side, name in sides)
        groups.setdefault((_title(change), before, after), []).append(change)
    changed = (
        ChangeGroup(
            roles=count_roles([change.after for change in members]),
            title=title,
            before=before,
            after=after,
            states=_states(members[0]),
            old_names=tuple(change.old_name for change in members),
            new_names=tuple(change.name for change in members),
        )
        for (title, before, after), members in groups.items()
    )
    return (
        *changed,
        *(
            ChangeGroup(roles=roles, title="added", after=(decision,), states=("", state), new_names=names)
            for roles, decision, state, names in _one_sided(comparison.changes.added, comparison.after)
        ),
        *(
            ChangeGroup(roles=roles, title="gone", before=(decision,), states=(state, ""), old_names=names)
            for roles, decision, state, names in _one_sided(comparison.changes.gone, comparison.before)
        ),
    )


def _title(change: Change) -> str:
    """Say what differs: `renamed, decided differently`."""
    before, after = change.before, change.after
    facts = {
        "renamed": change.renamed,
        "decided differently": change.decided_differently,
        "treated differently by the optimizer": change.observed_differently,
        "with another role": before.role != after.role,
        "with another shape": before.shape != after.shape,
        "decided by another rule": before.rule != after.rule and not change.decided_differently,
    }
    return join_words([text for text, is_true in facts.items() if is_true])


def _states(change: Change) -> tuple[str, str]:
    return (_state(change.before), _state(change.after)) if _decision_differs(change) else ("", "")


def _state(entry: Entry) -> str:
    return {"0": "spared", "frozen": "frozen"}.get(entry.weight_decay, "decays")


def _decision_differs(change: Change) -> bool:
    return change.decided_differently or change.before.rule != change.after.rule


def _side_texts(change: Change, entry: Entry, evidence: str) -> tuple[str, ...]:
    before, after = change.before, change.after
    decision_differs = _decision_differs(change)
    role = role_text(entry) + (f" ({evidence})" if evidence else "")
    texts = {
        decision_and_rule(entry): decision_differs,
        optimizer_text(entry): change.observed_differently,
        role: decision_differs or before.role != after.role,
        entry.shape: before.shape != after.shape,
    }
    return tuple(text for text, differs in texts.items() if differs)


def _one_sided(names: Sequence[str], side: ComparedSide) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Group parameters that only one side has by decision: their roles, the decision, its state, their names."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(decision_and_rule(side.entries[name]), []).append(name)
    for decision, members in groups.items():
        entries = [side.entries[name] for name in members]
        yield count_roles(entries), decision, _state(entries[0]), tuple(members)


class RulesetGroup(Struct, frozen=True, kw_only=True):
    """Parameters of one role that rulesets treat differently, apart from factors on the learning rate.

    Attributes:
        decisions: the decision of each ruleset; for parameters with several factors, that of the first.
        treatments: each decision as text.
        outcomes: what decay comes to over the run under each ruleset, as text; "" if its length is not known.
    """

    role: Role
    names: tuple[str, ...]
    numel: int
    decisions: tuple[RulesetDecision, ...]
    treatments: tuple[str, ...]
    outcomes: tuple[str, ...]


def ruleset_groups(comparison: RulesetComparison) -> tuple[RulesetGroup, ...]:
    """Group what rulesets decide differently, the largest group first."""
    groups: dict[tuple[Role, tuple[RulesetDecision, ...]], list[RulesetDifference]] = {}
    for difference in comparison.differences:
        decisions = tuple(replace(decision, lr_scale=1.0, over_run=None) for decision in difference.sides)
        groups.setdefault((difference.role, decisions), []).append(difference)
    unsorted_groups = [
        RulesetGroup(
            role=role,
            names=tuple(name for difference in members for name in difference.parameters),
            numel=sum(difference.numel for difference in members),
            decisions=members[0].sides,
            treatments=tuple(map(_treatment, zip(*(difference.sides for difference in members), strict=True))),
            outcomes=tuple(map(_outcome, zip(*(difference.sides for difference in members), strict=True))),
        )
        for (role, _), members in groups.items()
    ]
    return tuple(sorted(unsorted_groups, key=lambda group: -group.numel))


def outcome_texts(comparison: RulesetComparison) -> Iterator[str]:
    """Write what the difference comes to over the run: `62 norm weights: kept 0.2 % against 100 %`."""
    if comparison.horizon is None or not comparison.differences:
        return
    yield f"if only decay acts for {run_text(comparison.horizon)}"
    roles: dict[tuple[str, ...], Counter[Role]] = {}
    for group in ruleset_groups(comparison):
        roles.setdefault(group.outcomes, Counter())[group.role] += len(group.names)
    for outcomes, counts in roles.items():
        nouns = join_words([count_noun(count, *NOUNS[role]) for role, count in counts.items()])
        yield f"{nouns}: kept {' against '.join(outcomes)}"


def _outcome(decisions: Sequence[RulesetDecision]) -> str:
    return kept_text([decision.over_run for decision in decisions if decision.over_run is not None])


def _treatment(decisions: Sequence[RulesetDecision]) -> str:
    """Write what a ruleset decides for parameters that it treats alike except for their learning rates."""
    decision, scales = decisions[0], [decision.lr_scale for decision in decisions]
    if decision.rule == FROZEN:
        return "in no group"
    texts = [
        format_coefficient(decision.weight_decay) if decision.weight_decay else "spared",
        "lenient" if decision.lenient else "",
        f"lr {factors(scales)}" if any(scale != 1.0 for scale in scales) else "",
        escape_control(decision.use or ""),
    ]
    return ", ".join(filter(None, texts))
