"""Find few patterns that match given names and no other names.

A pattern is a glob, a regular expression or a part of a name: each framework has its own form.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatch
from glob import escape as escape_glob

Candidates = Callable[[str], Iterator[str]]
"""Yields the patterns that match a name."""
Matches = Callable[[str, str], bool]
"""Whether a pattern, the first argument, matches a name."""


def cover(names: Sequence[str], others: Collection[str], candidates: Candidates, matches: Matches) -> list[str]:
    """Find patterns that together match the names and none of the others.

    If every pattern for a name also matches one of the others, this name gets no pattern.

    Args:
        candidates: yields the patterns that match a name: general ones first, and the name itself last.
    """
    remaining = dict.fromkeys(names)
    ranks: dict[str, int] = {}
    for name in names:
        for rank, pattern in enumerate(candidates(name)):
            ranks.setdefault(pattern, rank)
    usable = {
        pattern: [name for name in names if matches(pattern, name)]
        for pattern in ranks
        if not any(matches(pattern, other) for other in others)
    }
    chosen: list[str] = []
    while remaining and usable:
        best = max(usable, key=lambda pattern: (sum(name in remaining for name in usable[pattern]), -ranks[pattern]))
        matched = [name for name in usable.pop(best) if name in remaining]
        if not matched:
            break
        chosen.append(best)
        for name in matched:
            del remaining[name]
    return chosen


def globs(name: str) -> Iterator[str]:
    """Yield globs for a name, as timm matches them."""
    parts = name.split(".")
    if len(parts) > 1:
        yield f"*.{escape_glob(parts[-1])}"
        yield f"*.{escape_glob('.'.join(parts[-2:]))}"
    yield from (f"*{escape_glob(part)}*" for part in parts[:-1] if not part.isdecimal())
    yield ".".join("*" if part.isdecimal() else escape_glob(part) for part in parts)
    yield escape_glob(name)


def matches_glob(pattern: str, name: str) -> bool:
    """Match a glob as timm does."""
    return fnmatch(name, pattern)


def expressions(name: str) -> Iterator[str]:
    """Yield regular expressions for a name."""
    parts = name.split(".")
    leaf = re.escape(parts[-1])
    yield rf"{leaf}$" if parts[-1] in ("bias", "weight") else rf"\b{leaf}$"
    if len(parts) > 1:
        yield rf"\b{re.escape('.'.join(parts[-2:]))}$"
    yield from (rf"\b{re.escape(part)}\b" for part in parts[:-1] if not part.isdecimal())
    # chr(92) is a backslash, which Python before 3.12 does not allow inside the braces of an f-string
    yield f"^{'[.]'.join(chr(92) + 'd+' if part.isdecimal() else re.escape(part) for part in parts)}$"
    yield f"^{re.escape(name)}$"


def matches_expression(pattern: str, name: str) -> bool:
    """Search a regular expression in a name."""
    return re.search(pattern, name) is not None


def substrings(name: str) -> Iterator[str]:
    """Yield parts of a name, as mmengine looks for them."""
    dotted = with_dot(name)
    parts = dotted.split(".")
    yield f".{parts[-1]}"
    if len(parts) > 2:
        yield f".{'.'.join(parts[-2:])}"
    yield from (part for part in parts[1:-1] if not part.isdecimal())
    yield dotted


def matches_substring(pattern: str, name: str) -> bool:
    """Look for a part in a name as mmengine does."""
    return pattern in with_dot(name)


def with_dot(name: str) -> str:
    """Write a name as mmengine does: a parameter of the model itself begins with a dot."""
    return name if "." in name else f".{name}"
