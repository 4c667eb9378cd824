"""Give a name to each list of alternatives that is too long for a table: `layers.{A}.mlp.gate.weight`.

Folded rows come in; a pattern for each row comes out, and for each name a line that says what it stands for:

    {A} is 300 of 400: all but 3,7..399/4

`3,7..399/4` is 3, 7, 11 and so on up to 399, in steps of 4.
"""

from collections import defaultdict
from collections.abc import Sequence
from string import ascii_uppercase

from msgspec import Struct

from decay_audit.reports.folding import FoldedRow
from decay_audit.reports.folding.patterns import (
    MAX_INLINE,
    are_numbers,
    join_alternatives,
    shorten_list,
    spell,
    spell_numbers,
    split_shared,
)

_MAX_LINE = 240
"""The most characters of a line about a name; more are left out of the middle of its list."""
_MAX_EXCEPTIONS_TEXT = 60
"""A list is written as "all but ..." only if the numbers after these words take at most so many characters."""

_NumberPosition = tuple[tuple[str, ...], str, str]
"""Where numbers are in a name: the parts before theirs, and the text before and after them in their own part."""


class TablePatterns(Struct, frozen=True, kw_only=True):
    """The patterns of the rows of a table, and what the names of long lists in them stand for.

    Attributes:
        patterns: the pattern of each row.
        meanings: what the names of lists stand for, one line for each.
    """

    patterns: tuple[str, ...]
    meanings: tuple[str, ...]


def name_long_lists(rows: Sequence[FoldedRow]) -> TablePatterns:
    """Make the pattern of each row, with a name in place of each list that is too long."""
    siblings = _numbers_by_position(rows)
    names: dict[str, str] = {}
    patterns = tuple(
        ".".join(_part(row, axis, siblings, names) for axis in range(len(row.parts))) if row.count > 1 else row.pattern
        for row in rows
    )
    return TablePatterns(patterns=patterns, meanings=tuple(f"{name} is {text}" for text, name in names.items()))


def _numbers_by_position(rows: Sequence[FoldedRow]) -> dict[_NumberPosition, set[int]]:
    """Collect the numbers at each position, over all rows: those of all blocks of one list of modules."""
    numbers: dict[_NumberPosition, set[int]] = defaultdict(set)
    for row in rows:
        for axis, part in enumerate(row.parts):
            prefix, middles, suffix = split_shared([*part.split(","), part.partition(",")[0]])
            if are_numbers(middles):
                numbers[row.parts[:axis], prefix, suffix].update(map(int, middles))
    return numbers


def _part(row: FoldedRow, axis: int, siblings: dict[_NumberPosition, set[int]], names: dict[str, str]) -> str:
    alternatives = row.parts[axis].split(",")
    if len(alternatives) == 1:
        return alternatives[0]
    prefix, middles, suffix = split_shared(alternatives)
    if len(spell(middles)) <= MAX_INLINE:
        return join_alternatives(alternatives)
    meaning = _meaning(middles, siblings.get((row.parts[:axis], prefix, suffix), set()))
    name = names.setdefault(meaning, f"{{{_letters(len(names))}}}")
    return f"{prefix}{name}{suffix}"


def _meaning(middles: Sequence[str], siblings: set[int]) -> str:
    if not are_numbers(middles):
        return shorten_list(", ".join(middles), _MAX_LINE)
    numbers = list(map(int, middles))
    others = sorted(siblings - set(numbers))
    text = spell_numbers(numbers)
    if others and len(exceptions := spell_numbers(others)) <= min(len(text), _MAX_EXCEPTIONS_TEXT):
        return f"{len(numbers):,} of {len(siblings):,}: all but {exceptions}"
    return f"{shorten_list(text, _MAX_LINE)} ({len(numbers):,} numbers)"


def _letters(position: int) -> str:
    """Name the lists A, B, ..., Z, AA, AB, ...

    >>> _letters(0), _letters(25), _letters(26)
    ('A', 'Z', 'AA')
    """
    more, letter = divmod(position, len(ascii_uppercase))
    return (_letters(more - 1) if more else "") + ascii_uppercase[letter]
