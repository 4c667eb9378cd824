"""Pair the old names of renamed parameters with their new names.

A rename replaces some parts of dotted names by others: `norm1` by `ln1`, `encoder` by `backbone.encoder`. Each
replacement is applied to all names; first the one that turns most old names into new ones. The shapes must be equal.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

from decay_audit.checks.lock.entries import Entries, NameParts

Replacement = tuple[NameParts, NameParts]
"""The parts of a dotted name that were replaced, and the parts that replace them; either may be empty."""

_SAMPLED_OLD_NAMES = 24
"""About how many old names are compared with new names to find a replacement."""
_SAMPLED_NEW_NAMES = 240
"""About how many new names each of these old names is compared with."""
_MAX_REPLACEMENTS = 60
"""The most replacements that are tried."""
_MIN_SIMILARITY = 0.6
"""The lowest ratio of SequenceMatcher for two names that share no part."""


def find_renames(gone: Entries, new: Entries) -> dict[str, str]:
    """Pair old names with new names; each name is used once at most."""
    old_parts = {name: tuple(name.split(".")) for name in gone}
    new_parts = {name: tuple(name.split(".")) for name in new}
    pairs: dict[str, str] = {}
    tried: set[Replacement] = set()
    for _ in range(_MAX_REPLACEMENTS):
        votes = _votes(gone, new, old_parts, new_parts)
        votes = Counter({replacement: count for replacement, count in votes.items() if replacement not in tried})
        if not votes:
            break
        best = max(votes, key=lambda replacement: (votes[replacement], -len(replacement[0]) - len(replacement[1])))
        tried.add(best)
        for name, other in _apply(best, gone, new, old_parts, new_parts).items():
            pairs[name] = other
            del old_parts[name], new_parts[other]
        if not (old_parts and new_parts):
            break
    return pairs


def _votes(
    gone: Entries, new: Entries, old_parts: Mapping[str, NameParts], new_parts: Mapping[str, NameParts]
) -> Counter[Replacement]:
    """Count the pairs of an old and a new name that each replacement would make, in a sample of the names."""
    by_kind: dict[tuple[str, str], list[NameParts]] = {}
    for name, parts in new_parts.items():
        by_kind.setdefault((new[name].shape, new[name].role), []).append(parts)
    names = list(old_parts)
    votes: Counter[Replacement] = Counter()
    for name in names[:: max(1, len(names) // _SAMPLED_OLD_NAMES)]:
        candidates = by_kind.get((gone[name].shape, gone[name].role), [])
        for other in candidates[:: max(1, len(candidates) // _SAMPLED_NEW_NAMES)]:
            if _is_similar(old_parts[name], other):
                votes[_replacement(old_parts[name], other)] += 1
    return votes


def _is_similar(old: NameParts, new: NameParts) -> bool:
    """Whether the names share a part that is not a number, or are spelled alike."""
    if {part for part in old if not part.isdigit()} & set(new):
        return True
    matcher = SequenceMatcher(None, ".".join(old), ".".join(new), autojunk=False)
    return matcher.quick_ratio() >= _MIN_SIMILARITY and matcher.ratio() >= _MIN_SIMILARITY


def _replacement(old: NameParts, new: NameParts) -> Replacement:
    """Find what is replaced: the parts of both names without those that are equal at the start and at the end."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return old[start : len(old) - end], new[start : len(new) - end]


def _apply(
    replacement: Replacement,
    gone: Entries,
    new: Entries,
    old_parts: Mapping[str, NameParts],
    new_parts: Mapping[str, NameParts],
) -> dict[str, str]:
    """Apply a replacement to all old names, and keep the names that become a new name of the same shape."""
    pairs: dict[str, str] = {}
    used: set[str] = set()
    for name, parts in old_parts.items():
        for new_name_parts in _replaced_names(parts, replacement):
            other = ".".join(new_name_parts)
            if other in new_parts and other not in used and new[other].shape == gone[name].shape:
                pairs[name] = other
                used.add(other)
                break
    return pairs


def _replaced_names(parts: NameParts, replacement: Replacement) -> Iterator[NameParts]:
    """Yield the new name for each place at which the replacement can be applied to a name."""
    before, after = replacement
    for start in range(len(parts) - len(before) + 1):
        if parts[start : start + len(before)] == before:
            yield (*parts[:start], *after, *parts[start + len(before) :])
