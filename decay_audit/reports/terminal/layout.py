"""Cells in, lines out: columns of plain text for a terminal or a pipe. Knows no parameter; cuts nothing.

rich.table takes 0.35 ms a row, a quarter of a minute for a large model unfolded, and 25 ms to import: hence these few
lines. Only the width of wide characters is asked of rich, when there are any.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

Style = Literal["", "title", "dim", "decay", "note", "warning", "error"]
Cell = tuple[str, Style]

INDENT = "  "
_GAP = "  "
_ROOM = 32
"""Columns that a name should have before others give way to it."""
_LEAST = 16
_CODES: dict[Style, str] = {
    "title": "1",
    "dim": "2",
    "decay": "36",
    "note": "34",
    "warning": "33",
    "error": "1;31",
}


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table; the first one holds names.

    Attributes:
        right: its cells stand at the right.
        gives_way: it is left out where names have too little room; the highest first, 0 never.
        below: its cells go under the name where they do not fit beside it.
    """

    title: str
    right: bool = False
    gives_way: int = 0
    below: bool = False


def paint(text: str, style: Style, *, color: bool) -> str:
    """Style a text for a terminal, if there is one to style it for."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style and text else text


def cell_width(text: str) -> int:
    """Count the terminal columns that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int | None, *, color: bool
) -> Iterator[str]:
    """Lay out rows under their titles, without the columns that no row fills.

    Where `width` is too small, cells that may go below do so, columns that may give way are left out (and the last
    line says which), and names go on over several lines, broken at their dots and commas.
    """
    body: list[Sequence[Cell]] = [tuple((column.title, "dim") for column in columns), *rows]
    widths = [max(cell_width(row[index][0]) for row in body) for index in range(len(columns))]
    beside = [index for index, size in enumerate(widths) if index == 0 or any(row[index][0] for row in body[1:])]
    below = [index for index in beside if columns[index].below] if not _fits(beside, widths, width) else []
    beside = [index for index in beside if index not in below]
    ways = sorted((index for index in beside if columns[index].gives_way), key=lambda index: -columns[index].gives_way)
    gone = []
    while ways and not _fits(beside, widths, width):
        gone.append(ways.pop(0))
        beside = [index for index in beside if index != gone[-1]]
    if width is not None:
        widths[0] = min(widths[0], max(_LEAST, width - _others(beside, widths)))
    for row in body:
        yield from _row(columns, row, (beside, below if row is not body[0] else []), widths, color=color)
    if gone:
        said = f"{INDENT}not shown at this width: {', '.join(columns[index].title for index in sorted(gone))}"
        yield paint(said, "dim", color=color)


def _others(beside: Sequence[int], widths: Sequence[int]) -> int:
    return len(INDENT) + sum(len(_GAP) + widths[index] for index in beside[1:])


def _fits(beside: Sequence[int], widths: Sequence[int], width: int | None) -> bool:
    return width is None or min(widths[0], _ROOM) + _others(beside, widths) <= width


def _row(
    columns: Sequence[Column],
    row: Sequence[Cell],
    where: tuple[Sequence[int], Sequence[int]],
    widths: Sequence[int],
    *,
    color: bool,
) -> Iterator[str]:
    beside, below = where
    (name, style), *_ = row
    first, *more = broken(name, widths[0])
    padded = []
    for index in beside:
        text, paints = (first, style) if index == 0 else row[index]
        blank = " " * (widths[index] - cell_width(text))
        painted = paint(text, paints, color=color)
        padded.append(blank + painted if columns[index].right else painted + blank)
    yield INDENT + _GAP.join(padded).rstrip()
    indent = " " * (len(name) - len(name.lstrip(" ")))
    for rest in more:
        yield INDENT * 2 + indent + paint(rest, style, color=color)
    for index in below:
        if row[index][0]:
            yield INDENT * 3 + paint(row[index][0], row[index][1], color=color)


def broken(text: str, width: int) -> list[str]:
    """Break a name behind the last dot that fits, else at its words, else anywhere; later lines will be indented."""
    lines: list[str] = []
    while cell_width(text) > width:
        fitting = max(_fitting(text, width), 1)
        dot, *others = (text.rfind(mark, 0, fitting) + 1 for mark in ".,_")
        end = (dot if dot > fitting // 2 else max(dot, *others)) or fitting
        lines.append(text[:end])
        text, width = text[end:], width if len(lines) > 1 else max(width - len(INDENT), 1)
    return [*lines, text]


def _fitting(text: str, width: int) -> int:
    """How many characters of the text fit into the width."""
    if text.isascii():
        return width
    taken = 0
    for count, character in enumerate(text):
        taken += cell_width(character)
        if taken > width:
            return count
    return len(text)


def paragraph(head: str, text: str, width: int | None) -> Iterator[str]:
    """Set a text beside its head, broken at blanks where there is a width; what has no blank stays whole."""
    if width is None:
        yield head + text
        return
    line, indent = head, " " * len(head)
    for index, word in enumerate(text.split(" ")):
        longer = f"{line} {word}" if index else f"{line}{word}"
        if index and cell_width(longer) > width:
            yield line
            line = f"{indent}{word}"
        else:
            line = longer
    yield line


def heading(title: str, more: Sequence[str], width: int | None, *, color: bool) -> Iterator[str]:
    """Name a thing and what is to be known of it in one line, or in a line for each where that is too long."""
    painted = paint(title, "title", color=color)
    if width is not None and cell_width("   ".join((title, *more))) > width:
        yield from (painted, *(f"{INDENT}{each}" for each in more))
    else:
        yield "   ".join((painted, *more))
