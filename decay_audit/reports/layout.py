"""Cells in, lines out: columns of plain text for a terminal or a pipe. Knows no parameter; cuts nothing.

rich.table takes 0.35 ms a row, a quarter of a minute for a large model unfolded, and 25 ms to import: hence these few
lines. Only the width of wide characters is asked of rich, when there are any.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

Style = Literal["", "title", "dim", "decay", "note", "warning", "error"]
Cell = tuple[str, Style]

_GAP = "  "
INDENT = "  "
_NARROWEST = 28
_CODES: dict[Style, str] = {
    "title": "1",
    "dim": "2",
    "decay": "36",
    "note": "34",
    "warning": "33",
    "error": "1;31",
}


class Column(Struct, frozen=True, kw_only=True):
    """A title, and whether its cells stand at the right."""

    title: str
    right: bool = False


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
    """Lay out rows under their titles, dropping the columns that no row fills.

    Where `width` is too small, a first cell goes on over several lines, broken at its dots and commas; where it is far
    too small, it has a line of its own.
    """
    kept = [tuple(row) for row in rows]
    filled = [index for index, _ in enumerate(columns) if index == 0 or any(row[index][0] for row in kept)]
    columns = [columns[index] for index in filled]
    titles: tuple[Cell, ...] = tuple((column.title, "dim") for column in columns)
    body = [titles, *(tuple(row[index] for index in filled) for row in kept)]
    widths = [max(cell_width(row[index][0]) for row in body) for index in range(len(columns))]
    others = sum(len(_GAP) + size for size in widths[1:])
    room = None if width is None else width - len(INDENT) - others
    if room is not None and room < min(widths[0], _NARROWEST):
        return _stacked(columns, body, widths, color=color)
    limit = widths[0] if room is None else min(widths[0], room)
    return _side_by_side(columns, body, [limit, *widths[1:]], color=color)


def _side_by_side(
    columns: Sequence[Column], body: Iterable[Sequence[Cell]], widths: Sequence[int], *, color: bool
) -> Iterator[str]:
    for (name, style), *others in body:
        first, *more = broken(name, widths[0])
        yield INDENT + _line(columns, ((first, style), *others), widths, color=color)
        for rest in more:
            yield INDENT + INDENT + paint(rest, style, color=color)


def _stacked(
    columns: Sequence[Column], body: Iterable[Sequence[Cell]], widths: Sequence[int], *, color: bool
) -> Iterator[str]:
    for (name, style), *others in body:
        yield INDENT + paint(name, style, color=color)
        yield INDENT * 3 + _line(columns[1:], others, widths[1:], color=color)


def _line(columns: Sequence[Column], cells: Sequence[Cell], widths: Sequence[int], *, color: bool) -> str:
    padded = []
    for column, (text, style), width in zip(columns, cells, widths, strict=True):
        blank = " " * (width - cell_width(text))
        painted = paint(text, style, color=color)
        padded.append(blank + painted if column.right else painted + blank)
    return _GAP.join(padded).rstrip()


def broken(text: str, width: int) -> list[str]:
    """Break a text behind its last dot or comma that fits, else anywhere; the lines after the first are indented."""
    lines = []
    while cell_width(text) > width:
        fitting = max(_fitting(text, width), 1)
        end = max(text.rfind(".", 0, fitting), text.rfind(",", 0, fitting)) + 1 or fitting
        lines.append(text[:end])
        text, width = text[end:], max(width - (len(INDENT) if len(lines) == 1 else 0), 1)
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
    line, indent = head, " " * len(head)
    for index, word in enumerate(text.split(" ")):
        longer = f"{line} {word}" if index else f"{line}{word}"
        if index and width is not None and cell_width(longer) > width:
            yield line
            line = f"{indent}{word}"
        else:
            line = longer
    yield line
