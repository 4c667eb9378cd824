"""Text for sentences: counts with their nouns, lists of words, coefficients, shapes, and names from a model."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cache

_LINE_COMMAND = re.compile(r"^(\s*)::", re.MULTILINE)
"""The start of a line that is a command in the log of a GitHub workflow."""

_SHORTEST_RUN = 3
"""How many numbers in a row are written as a range; two are as short without."""
_SHORTEST_SERIES = 4
"""How many numbers at the same distance are written as a series; three are as clear without."""


def count_noun(count: int, singular: str, plural: str = "") -> str:
    """Write a count with its noun; without a given plural, an `s` is added to the singular.

    >>> count_noun(1, "tensor"), count_noun(9500, "tensor"), count_noun(2, "bias", "biases")
    ('1 tensor', '9,500 tensors', '2 biases')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def join_words(words: Sequence[str]) -> str:
    """Join all words, with `and` before the last.

    >>> join_words(["a", "b", "c"]), join_words(["a"]), join_words([])
    ('a, b and c', 'a', '')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def first_few(words: Sequence[str], limit: int) -> str:
    """List the first `limit` words, and count the rest.

    >>> first_few(["a", "b", "c", "d"], 2), first_few(["a", "b"], 2)
    ('a, b and 2 more', 'a, b')
    """
    rest = f" and {len(words) - limit:,} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + rest


def list_numbers(numbers: Sequence[int], limit: int = 5) -> str:
    """List numbers for a sentence, runs and series as one piece each; after `limit` pieces, count the other numbers.

    >>> list_numbers([0, 2]), list_numbers([0, 1, 2, 3, 7]), list_numbers(range(0, 25, 2))
    ('0 and 2', '0-3 and 7', '0, 2, ..., 24')
    >>> list_numbers([1, 2, 3, 9, 20, 22, 31, 40, 41])
    '1-3, 9, 20, 22, 31 and 2 more'
    """
    pieces = list(split_series(numbers))
    texts = [_series_text(piece) for piece in pieces[:limit]]
    rest = sum(len(piece) for piece in pieces[limit:])
    return f"{', '.join(texts)} and {rest:,} more" if rest else join_words(texts)


def _series_text(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers[1] - numbers[0] == 1:
        return f"{numbers[0]}-{numbers[-1]}"
    return f"{numbers[0]}, {numbers[1]}, ..., {numbers[-1]}"


def split_series(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split numbers into runs of three or more, series of four or more at another distance, and single numbers.

    >>> [*split_series([0, 1, 2, 5, 9, 13, 17, 20, 21])]
    [[0, 1, 2], [5, 9, 13, 17], [20], [21]]
    """
    start = 0
    while start < len(numbers):
        end = _end_of_series(numbers, start)
        step = numbers[start + 1] - numbers[start] if end - start > 1 else 0
        is_series = end - start >= (_SHORTEST_RUN if step == 1 else _SHORTEST_SERIES) and step > 0
        end = end if is_series else start + 1  # the next number may begin a run
        yield list(numbers[start:end])
        start = end


def _end_of_series(numbers: Sequence[int], start: int) -> int:
    """Find the end of the longest series from `start` whose numbers have the same distance."""
    end = start + 1
    while end < len(numbers) and numbers[end] - numbers[end - 1] == numbers[start + 1] - numbers[start]:
        end += 1
    return end


def format_bytes(count: int) -> str:
    """Write a number of bytes with three digits and a unit.

    >>> format_bytes(512), format_bytes(400 * 2**20), format_bytes(1_300_000_000_000)
    ('512 bytes', '419 MB', '1.3 TB')
    """
    for size, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 999.5 * size else f"{count // size:,} {unit}"
    return count_noun(count, "byte")


def format_coefficient(value: float) -> str:
    """Write a coefficient in its shortest form, to 12 significant digits.

    >>> format_coefficient(0.05), format_coefficient(0.0005), format_coefficient(0.0)
    ('0.05', '5e-4', '0')
    """
    if value == 0 or value - value != 0:  # zero, infinite or not a number
        return f"{value:g}"
    number = Decimal(f"{value:.12g}").normalize()
    plain, scientific = f"{number:f}", f"{number:e}".replace("e+", "e")
    return min(plain, scientific, key=len)


def format_kept(kept: float) -> str:
    """Write the part of a weight that is left as a percentage, with the digits that tell it from 0 and from 100 %.

    >>> format_kept(0.99972), format_kept(0.6081), format_kept(0.0021), format_kept(1e-13), format_kept(1.0)
    ('99.972 %', '60.8 %', '0.21 %', 'less than 0.001 %', '100 %')
    """
    if kept < 1e-5:
        return "less than 0.001 %"
    if 0.995 <= kept < 1:
        removed = float(f"{100 * (1 - kept):.2g}")
        return f"{Decimal(100) - Decimal(str(removed)):f} %" if removed > 1e-9 else "100 %"
    return f"{format_number(100 * kept)} %"


def format_number(value: float) -> str:
    """Write a number with 3 digits, or all digits before the point.

    >>> format_number(2000.5), format_number(5.114), format_number(0.0171), format_number(100.0)
    ('2,000', '5.11', '0.0171', '100')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{Decimal(f'{value:.3g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def describe_value(value: object) -> str:
    """Name the class of a value, with an article.

    >>> describe_value(3), describe_value([]), describe_value(None), describe_value(int)
    ('an int', 'an empty list', 'None', 'the class int')
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    empty = "empty " if isinstance(value, list | tuple | dict) and not value else ""
    noun = f"{empty}{type(value).__name__}"
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


@cache
def format_shape(shape: Iterable[object]) -> str:
    """Write the shape of a tensor.

    >>> format_shape((64, 3, 3, 3)), format_shape(())
    ('64x3x3x3', 'scalar')
    """
    return "x".join(map(str, shape)) or "scalar"


def escape_control(text: str) -> str:
    r"""Make text from a model safe for a terminal: write control characters as `\x1b`, and a backslash as two."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escape_character, text))


def without_workflow_commands(text: str, *, our_own: bool = False) -> str:
    r"""Make text safe for the log of a GitHub workflow, which runs a line `::command::`, and `##[command]` anywhere.

    The first character of a command is written as an escape. In JSON, the escape stands for the same character.

    Args:
        our_own: the lines that begin with `::` are commands that we wrote, so they stay.

    >>> print(without_workflow_commands("  ::stop-commands::x"), without_workflow_commands('{"a": "##[group]"}'))
      \x3a:stop-commands::x {"a": "\u0023#[group]"}
    """
    if "::" not in text and "##[" not in text:
        return text
    escape = "\\u00" if text.startswith(("{", "[")) else "\\x"
    text = text.replace("##[", f"{escape}23#[")
    return text if our_own else _LINE_COMMAND.sub(lambda match: f"{match[1]}{escape}3a:", text)


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
