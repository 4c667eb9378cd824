"""Tables, paragraphs and code as plain text for a terminal or a pipe. No text is cut.

rich.table takes 0.35 ms for each row and 25 ms to import, which is too slow for a large model. Rich is imported only to
colour code, and to measure characters that take two columns.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

Style = Literal["", "title", "dim", "decay", "note", "warning", "error"]
PaintedText = tuple[str, Style]
"""A text, and the style to paint it with."""

INDENT = "  "
_GAP = "  "
_PREFERRED_NAME_WIDTH = 32
"""Terminal columns that a name should have before other columns are dropped."""
_MIN_NAME_WIDTH = 16
"""Terminal columns that a name gets at least."""
_CODES: dict[Style, str] = {
    "title": "1",
    "dim": "2",
    "decay": "36",
    "note": "34",
    "warning": "33",
    "error": "1;31",
}
"""The parameters of the ANSI escape code of each style."""


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table; the first one holds names.

    Attributes:
        align_right: its cells are aligned to the right.
        drop_order: columns are dropped when names need their room, the highest number first; 0 is never dropped.
        may_move_below: its cells move below the name if they do not fit in its line.
    """

    title: str
    align_right: bool = False
    drop_order: int = 0
    may_move_below: bool = False


def paint(text: str, style: Style, *, color: bool) -> str:
    """Wrap a text in the escape codes of its style; without colour it stays as it is."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style and text else text


def cell_width(text: str) -> int:
    """Count the terminal columns that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[PaintedText]], width: int | None, *, color: bool
) -> Iterator[str]:
    """Lay out rows under their titles, without the columns that no row fills.

    If `width` is too small, cells that may move below the name do so, and columns that may be dropped are dropped; the
    last line says which. Names are then broken over several lines, at their dots and commas.
    """
    body: list[Sequence[PaintedText]] = [tuple((column.title, "dim") for column in columns), *rows]
    widths = [max(cell_width(row[index][0]) for row in body) for index in range(len(columns))]
    filled = [index for index in range(len(columns)) if index == 0 or any(row[index][0] for row in body[1:])]
    positions = _cell_positions(columns, filled, widths, width)
    if width is not None:
        widths[0] = min(widths[0], max(_MIN_NAME_WIDTH, width - _width_after_name(positions.beside, widths)))
    for row in body:
        yield from _row(columns, row, positions, widths, color=color)
        if row is not body[0]:
            yield from _cells_below(row, positions, color=color)
    if titles := ", ".join(filter(None, (columns[index].title for index in positions.dropped))):
        yield paint(f"{INDENT}not shown at this width: {titles}", "dim", color=color)


class _CellPositions(Struct, frozen=True, kw_only=True):
    """Where the cells of a row go, as indexes of columns: beside the name, into lines below it, or nowhere."""

    beside: tuple[int, ...]
    below: tuple[int, ...]
    dropped: tuple[int, ...]


def _cell_positions(
    columns: Sequence[Column], filled: Sequence[int], widths: Sequence[int], width: int | None
) -> _CellPositions:
    beside, below, dropped = list(filled), [], []
    if not _fits(beside, widths, width):
        below = [index for index in filled if columns[index].may_move_below]
        beside = [index for index in filled if index not in below]
    for index in sorted(filter(lambda index: columns[index].drop_order, beside), key=lambda i: -columns[i].drop_order):
        if _fits(beside, widths, width):
            break
        beside.remove(index)
        dropped.append(index)
    return _CellPositions(beside=tuple(beside), below=tuple(below), dropped=tuple(sorted(dropped)))


def _width_after_name(beside: Sequence[int], widths: Sequence[int]) -> int:
    return len(INDENT) + sum(len(_GAP) + widths[index] for index in beside[1:])


def _fits(beside: Sequence[int], widths: Sequence[int], width: int | None) -> bool:
    return width is None or min(widths[0], _PREFERRED_NAME_WIDTH) + _width_after_name(beside, widths) <= width


def _row(
    columns: Sequence[Column],
    row: Sequence[PaintedText],
    positions: _CellPositions,
    widths: Sequence[int],
    *,
    color: bool,
) -> Iterator[str]:
    (name, style), *_ = row
    first, *more = break_name(name, widths[0])
    cells = []
    for index in positions.beside:
        text, cell_style = (first, style) if index == 0 else row[index]
        blank = " " * (widths[index] - cell_width(text))
        painted = paint(text, cell_style, color=color)
        cells.append(blank + painted if columns[index].align_right else painted + blank)
    yield INDENT + _GAP.join(cells).rstrip()
    indent = " " * (len(name) - len(name.lstrip(" ")))
    for rest in more:
        yield INDENT * 2 + indent + paint(rest, style, color=color)


def _cells_below(row: Sequence[PaintedText], positions: _CellPositions, *, color: bool) -> Iterator[str]:
    for index in positions.below:
        text, style = row[index]
        if text:
            yield INDENT * 3 + paint(text, style, color=color)


def break_name(text: str, width: int) -> list[str]:
    """Break a name after the last dot that fits, else after a comma or underscore, else anywhere.

    The lines after the first have less room, because they will be indented.
    """
    lines: list[str] = []
    while cell_width(text) > width:
        limit = max(_count_fitting(text, width), 1)
        dot, *others = (text.rfind(mark, 0, limit) + 1 for mark in ".,_")
        # a dot in the first half would leave a short line: then a later comma or underscore is better
        end = (dot if dot > limit // 2 else max(dot, *others)) or limit
        lines.append(text[:end])
        text, width = text[end:], width if len(lines) > 1 else max(width - len(INDENT), 1)
    return [*lines, text]


def _count_fitting(text: str, width: int) -> int:
    """Count the characters of the text that fit into the width."""
    if text.isascii():
        return width
    total_width = 0
    for count, character in enumerate(text):
        total_width += cell_width(character)
        if total_width > width:
            return count
    return len(text)


def paragraph(head: str, text: str, width: int | None) -> Iterator[str]:
    """Write a text after its head. If there is a width, lines are broken at blanks; words are never broken."""
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
    """Write a title and more texts in one line. If that is too long, each text gets its own line."""
    painted = paint(title, "title", color=color)
    if width is not None and cell_width("   ".join((title, *more))) > width:
        yield from (painted, *(f"{INDENT}{text}" for text in more))
    else:
        yield "   ".join((painted, *more))


def highlight(text: str, language: Literal["python", "yaml", "diff"], *, color: bool) -> str:
    """Colour code. Without `color`, the text is returned as it is, and Rich is not imported."""
    if not color:
        return text
    from rich.console import Console
    from rich.syntax import Syntax

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", highlight=False, markup=False)
    console.print(Syntax(text, language, theme="ansi_dark").highlight(text), soft_wrap=True, end="")
    return screen.getvalue()
