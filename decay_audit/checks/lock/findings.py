"""Compare a lock with the current entries: DA701 for changed, DA702 for added, DA703 for gone or renamed parameters."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.lock.changes import Change, Changes, compare
from decay_audit.checks.lock.entries import Entries, Lock
from decay_audit.checks.lock.entry_text import (
    count_roles,
    decision_and_rule,
    decision_text,
    optimizer_text,
    role_text,
    rule_text,
)
from decay_audit.model.choices import Severity
from decay_audit.text import count_noun, join_words

T = TypeVar("T")


def check_lock(lock: Lock, current: Entries, file: str, command: str) -> tuple[Finding, ...]:
    """Compare current entries with a lock. What optimizers do is compared only if both sides recorded it.

    Args:
        file: the path of the lock, as a message names it.
        command: the command that rewrites the lock.
    """
    changes = compare(lock.entries, current)
    return (
        *_changed_findings(changes, lock, file, command),
        *_added_findings(changes, current, file, command),
        *_gone_findings(changes, lock, file, command),
    )


def _changed_findings(changes: Changes, lock: Lock, file: str, command: str) -> Iterator[Finding]:
    """Report each change once: what is decided and what the optimizer does are one finding if both differ."""
    differing = [change for change in changes.changed if change.decided_differently or change.observed_differently]
    for members in _group_by(differing, lambda change: (_sides(change), change.renamed)):
        before, after = members[0].before, members[0].after
        lock_text, now_text = _sides(members[0])
        message = f"{_count_changes(members)}: {now_text}; the lock says {lock_text}"
        is_decision = members[0].decided_differently
        sides = tuple((decision_text if is_decision else optimizer_text)(entry) for entry in (before, after))
        yield _finding("DA701", members, message, sides, lock, file, command)
    others = [change for change in changes.changed if not (change.decided_differently or change.observed_differently)]
    yield from _same_decision_findings(others, lock, file, command)


def _sides(change: Change) -> tuple[str, str]:
    """Write what the lock and what the model says, as far as they differ: the decision, and what the optimizer does."""
    before, after = (
        ", ".join(
            [
                *([decision_and_rule(entry)] if change.decided_differently else []),
                *([optimizer_text(entry)] if change.observed_differently else []),
            ]
        )
        for entry in (change.before, change.after)
    )
    return before, after


def _same_decision_findings(changes: Sequence[Change], lock: Lock, file: str, command: str) -> Iterator[Finding]:
    descriptions = [change for change in changes if change.described_differently]
    for members in _group_by(descriptions, lambda change: (_description(change), change.renamed)):
        before, after = members[0].before, members[0].after
        sides = tuple(f"{role_text(entry)} {entry.shape}, {rule_text(entry)}" for entry in (before, after))
        message = f"{_count_changes(members)}: {_description(members[0])}; {_same_decision_text(members)}"
        yield _finding("DA701", members, message, sides, lock, file, command, severity="note")
    if renamed := [change for change in changes if change.renamed and not change.described_differently]:
        has = "has" if len(renamed) == 1 else "have"
        message = (
            f"{count_noun(len(renamed), 'parameter')} of the lock {has} a new name; {_same_decision_text(renamed)}"
        )
        sides = (renamed[0].old_name, renamed[0].name)
        yield _finding("DA703", renamed, message, sides, lock, file, command, severity="warning")


def _added_findings(changes: Changes, current: Entries, file: str, command: str) -> Iterator[Finding]:
    for names in _group_by(changes.added, lambda name: (current[name].decision, current[name].rule)):
        decision, rule = decision_text(current[names[0]]), rule_text(current[names[0]])
        counts = count_roles([current[name] for name in names])
        yield finding(
            "DA702",
            f"{counts} {'is' if len(names) == 1 else 'are'} not in the lock: {decision}, by {rule}",
            names,
            expected="parameters of the lock",
            found=decision,
            where=file,
            fix=command,
        )


def _gone_findings(changes: Changes, lock: Lock, file: str, command: str) -> Iterator[Finding]:
    if changes.gone:
        entries = [lock.entries[name] for name in changes.gone]
        yield finding(
            "DA703",
            f"{count_roles(entries)} of the lock {'is' if len(entries) == 1 else 'are'} not in the model",
            changes.gone,
            expected="parameters of the model",
            found="no parameter of this name, and no new one with its shape and a similar name",
            where=_location(changes.gone[0], lock, file),
            fix=command,
        )


def _finding(
    code: str,
    members: Sequence[Change],
    message: str,
    sides: tuple[str, ...],
    lock: Lock,
    file: str,
    command: str,
    *,
    severity: Severity | None = None,
) -> Finding:
    first = members[0]
    more = f", and {len(members) - 1:,} more" if len(members) > 1 else ""
    renamed = f" (renamed: {first.old_name} is now {first.name}{more})" if first.renamed else ""
    return finding(
        code,
        message + renamed,
        (change.name for change in members),
        expected=sides[0],
        found=sides[1],
        where=_location(first.old_name, lock, file),
        fix=command,
        severity=severity,
    )


def _location(name: str, lock: Lock, file: str) -> str:
    return f"{file}:{lock.lines[name]}" if name in lock.lines else file


def _rules_text(change: Change) -> str:
    return f"{rule_text(change.after)} decides, in the lock {rule_text(change.before)}"


def _description(change: Change) -> str:
    before, after = change.before, change.after
    parts = [
        f"the role is {role_text(after)}, in the lock {role_text(before)}" if before.role != after.role else "",
        f"the shape is {after.shape}, in the lock {before.shape}" if before.shape != after.shape else "",
        _rules_text(change) if before.rule != after.rule else "",
    ]
    return join_words([part for part in parts if part])


def _same_decision_text(members: Sequence[object]) -> str:
    return "its decision is the same" if len(members) == 1 else "their decisions are the same"


def _count_changes(members: Sequence[Change]) -> str:
    return count_roles([change.after for change in members])


def _group_by(items: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """Group items by key, in the order in which the keys first occur."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return iter(groups.values())
