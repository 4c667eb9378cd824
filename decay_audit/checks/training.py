"""Findings on a script that ran: changed groups (DA803), parameters without a gradient at first (DA806), and DA201.

DA201 here reports parameters that got a gradient, but are neither in an optimizer nor in an audited model.
"""

from collections.abc import Iterator, Sequence

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import coefficient_text, count_by_kind
from decay_audit.model.choices import Severity
from decay_audit.model.training_facts import GroupChange, TrainingFacts
from decay_audit.rulesets.plan import Plan
from decay_audit.text import count_noun, first_few, join_words

_MAX_CLASSES = 3
"""How many classes of modules one finding names."""


def check_training(facts: TrainingFacts, plan: Plan) -> Iterator[Finding]:
    """Report groups that changed after the optimizer was made, and parameters that got no gradient at first."""
    # without a step, it is set-up code that changed the groups: nothing was trained with the earlier ones
    for change in facts.changes:
        only_schedule = change.is_schedule and not (change.added or change.removed)
        severity: Severity | None = "note" if only_schedule or not facts.steps else None
        yield finding(
            "DA803",
            f"group {change.group} of {change.optimizer} changed after the optimizer was made: {_change_text(change)}",
            change.parameters or change.added,
            expected=f"weight_decay {coefficient_text(change.weight_decay[0])}",
            found=f"weight_decay {coefficient_text(change.weight_decay[1])}",
            where=f"group {change.group} of {change.optimizer}",
            severity=severity,
        )
    yield from _gradient_findings(facts.without_gradient, plan, "no gradient", "a step of torch's classes skips {}")
    decayed = tuple(name for name in facts.zero_gradient if name in facts.decayed)
    others = tuple(name for name in facts.zero_gradient if name not in facts.decayed)
    yield from _gradient_findings(decayed, plan, "a gradient of exactly zero", "only decay moves {}")
    yield from _gradient_findings(others, plan, "a gradient of exactly zero", "a step does not move {}")


def check_outside(counts: Sequence[tuple[str, int]]) -> Iterator[Finding]:
    """Report parameters that got a gradient, but are in no optimizer and in no model of an optimizer.

    It is only a warning: a network that only measures a loss needs no optimizer, though its gradients cost time.

    Args:
        counts: the classes of the modules that hold the parameters, each with the number of its parameters.
    """
    total = sum(count for _, count in counts)
    if total:
        is_single = total == 1
        names = first_few([name for name, _ in counts], _MAX_CLASSES)
        yield finding(
            "DA201",
            f"{count_noun(total, 'parameter')} of {names} got a gradient, and {'is' if is_single else 'are'} in no "
            "optimizer and in no model that was audited",
            expected="in a param group, or requires_grad=False",
            found="in no param group",
            fix=f"give {'it' if is_single else 'them'} to an optimizer, or set requires_grad=False, which saves the "
            "gradient",
            severity="warning",
        )


def _change_text(change: GroupChange) -> str:
    before, after = map(coefficient_text, change.weight_decay)
    by = " by a schedule" if change.is_schedule else ""
    texts = [f"weight_decay {before} became {after}{by}"] if before != after else []
    texts += [f"{_count_with_verb(len(change.added), 'parameter')} added"] if change.added else []
    texts += [f"{_count_with_verb(change.removed, 'tensor')} removed"] if change.removed else []
    return join_words(texts)


def _count_with_verb(count: int, noun: str) -> str:
    return f"{count_noun(count, noun)} {'was' if count == 1 else 'were'}"


def _gradient_findings(names: tuple[str, ...], plan: Plan, gradient_text: str, effect: str) -> Iterator[Finding]:
    """Make the finding on these parameters, if there are any. In `effect`, `{}` stands for the parameters."""
    decisions = [decision for decision in plan.decisions if decision.name in set(names)]
    if decisions:
        single = len(decisions) == 1
        yield finding(
            "DA806",
            f"{count_by_kind(decisions)} {'has' if single else 'have'} {gradient_text} in the first backward pass: "
            f"{effect.format('it' if single else 'them')}",
            [decision.name for decision in decisions],
            expected="a gradient",
            found=gradient_text,
        )
