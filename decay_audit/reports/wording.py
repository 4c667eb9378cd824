"""Numbers as text for people: amounts of elements, shares, and factors on learning rates."""

from collections.abc import Iterable

from decay_audit.text import count_noun, format_coefficient

_UNITS = (("T", 1e12, 2, 999.995e9), ("B", 1e9, 2, 999.995e6), ("M", 1e6, 2, 999.95e3), ("k", 1e3, 1, 1e3))
"""Symbol, size, number of decimals, and the smallest amount that is written in the unit."""


def amount(numel: int) -> str:
    """Write a number of elements in about four digits: `34.43 M`, `57.5 k`, `640`."""
    for unit, size, digits, least in _UNITS:
        if numel >= least:
            return f"{numel / size:.{digits}f} {unit}"
    return str(numel)


def size(numel: int, parameters: int) -> str:
    """Write the size of a model or of a part of it: `34.43 M elements in 95 parameters`."""
    return f"{amount(numel)} {'element' if numel == 1 else 'elements'} in {count_noun(parameters, 'parameter')}"


def share(part: int, whole: int) -> str:
    """Write a share in percent. Only a share of nothing is written as 0 %, and only the whole as 100 %."""
    if part in (0, whole) or not whole:
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.05:
        return "<0.1 %"
    return ">99.9 %" if percent >= 99.95 else f"{percent:.1f} %"


def factors(scales: Iterable[float]) -> str:
    """Write factors on learning rates in four digits, as a range where they differ: `x0.1`, `x0.02376..0.75`."""
    ordered = sorted(scales)
    ends = dict.fromkeys(format_coefficient(float(f"{end:.4g}")) for end in (ordered[0], ordered[-1]))
    return f"x{'..'.join(ends)}"
