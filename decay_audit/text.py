"""Counts, lists, coefficients and names as they stand in a sentence; what is counted or listed comes in as words."""

from collections.abc import Sequence
from decimal import Decimal


def counted(count: int, one: str, many: str = "") -> str:
    """Say a count with its noun: `1 tensor`, `95 tensors`, `2 biases`.

    >>> counted(1, "tensor"), counted(9500, "tensor"), counted(2, "bias", "biases")
    ('1 tensor', '9,500 tensors', '2 biases')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def joined(words: Sequence[str]) -> str:
    """Join words: `a, b and c`.

    >>> joined(["a", "b", "c"]), joined(["a"]), joined([])
    ('a, b and c', 'a', '')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def few(words: Sequence[str], most: int) -> str:
    """List the first words, and say how many more there are.

    >>> few(["a", "b", "c", "d"], 2), few(["a", "b"], 2)
    ('a, b and 2 more', 'a, b')
    """
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def coefficient(value: float) -> str:
    """Spell a coefficient as people write it, to 12 significant digits: `0.05`, `5e-4`, `2.5e-5`, `0`."""
    if value == 0 or value - value != 0:  # zero, infinite or not a number
        return f"{value:g}"
    number = Decimal(f"{value:.12g}").normalize()
    plain, scientific = f"{number:f}", f"{number:e}".replace("e+", "e")
    return min(plain, scientific, key=len)


def visible(text: str) -> str:
    r"""Make a name from a model safe to show: what a terminal could act on becomes `\x1b` and the like."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
