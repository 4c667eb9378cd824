"""Pages of docs/ that are made from the code: `DECAY_AUDIT_WRITE_SNAPSHOTS=1 pytest tests/docs` writes them anew."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def assert_page_is(name: str, text: str) -> None:
    """Compare a page with the text that the code makes now, or write that text."""
    page = DOCS / name
    if os.environ.get("DECAY_AUDIT_WRITE_SNAPSHOTS"):
        page.write_text(text, encoding="utf-8", newline="\n")
    assert page.read_text(encoding="utf-8") == text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of Markdown; a bar in a cell is escaped, so that it does not end the cell."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def first_difference(shown: Sequence[str], printed: Sequence[str]) -> str:
    """Compare the lines that a page shows with those that a command prints; `...` stands for lines that are left out.

    Returns:
        What is not as the page shows it, or "".
    """
    position, lines_left_out = 0, False
    for line in shown:
        if line == "...":
            lines_left_out = True
            continue
        later = printed[position:] if lines_left_out else printed[position : position + 1]
        if line not in later:
            return f"not printed there: {line}"
        position += later.index(line) + 1
        lines_left_out = False
    return "" if lines_left_out else "".join(f"not shown: {line}" for line in printed[position : position + 1])
