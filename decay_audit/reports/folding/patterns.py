"""Spell the alternatives of one part of a name as a pattern: `{0-31}`, `{q,k,v}_proj`, `{3,7..399/4}`.

A pattern stands for exactly the alternatives that it was made of, and each piece between commas can be read alone:

    0-31               all numbers from 0 to 31
    7..399/4           every 4th number from 7 to 399
    0-398 except 3,7   all numbers from 0 to 398 without 3 and 7
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from decay_audit.text import split_series

MAX_INLINE = 20
"""The most characters of a list of alternatives that stands in a table. A longer list gets a name there."""
_MAX_SHORT_LIST = 48
"""The most characters of a list of alternatives in a sentence; more are left out of its middle."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBER = re.compile(r"0|[1-9][0-9]*")


def join_alternatives(alternatives: Sequence[str]) -> str:
    """Spell the alternatives of one part of a name: `{0-31}`, `bn{1,2}`, `{q,k,v}_proj`."""
    if len(alternatives) == 1:
        return alternatives[0]
    prefix, middles, suffix = split_shared(alternatives)
    return f"{prefix}{{{spell(middles)}}}{suffix}"


def spell(alternatives: Sequence[str]) -> str:
    """Write alternatives without braces: numbers as ranges and series, everything else as it is."""
    return spell_numbers(list(map(int, alternatives))) if are_numbers(alternatives) else ",".join(alternatives)


def are_numbers(texts: Iterable[str]) -> bool:
    """Whether all texts are numbers without leading zeros, which a range gives back as they were."""
    return all(map(_NUMBER.fullmatch, texts))


def spell_numbers(numbers: Sequence[int]) -> str:
    """Write numbers as ranges and series, or as one range with exceptions if that is shorter.

    >>> spell_numbers([0, 1, 2, 5]), spell_numbers(range(3, 400, 4))
    ('0-2,5', '3,7..399/4')
    >>> spell_numbers([number for number in range(400) if number % 4 != 3])
    '0-398 except 3,7..395/4'
    """
    pieces = ",".join(_pieces(numbers))
    low, high = min(numbers), max(numbers)
    if len(numbers) < (high - low) // 2 or list(numbers) != sorted(set(numbers)):
        return pieces  # most numbers of the range are exceptions, or the order has a meaning
    exceptions = ",".join(_pieces(sorted({*range(low, high + 1)} - {*numbers})))
    without = f"{low}-{high} except {exceptions}"
    return without if exceptions and len(without) < len(pieces) else pieces


def _pieces(numbers: Sequence[int]) -> Iterator[str]:
    """Write runs as `0-2`, series at another distance as `3,7..399/4`, and all other numbers as they are."""
    for series in split_series(numbers):
        if len(series) == 1:
            yield str(series[0])
        elif (step := series[1] - series[0]) == 1:
            yield f"{series[0]}-{series[-1]}"
        else:
            yield f"{series[0]},{series[1]}..{series[-1]}/{step}"


def split_shared(alternatives: Sequence[str]) -> tuple[str, list[str], str]:
    """Split words into a common prefix, the middles that differ, and a common suffix, at a number or an underscore.

    >>> split_shared(["q_proj", "k_proj"]), split_shared(["bn1", "bn2"])
    (('', ['q', 'k'], '_proj'), ('bn', ['1', '2'], ''))
    """
    prefix = _common_prefix(alternatives).rstrip("0123456789")
    tails = [alternative[len(prefix) :] for alternative in alternatives]
    suffix = _common_suffix(tails).lstrip("0123456789")
    if not are_numbers(tail.removesuffix(suffix) for tail in tails):
        prefix = prefix[: prefix.rfind("_") + 1]
        tails = [alternative[len(prefix) :] for alternative in alternatives]
        suffix = "_".join(["", *_common_suffix(tails).split("_")[1:]])
    middles = [tail.removesuffix(suffix) for tail in tails]
    return (prefix, middles, suffix) if all(middles) else ("", list(alternatives), "")


def _common_prefix(texts: Sequence[str]) -> str:
    low, high = min(texts), max(texts)  # all other texts sort between these two, so they share this prefix
    return low[: next((end for end, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]


def _common_suffix(texts: Sequence[str]) -> str:
    return _common_prefix([text[::-1] for text in texts])[::-1]


def shorten_pattern(pattern: str) -> str:
    """Leave out the middle of long lists of alternatives, for a sentence: `p{1,2,4,8,16,...,295-299}`.

    >>> shorten_pattern("p.{" + ",".join(str(number**2) for number in range(60)) + "}.w"), shorten_pattern("{q,k}.bias")
    ('p.{0,1,4,9,16,25,36,49,64,81,...,3481}.w', '{q,k}.bias')
    """
    return _BRACES.sub(lambda braces: f"{{{shorten_list(braces[1])}}}", pattern)


def shorten_list(text: str, limit: int = _MAX_SHORT_LIST) -> str:
    """Leave out the middle of a list that is longer than `limit`, so that it has at most about `limit` characters."""
    if len(text) <= limit:
        return text
    *pieces, last = text.split(",")
    shown: list[str] = []
    for piece in pieces:
        if shown and sum(len(shown_piece) + 1 for shown_piece in shown) + len(piece) + len(last) + 5 > limit * 3 // 4:
            break
        shown.append(piece)
    return ",".join([*shown, "...", last] if len(shown) < len(pieces) else [*shown, last])
