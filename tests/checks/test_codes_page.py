"""docs/codes.md is made from the table of codes: `DECAY_AUDIT_WRITE_SNAPSHOTS=1 pytest tests/checks` writes it anew."""

import os
from pathlib import Path

from decay_audit.checks.codes import CODES

PAGE = Path(__file__).parents[2] / "docs" / "codes.md"
HEAD = """# Codes of findings

Each finding has a code and a severity. `decay-audit explain CODE` prints the same text.
This page is made from `decay_audit/checks/codes/`.

An **error** is a difference from the ruleset that you named, or code that cannot do what it says: an
optimizer that never updates a parameter, a step that raises, a state that does not fit. A **warning** is
likely to be a mistake, but is a choice in some projects, or rests on what was inferred. A **note** is a fact
to know. What people choose on purpose is no error: lenient rules, decay that nobody asks for, learning rates
and coefficients scaled by width, a loss with weights of its own. The paragraph of a code says when it is
milder than in this table.

| code | severity | finding |
| --- | --- | --- |
"""


def page() -> str:
    rows = (f"| [{code}](#{code.lower()}) | {entry.severity} | {entry.title} |\n" for code, entry in CODES.items())
    texts = (
        f"\n## {code}\n\n{entry.severity}: {entry.title}\n\n{entry.explanation}\n" for code, entry in CODES.items()
    )
    return HEAD + "".join((*rows, *texts))


def test_the_page_of_codes_is_the_table() -> None:
    if os.environ.get("DECAY_AUDIT_WRITE_SNAPSHOTS"):
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
    assert PAGE.read_text(encoding="utf-8") == page()
