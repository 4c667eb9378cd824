"""Tables, paragraphs and code as plain text for a terminal or a pipe. No text is cut. Knows no parameter.

rich.table takes 0.35 ms for each row and 25 ms to import, which is too slow for a large model. Rich is imported only to
colour code, and to measure characters that take two columns.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

Style = Literal["", "title", "dim", "decay", "note", "warning", "error"]
PaintedText = tuple[str, Style]

INDENT = "  "
_GAP = "  "
_PREFERRED_NAME_WIDTH = 32
"""Terminal columns that a name should have before other columns are dropped."""
_MIN_NAME_WIDTH = 16
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
        right: its cells are aligned to the right.
        dropped: when it is dropped so that names have room: the highest number first, 0 never.
        below: its cells move below the name where they do not fit in its line.
    """

    title: str
    right: bool = False
    dropped: int = 0
    below: bool = False


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

    Where `width` is too small, cells that may stand below the name do so, columns that may be dropped are dropped (and
    the last line says which), and names go on over several lines, broken at their dots and commas.
    """
    body: list[Sequence[PaintedText]] = [tuple((column.title, "dim") for column in columns), *rows]
    widths = [max(cell_width(row[index][0]) for row in body) for index in range(len(columns))]
    inline = [index for index in range(len(columns)) if index == 0 or any(row[index][0] for row in body[1:])]
    below = [index for index in inline if columns[index].below] if not _fits(inline, widths, width) else []
    inline = [index for index in inline if index not in below]
    droppable = sorted((index for index in inline if columns[index].dropped), key=lambda index: -columns[index].dropped)
    dropped = []
    while droppable and not _fits(inline, widths, width):
        dropped.append(droppable.pop(0))
        inline = [index for index in inline if index != dropped[-1]]
    if width is not None:
        widths[0] = min(widths[0], max(_MIN_NAME_WIDTH, width - _width_after_name(inline, widths)))
    for row in body:
        yield from _row(columns, row, (inline, below if row is not body[0] else []), widths, color=color)
    if dropped:
        text = f"{INDENT}not shown at this width: {', '.join(columns[index].title for index in sorted(dropped))}"
        yield paint(text, "dim", color=color)


def _width_after_name(inline: Sequence[int], widths: Sequence[int]) -> int:
    return len(INDENT) + sum(len(_GAP) + widths[index] for index in inline[1:])


def _fits(inline: Sequence[int], widths: Sequence[int], width: int | None) -> bool:
    return width is None or min(widths[0], _PREFERRED_NAME_WIDTH) + _width_after_name(inline, widths) <= width


def _row(
    columns: Sequence[Column],
    row: Sequence[PaintedText],
    positions: tuple[Sequence[int], Sequence[int]],
    widths: Sequence[int],
    *,
    color: bool,
) -> Iterator[str]:
    inline, below = positions
    (name, style), *_ = row
    first, *more = broken(name, widths[0])
    cells = []
    for index in inline:
        text, cell_style = (first, style) if index == 0 else row[index]
        blank = " " * (widths[index] - cell_width(text))
        painted = paint(text, cell_style, color=color)
        cells.append(blank + painted if columns[index].right else painted + blank)
    yield INDENT + _GAP.join(cells).rstrip()
    indent = " " * (len(name) - len(name.lstrip(" ")))
    for rest in more:
        yield INDENT * 2 + indent + paint(rest, style, color=color)
    for index in below:
        if row[index][0]:
            yield INDENT * 3 + paint(row[index][0], row[index][1], color=color)


def broken(text: str, width: int) -> list[str]:
    """Break a name after the last dot that fits, else at its words, else anywhere; later lines will be indented."""
    lines: list[str] = []
    while cell_width(text) > width:
        fitting = max(_fitting(text, width), 1)
        dot, *others = (text.rfind(mark, 0, fitting) + 1 for mark in ".,_")
        end = (dot if dot > fitting // 2 else max(dot, *others)) or fitting
        lines.append(text[:end])
        text, width = text[end:], width if len(lines) > 1 else max(width - len(INDENT), 1)
    return [*lines, text]


def _fitting(text: str, width: int) -> int:
    """Count the characters of the text that fit into the width."""
    if text.isascii():
        return width
    taken = 0
    for count, character in enumerate(text):
        taken += cell_width(character)
        if taken > width:
            return count
    return len(text)


def paragraph(head: str, text: str, width: int | None) -> Iterator[str]:
    """Write a text after its head, broken at blanks where there is a width; words are never broken."""
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


def highlight(text: str, language: Literal["python", "yaml"], *, color: bool) -> str:
    """Colour code; without colour it is returned as it is, and Rich is not imported."""
    if not color:
        return text
    from rich.console import Console
    from rich.syntax import Syntax

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", highlight=False, markup=False)
    console.print(Syntax(text, language, theme="ansi_dark").highlight(text), soft_wrap=True, end="")
    return screen.getvalue()
