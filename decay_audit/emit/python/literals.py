"""Write text as Python source, as `ruff format` would write it: string literals, comments, lists of names.

A name may hold any characters. Its literal has one line and no invisible character, and evaluates to the same text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

from decay_audit.text import format_coefficient

LINE_LENGTH = 88
"""Longest line, where a name allows it: the default of `ruff format`."""
FEWEST_IN_COMPREHENSION = 3
"""Names that differ only in numbers become a comprehension if they are at least this many."""

_PLAIN_NAME = re.compile(r"[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)*")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_VARIABLES = "ijklmn"
"""The variables of a comprehension, one for each number in a name."""

Pattern = tuple[range, ...]
"""A range for each number in a name: the product of the ranges stands for many names."""


def string(text: str) -> str:
    r"""Write a string literal, in double quotes unless that takes more escapes.

    >>> print(string('a"b'), string("it's"), string("two\nlines"))
    'a"b' "it's" "two\nlines"
    """
    escaped = _escape(text)
    if text.count('"') > text.count("'"):
        return "'" + escaped.replace("'", "\\'") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def raw_string(text: str) -> str:
    r"""Write a regular expression: as a raw string if it has backslashes and a raw string can hold it.

    >>> print(raw_string("a\\."), raw_string("plain"))
    r"a\." "plain"
    """
    plain = text.isascii() and text.isprintable() and '"' not in text and not text.endswith("\\")
    return f'r"{text}"' if plain and "\\" in text else string(text)


def number(value: float) -> str:
    """Write a float in its shortest form.

    >>> number(0.0003), number(0.05), number(1.0), number(1 / 3)
    ('3e-4', '0.05', '1.0', '0.3333333333333333')
    """
    short = format_coefficient(value)
    return short if float(short) == value and not short.isdecimal() else repr(float(value))


def comment(text: str) -> str:
    """Write text for the inside of a comment: one line, with nothing invisible."""
    return _escape(text)


def names(texts: Iterable[str], indent: int) -> Iterator[str]:
    """Write names as the elements of a list, one a line; runs of numbers become comprehensions.

    >>> for line in names(["stem.w", "blocks.0.w", "blocks.1.w", "blocks.2.w"], 0):
    ...     print(line)
    "stem.w",
    *[f"blocks.{i}.w" for i in range(3)],

    Args:
        indent: spaces before each element.
    """
    margin = " " * indent
    for skeleton, indexes in _by_skeleton(texts).items():
        for pattern in _patterns(indexes, len(skeleton) - 1):
            for line in _elements(skeleton, pattern, indent):
                yield margin + line


def _escape(text: str) -> str:
    # If a text has both kinds of quotes, its repr is in single quotes, and only single quotes are escaped in it.
    # So both kinds are put in front. [4:-1] cuts off the opening quote, these two (one is escaped) and the closing one.
    return repr("\"'" + text)[4:-1].replace("\\'", "'")


def _by_skeleton(texts: Iterable[str]) -> dict[tuple[str, ...], list[tuple[int, ...]]]:
    """Group names by the text around their numbers; for each group, list the numbers of its names."""
    indexes: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
    for text in texts:
        skeleton, numbers = _split(text)
        indexes.setdefault(skeleton, []).append(numbers)
    return indexes


def _split(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Split a name into its numbers and the texts around them: `a.0.b` gives (`a.`, `.b`) and (0,).

    A name that has other characters than letters, digits, underscores and dots is not split.
    """
    if not _PLAIN_NAME.fullmatch(text):
        return (text,), ()
    skeleton: list[str] = []
    numbers: list[int] = []
    piece = ""
    for index, part in enumerate(text.split(".")):
        piece += "." if index else ""
        if _NUMBER.fullmatch(part) and len(numbers) < len(_VARIABLES):
            skeleton.append(piece)
            numbers.append(int(part))
            piece = ""
        else:
            piece += part
    return (*skeleton, piece), tuple(numbers)


def _patterns(indexes: Sequence[tuple[int, ...]], width: int) -> list[Pattern]:
    """Find patterns that together contain each tuple of numbers exactly once."""
    if width == 0:
        return [()] * len(indexes)
    tails_by_first: dict[int, list[tuple[int, ...]]] = {}
    for first, *rest in sorted(set(indexes)):
        tails_by_first.setdefault(first, []).append(tuple(rest))
    patterns: list[Pattern] = []
    for run in _runs(tails_by_first):
        patterns.extend((run, *pattern) for pattern in _patterns(tails_by_first[run[0]], width - 1))
    return patterns


def _runs(tails_by_first: Mapping[int, list[tuple[int, ...]]]) -> Iterator[range]:
    """Yield runs of consecutive numbers that are followed by the same names."""
    run = range(0)
    for number, rest in tails_by_first.items():
        if run and number == run.stop and rest == tails_by_first[run.start]:
            run = range(run.start, number + 1)
            continue
        if run:
            yield run
        run = range(number, number + 1)
    yield run


def _elements(skeleton: Sequence[str], pattern: Pattern, indent: int) -> Iterator[str]:
    folded = _comprehension(skeleton, pattern, indent) if prod(map(len, pattern)) >= FEWEST_IN_COMPREHENSION else ()
    yield from folded or (f"{string(name)}," for name in _list_names(skeleton, pattern))


def _comprehension(skeleton: Sequence[str], pattern: Pattern, indent: int) -> tuple[str, ...]:
    """Write the comprehension with the line breaks of the formatter; () if a line would be too long."""
    body = skeleton[0]
    loops: list[str] = []
    for numbers, text in zip(pattern, skeleton[1:], strict=True):
        variable = _VARIABLES[len(loops)]
        body += f"{numbers[0]}{text}" if len(numbers) == 1 else f"{{{variable}}}{text}"
        if len(numbers) > 1:
            start = f"{numbers.start}, " if numbers.start else ""
            loops.append(f"for {variable} in range({start}{numbers.stop})")
    value = f'f"{body}"'
    layouts = (
        (f"*[{' '.join((value, *loops))}],",),
        ("*[", f"    {' '.join((value, *loops))}", "],"),
        ("*[", f"    {value}", *(f"    {loop}" for loop in loops), "],"),
    )
    return next((lines for lines in layouts if indent + max(map(len, lines)) <= LINE_LENGTH), ())


def _list_names(skeleton: Sequence[str], pattern: Pattern) -> Iterator[str]:
    if not pattern:
        yield skeleton[0]
        return
    for number in pattern[0]:
        for rest in _list_names(skeleton[1:], pattern[1:]):
            yield f"{skeleton[0]}{number}{rest}"
