"""Find the TOML file with the settings, and read it as a tree of nodes with line numbers. `config` checks the keys.

The settings are the table `[tool.decay-audit]`; a file other than pyproject.toml may be this table itself.
"""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decay_audit import files
from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from decay_audit.rulesets.yaml.nodes import Node

OWN_FILE: Final = "decay-audit.toml"
"""A file of settings that is the table itself."""

_MAX_PARTS: Final = 100
"""The most parts of a dotted key."""
_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_MAX_PARTS}}}""")
"""A key with so many parts that it is refused: tomllib needs memory and time that grow with their square."""
_TOML_HINT: Final = "it must be valid TOML in UTF-8, without very long keys or deep nesting: https://toml.io"

# The line of the header of a table: in pyproject.toml, in a file that is the table itself, and of any table.
_HEADER = re.compile(r"""\s*\[{1,2}\s*tool\s*\.\s*["']?decay-audit["']?\s*(?:\.\s*["']?(?P<part>\w+)["']?\s*)?\]""")
_OWN_HEADER = re.compile(r"""\s*\[{1,2}\s*["']?(?P<part>\w+)["']?\s*\]""")
_ANY_HEADER = re.compile(r"\s*\[")
_KEY = re.compile(r"""\s*["']?(?P<key>[\w-]+)["']?\s*=""")

TablePosition = tuple[str, int] | None
"""The key of a list of tables, and an index in it; None for `[tool.decay-audit]` itself."""

TableKey = tuple[TablePosition, str]
"""The position of a table, and a key in it; the key "" stands for the header of the table."""


def is_whole_table(file: Path) -> bool:
    """Whether a file is the table itself: it is no pyproject.toml, and has no `[tool.decay-audit]`."""
    return file.name != "pyproject.toml" and not any(map(_HEADER.match, _text(file).splitlines()))


def table(file: Path) -> object:
    """Return the parsed table; None if the file does not have it.

    Raises:
        DecayAuditError: the file is not TOML, or far more deeply nested than a person writes it.
    """
    return _table(file, _text(file))


def _text(file: Path) -> str:
    try:
        return files.read_text(file, files.MAX_SETTINGS_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise DecayAuditError(f"{file.name} cannot be read: {error}", _TOML_HINT) from error


def _table(file: Path, text: str) -> object:
    if _LONG_KEY.search(text):
        raise DecayAuditError(f"{file.name}: a key in it has more than {_MAX_PARTS} parts", _TOML_HINT)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib raises ValueError for very long integers, too
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DecayAuditError(f"{file.name}: {reason}", _TOML_HINT) from error
    if is_whole_table(file):
        return document
    tool = document.get("tool")
    return tool.get("decay-audit") if isinstance(tool, dict) else None


def node(file: Path) -> "Node":
    """Return the table as a tree of nodes. tomllib gives no line numbers, so they are looked up in the text.

    Raises:
        DecayAuditError: as for `table`.
    """
    text = _text(file)
    lines = _lines(text, _OWN_HEADER if is_whole_table(file) else _HEADER)
    try:
        return _node(_table(file, text), lines, None, lines.get((None, ""), 1))
    except RecursionError as error:
        raise DecayAuditError(f"{file.name}: it is nested too deeply", _TOML_HINT) from error


def lines_of_list(table_node: "Node", key: str) -> list[int]:
    """List the line of each member of a list in the table; none where the table has no such list."""
    from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode

    member = table_node.get(key) if isinstance(table_node, MappingNode) else None
    return [item.line for item in member.items] if isinstance(member, ListNode) else []


def lines_without(table_node: "Node", key: str, alternatives: Collection[str]) -> list[int]:
    """List the line of each member of a list of tables that has none of these keys."""
    from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode

    members = table_node.get(key) if isinstance(table_node, MappingNode) else None
    return [
        item.line
        for item in (members.items if isinstance(members, ListNode) else ())
        if isinstance(item, MappingNode) and not any(item.get(name) for name in alternatives)
    ]


def _node(value: Any, lines: Mapping[TableKey, int], position: TablePosition, line: int, list_key: str = "") -> "Node":  # noqa: ANN401 - TOML has dates, too
    from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode, ScalarNode

    match value:
        case dict():
            key_lines = {key: lines.get((position, key), line) for key in value}
            return MappingNode(
                line,
                tuple(
                    (ScalarNode(key_line, key, key), _node(value[key], lines, position, key_line, key))
                    for key, key_line in key_lines.items()
                ),
            )
        case list():
            return ListNode(
                line, tuple(_item(item, lines, (list_key, index), line) for index, item in enumerate(value))
            )
        case date():
            return ScalarNode(line, value.isoformat(), value.isoformat())
        case _:
            return ScalarNode(line, value, str(value).lower() if isinstance(value, bool) else str(value))


def _item(value: Any, lines: Mapping[TableKey, int], position: TablePosition, line: int) -> "Node":  # noqa: ANN401
    return _node(value, lines, position, lines.get((position, ""), line) if isinstance(value, dict) else line)


def _lines(text: str, own_header: re.Pattern[str]) -> dict[TableKey, int]:
    """Find the line number of each key. The empty key stands for the header of the table."""
    lines: dict[TableKey, int] = {}
    in_table = own_header is _OWN_HEADER
    position: TablePosition = None
    counts: Counter[str] = Counter()
    for line, source in enumerate(text.splitlines(), 1):
        if header := own_header.match(source):
            in_table, position = True, (header["part"], counts[header["part"]]) if header["part"] else None
            counts[header["part"] or ""] += 1
            lines.setdefault((position, ""), line)
        elif _ANY_HEADER.match(source):
            in_table = False
        elif in_table and (key := _KEY.match(source)):
            lines.setdefault((position, key["key"]), line)
    return lines


def find(start: Path) -> Path | None:
    """Find the nearest decay-audit.toml, or pyproject.toml with a `[tool.decay-audit]` table.

    In a folder that has both, decay-audit.toml counts.

    The search goes from `start` up to the root of the repository, and ends at a folder of another user. Files of
    another user are not read, because they may name code that would run.

    Raises:
        DecayAuditError: a file on the way that may have the table is not TOML.
    """
    for file in _candidates(start):
        if _belongs_to_user(file, start) and _has_table(file):
            return file
    return None


def find_ignored(start: Path) -> Path | None:
    """Return the nearest file that may have the settings, but is not used because another user owns it."""
    foreign = (file for file in _candidates(start) if not _belongs_to_user(file, start))
    return next(filter(_may_have_table, foreign), None)


def _candidates(start: Path) -> Iterator[Path]:
    """Yield the files that may have the settings, the nearest first."""
    for folder in _project_folders(start):
        yield from (folder / OWN_FILE, folder / "pyproject.toml")


def _project_folders(start: Path) -> Iterator[Path]:
    for folder in (start, *start.parents):
        if folder != start and not _belongs_to_user(folder, start):
            return
        yield folder
        if os.path.lexists(folder / ".git"):
            return


def _belongs_to_user(path: Path, start: Path) -> bool:
    """Whether a path belongs to the user. A path of the owner of `start` also belongs to root.

    The reason is CI, which often runs as root in a checkout that another user made.
    """
    if not hasattr(os, "geteuid"):
        return True  # Windows
    try:
        owner, user = path.stat().st_uid, os.geteuid()
        return owner == user or (user == 0 and owner == start.stat().st_uid)
    except OSError:
        return False


def _may_have_table(file: Path) -> bool:
    """Whether a file is a decay-audit.toml, or contains `decay-audit`. If not, it need not be parsed."""
    if file.name == OWN_FILE:
        return files.is_file(file)
    try:
        return files.is_file(file) and "decay-audit" in files.read_text(file, files.MAX_SETTINGS_BYTES)
    except UnicodeDecodeError:
        return True
    except OSError:
        return False


def _has_table(file: Path) -> bool:
    return _may_have_table(file) and table(file) is not None
