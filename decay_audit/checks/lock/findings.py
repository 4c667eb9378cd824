"""Compare a lock with the current entries: DA701 for changed, DA702 for new, DA703 for gone or renamed parameters."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.lock.changes import Change, Changes, compare
from decay_audit.checks.lock.entries import Entries, Entry, Lock
from decay_audit.model.choices import Severity
from decay_audit.roles.words import NOUNS
from decay_audit.text import count_noun, join_words

T = TypeVar("T")

_NOUNS: Mapping[str, tuple[str, str]] = {str(role): nouns for role, nouns in NOUNS.items()}


def check_lock(lock: Lock, current: Entries, file: str, command: str) -> tuple[Finding, ...]:
    """Compare current entries with a lock. What optimizers do is compared only if both have it.

    Args:
        file: the path of the lock, as a message names it.
        command: the command that rewrites the lock.
    """
    changes = compare(lock.entries, current)
    return (
        *_changed(changes, lock, file, command),
        *_added(changes, current, file, command),
        *_gone(changes, lock, file, command),
    )


def _changed(changes: Changes, lock: Lock, file: str, command: str) -> Iterator[Finding]:
    decided = [change for change in changes.changed if change.decided_differently]
    for members in _group_by(decided, lambda change: (change.before.decision, change.after.decision, change.renamed)):
        after, before = _decision(members[0].after), _decision(members[0].before)
        message = f"{_counted(members)}: {_reason(members[0].after)}; the lock says {_reason(members[0].before)}"
        yield _finding("DA701", members, message, (before, after), lock, file, command)
    observed = [change for change in changes.changed if change.observed_differently]
    for members in _group_by(observed, lambda change: (change.before.observed, change.after.observed, change.renamed)):
        after, before = _observed(members[0].after), _observed(members[0].before)
        message = f"{_counted(members)}: {after}; the lock says {before}"
        yield _finding("DA701", members, message, (before, after), lock, file, command)
    same = [change for change in changes.changed if not (change.decided_differently or change.observed_differently)]
    yield from _same_decision(same, lock, file, command)


def _same_decision(changes: Sequence[Change], lock: Lock, file: str, command: str) -> Iterator[Finding]:
    described = [change for change in changes if change.described_differently]
    for members in _group_by(described, lambda change: (_description(change), change.renamed)):
        before, after = members[0].before, members[0].after
        sides = tuple(f"{_role(entry)} {entry.shape}, {_rule(entry)}" for entry in (before, after))
        message = f"{_counted(members)}: {_description(members[0])}; {_unchanged_text(members)}"
        yield _finding("DA701", members, message, sides, lock, file, command, severity="note")
    if renamed := [change for change in changes if change.renamed and not change.described_differently]:
        has = "has" if len(renamed) == 1 else "have"
        message = f"{count_noun(len(renamed), 'parameter')} of the lock {has} a new name; {_unchanged_text(renamed)}"
        sides = (renamed[0].old_name, renamed[0].name)
        yield _finding("DA703", renamed, message, sides, lock, file, command, severity="warning")


def _added(changes: Changes, current: Entries, file: str, command: str) -> Iterator[Finding]:
    for names in _group_by(changes.added, lambda name: (current[name].decision, current[name].rule)):
        decision, rule = _decision(current[names[0]]), _rule(current[names[0]])
        count = _count_roles([current[name] for name in names])
        yield finding(
            "DA702",
            f"{count} {'is' if len(names) == 1 else 'are'} not in the lock: {decision}, by {rule}",
            names,
            expected="parameters of the lock",
            found=decision,
            where=file,
            fix=command,
        )


def _gone(changes: Changes, lock: Lock, file: str, command: str) -> Iterator[Finding]:
    if changes.gone:
        entries = [lock.entries[name] for name in changes.gone]
        yield finding(
            "DA703",
            f"{_count_roles(entries)} of the lock {'is' if len(entries) == 1 else 'are'} not in the model",
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


def _rules(change: Change) -> str:
    if change.before.rule == change.after.rule:
        return f"{_rule(change.after)} decides, as in the lock"
    return f"{_rule(change.after)} decides, in the lock {_rule(change.before)}"


def _decision(entry: Entry) -> str:
    texts = [
        {"0": "spared", "frozen": "frozen, in no group"}.get(entry.weight_decay, f"weight_decay {entry.weight_decay}"),
        "" if entry.lr_scale == "1" else f"lr x{entry.lr_scale}",
        entry.use,
    ]
    return ", ".join(filter(None, texts))


def _reason(entry: Entry) -> str:
    return f"{_decision(entry)} by {_rule(entry)}"


def _observed(entry: Entry) -> str:
    if entry.observed == "none":
        return "in no optimizer"
    return " and ".join(map(_observation, entry.observed.split(",")))


def _observation(text: str) -> str:
    """Write `AdamW:0.05:x0.1` as a person reads it."""
    type_, _, rest = text.partition(":")
    decay, _, scale = rest.partition(":")
    return f"{'spared' if decay == '0' else f'weight_decay {decay}'}{f', lr {scale}' if scale else ''} in {type_}"


def _description(change: Change) -> str:
    before, after = change.before, change.after
    parts = [
        f"the role is {_role(after)}, in the lock {_role(before)}" if before.role != after.role else "",
        f"the shape is {after.shape}, in the lock {before.shape}" if before.shape != after.shape else "",
        _rules(change) if before.rule != after.rule else "",
    ]
    return join_words([part for part in parts if part])


def _role(entry: Entry) -> str:
    return entry.role.replace("_", " ")


def _rule(entry: Entry) -> str:
    return "the default" if entry.rule == "default" else f"rule {entry.rule}"


def _unchanged_text(members: Sequence[object]) -> str:
    return "its decision is the same" if len(members) == 1 else "their decisions are the same"


def _counted(members: Sequence[Change]) -> str:
    return _count_roles([change.after for change in members])


def _count_roles(entries: Sequence[Entry]) -> str:
    counts = Counter(entry.role for entry in entries)
    return join_words([count_noun(count, *_NOUNS.get(role, (role, role))) for role, count in counts.items()])


def _group_by(items: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """Group items by key, in the order in which the keys first occur."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return iter(groups.values())
