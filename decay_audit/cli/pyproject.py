"""The table `[tool.decay-audit]` of a pyproject.toml, as a tree of nodes with their lines. Knows none of its keys."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode, Node, ScalarNode

_HEADER = re.compile(r"""\s*\[{1,2}\s*tool\s*\.\s*["']?decay-audit["']?\s*(?P<part>\.\s*["']?\w+["']?\s*)?\]""")
_ANY_HEADER = re.compile(r"\s*\[")
_KEY = re.compile(r"""\s*["']?(?P<key>[\w-]+)["']?\s*=""")

Place = tuple[int | None, str]
"""A key of the table itself, or of the list of tables in it of that number."""


def table(file: Path) -> object:
    """Give the table as it was parsed; None if there is none.

    Raises:
        DecayAuditError: the file is no TOML.
    """
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DecayAuditError(f"{file.name}: {error}", "it must be TOML, see https://toml.io") from error
    return tool.get("decay-audit") if isinstance(tool, dict) else None


def node(file: Path) -> Node:
    """Give the table as a tree; tomllib tells no lines, so they are looked up in the text."""
    lines = _lines(file.read_text(encoding="utf-8"))
    return _node(table(file), lines, None, lines.get((None, ""), 1))


def _node(value: Any, lines: Mapping[Place, int], number: int | None, line: int) -> Node:  # noqa: ANN401 - TOML has dates, too
    match value:
        case dict():
            found = {key: lines.get((number, key), line) for key in value}
            return MappingNode(
                line,
                tuple(
                    (ScalarNode(found[key], key, key), _node(value[key], lines, number, found[key])) for key in value
                ),
            )
        case list():
            return ListNode(line, tuple(_item(each, lines, index, line) for index, each in enumerate(value)))
        case _:
            return ScalarNode(line, value, str(value).lower() if isinstance(value, bool) else str(value))


def _item(value: Any, lines: Mapping[Place, int], index: int, line: int) -> Node:  # noqa: ANN401
    return _node(value, lines, index, lines.get((index, ""), line) if isinstance(value, dict) else line)


def _lines(text: str) -> dict[Place, int]:
    """Find the lines of keys, and under an empty key those of the tables that hold them."""
    lines: dict[Place, int] = {}
    inside, number, count = False, None, 0
    for line, written in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(written):
            inside, number = True, count if header["part"] else None
            count += header["part"] is not None
            lines.setdefault((number, ""), line)
        elif _ANY_HEADER.match(written):
            inside = False
        elif inside and (key := _KEY.match(written)):
            lines.setdefault((number, key["key"]), line)
    return lines
