"""Compare two sets of entries: which parameters are decided in another way, and which are new, gone or renamed."""

from collections.abc import Mapping

from msgspec import Struct

from decay_audit.checks.lock.entries import Entries, Entry
from decay_audit.checks.lock.renames import find_renames


class Change(Struct, frozen=True, kw_only=True):
    """One parameter that both sides have.

    Attributes:
        name: its name in the later set of entries.
        old_name: its name in the earlier set; the same unless it was renamed.
    """

    name: str
    old_name: str
    before: Entry
    after: Entry

    @property
    def renamed(self) -> bool:
        """Whether the two names differ."""
        return self.name != self.old_name

    @property
    def differs(self) -> bool:
        """Whether the name, the decision, the description, or what optimizers do differs."""
        return self.renamed or self.decided_differently or self.observed_differently or self.described_differently

    @property
    def decided_differently(self) -> bool:
        """Whether the decision differs: the coefficient, the learning rate, or the optimizer."""
        return self.before.decision != self.after.decision

    @property
    def observed_differently(self) -> bool:
        """Whether optimizers treat it differently; False if one of the sides has no optimizer."""
        return bool(self.before.observed and self.after.observed) and self.before.observed != self.after.observed

    @property
    def described_differently(self) -> bool:
        """Whether its shape, its role, or the rule that decides it differs."""
        before, after = self.before, self.after
        return (before.shape, before.role, before.rule) != (after.shape, after.role, after.rule)


class ComparedSide(Struct, frozen=True, kw_only=True):
    """One side of a comparison: a set of entries, with a label.

    Attributes:
        label: the target, the lock, or the target at a git revision.
        ruleset: the name of the ruleset that decided.
        ruleset_hash: the hash of its content.
        evidence: the strongest evidence for the role of each parameter; empty for a lock.
    """

    label: str
    entries: Entries
    ruleset: str
    ruleset_hash: str
    evidence: Mapping[str, str] = {}


class ModelComparison(Struct, frozen=True, kw_only=True):
    """Two sides, and what differs."""

    before: ComparedSide
    after: ComparedSide
    changes: "Changes"

    @property
    def ruleset_text(self) -> str:
        """Which ruleset decided each side: `ruleset timm`, or `ruleset timm -> ours`."""
        before, after = self.before, self.after
        if before.ruleset != after.ruleset:
            return f"ruleset {before.ruleset} -> {after.ruleset}"
        return f"ruleset {after.ruleset}{'' if before.ruleset_hash == after.ruleset_hash else ', which changed'}"


class Changes(Struct, frozen=True, kw_only=True):
    """What differs between two sets of entries.

    Attributes:
        changed: parameters that both sides have and that differ in any way, in the order of the later side.
        added: names that only the later side has.
        gone: names that only the earlier side has.
    """

    changed: tuple[Change, ...] = ()
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.changed or self.added or self.gone)


def compare(before: Entries, after: Entries) -> Changes:
    """Compare two sets of entries by name. A renamed parameter is one change, and not one gone and one added."""
    gone = {name: entry for name, entry in before.items() if name not in after}
    added = {name: entry for name, entry in after.items() if name not in before}
    renames = find_renames(gone, added)
    old_names = {new_name: old_name for old_name, new_name in renames.items()}
    changes = []
    for name, entry in after.items():
        old_name = old_names.get(name, name)
        if (old_entry := before.get(old_name)) is None:
            continue
        if old_entry == entry and name == old_name:
            continue
        change = Change(name=name, old_name=old_name, before=old_entry, after=entry)
        if change.differs:
            changes.append(change)
    return Changes(
        changed=tuple(changes),
        added=tuple(name for name in added if name not in old_names),
        gone=tuple(name for name in gone if name not in renames),
    )
