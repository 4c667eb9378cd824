"""YAML text becomes a tree of nodes with line numbers. Scalars are read by the rules of YAML 1.2.

PyYAML's own constructors follow YAML 1.1, where `5e-4` is text and `no` is false, so only its nodes are used.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from math import inf, nan
from typing import TypeAlias

import yaml
from msgspec import Struct

MAX_DEPTH = 32
"""How deeply lists and mappings may be nested."""
MAX_VALUES = 20_000
"""The most values of a file, with aliases written out."""
MAX_CHARACTERS = 1_000_000
"""The most characters of a file."""
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
"""The message for a file that is nested more deeply."""


class Mistake(Struct, frozen=True, order=True):
    """Something wrong in a rules file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class ScalarNode(Struct, frozen=True):
    """A plain value, and its spelling in the file."""

    line: int
    value: bool | int | float | str | None
    spelling: str


class ListNode(Struct, frozen=True):
    """A list."""

    line: int
    items: "tuple[Node, ...]"


class MappingNode(Struct, frozen=True):
    """A mapping: its keys in order, repeated ones too."""

    line: int
    entries: "tuple[tuple[ScalarNode, Node], ...]"

    def get(self, key: str) -> "Node | None":
        """Return the value of `key`, or None."""
        return next((value for name, value in self.entries if name.value == key), None)


Node: TypeAlias = ScalarNode | ListNode | MappingNode


class UnreadableYamlError(Exception):
    """The text is not a YAML document that can be used."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def parse(text: str) -> Node | None:
    """Parse one YAML document; None if it is empty.

    Raises:
        UnreadableYamlError: the syntax is wrong, or it is deeper or larger than any ruleset is.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnreadableYamlError(1, f"the file has {len(text):,} characters; a ruleset has at most {MAX_CHARACTERS:,}")
    # libyaml's loader is ten times as fast, but PyYAML may have been built without it
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _check_events(yaml.parse(text, Loader=loader))
        root: yaml.Node | None = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(part for part in (error.problem, error.context) if part)
        raise UnreadableYamlError(mark.line + 1 if mark else 1, f"not YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableYamlError(line, f"not YAML: the character {chr(error.character)!a} is not allowed") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return None
    return _node(root, 1, count(1))


def _check_events(events: Iterable[yaml.Event]) -> None:
    """Refuse deep nesting, a second document and tags.

    They are refused before the text is composed. Composing recurses in C without a limit; and in a composed tree, a tag
    that the text has cannot be told from an implied one.
    """
    depth = documents = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > MAX_DEPTH:
            raise UnreadableYamlError(line, TOO_DEEP)
        if documents > 1:
            raise UnreadableYamlError(line, "a second document starts here; a rules file holds one")
        if (tag := getattr(event, "tag", None)) is not None:
            raise UnreadableYamlError(line, f"the tag `{tag}` is not accepted; write the value without it")


def _node(node: yaml.Node, depth: int, values: Iterator[int]) -> Node:
    """Convert a node. An alias repeats a whole node, so that a short text can stand for a huge or an endless tree."""
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        raise UnreadableYamlError(line, TOO_DEEP)
    if next(values) > MAX_VALUES:
        raise UnreadableYamlError(
            line, f"more than {MAX_VALUES:,} values, with aliases written out; no ruleset is as large"
        )
    if isinstance(node, yaml.ScalarNode):
        return ScalarNode(line, node.value if node.style else _resolve(node.value), node.value)
    if isinstance(node, yaml.SequenceNode):
        return ListNode(line, tuple(_node(item, depth + 1, values) for item in node.value))
    return MappingNode(
        line, tuple((_key(key, depth + 1, values), _node(value, depth + 1, values)) for key, value in node.value)
    )


def _key(node: yaml.Node, depth: int, values: Iterator[int]) -> ScalarNode:
    key = _node(node, depth, values)
    if not isinstance(key, ScalarNode):
        raise UnreadableYamlError(key.line, "a key is a list or a mapping; keys are words")
    return key


def _resolve(text: str) -> bool | int | float | str | None:
    """Convert a plain scalar by the core schema of YAML 1.2 (section 10.3.2 of its specification)."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _NOT_FINITE.get(text.lower(), text)


_INTEGER = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
"""An integer of YAML 1.2, of at most 400 digits; a longer one is read as a float."""
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
"""A number of YAML 1.2 that is not spelled `.inf` or `.nan`; one that is too large for a float becomes inf."""
_NOT_FINITE = {".nan": nan, ".inf": inf, "+.inf": inf, "-.inf": -inf}
"""The spellings of numbers that are not finite."""
