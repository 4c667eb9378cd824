"""YAML text becomes a small tree that keeps its line numbers. Knows YAML 1.2 scalars and no ruleset.

PyYAML's own constructors follow YAML 1.1, where `5e-4` is a word and `no` is false; only its event parser is used.
"""

import re
from collections.abc import Iterator
from math import inf, nan
from typing import NamedTuple, TypeAlias

import yaml
from msgspec import Struct

DEEPEST = 32
MOST_VALUES = 20_000
MOST_CHARACTERS = 1_000_000


class Mistake(Struct, frozen=True, order=True):
    """Something wrong in a rules file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Extent(NamedTuple):
    """How many values a node stands for, and how deeply they are nested, with every alias unfolded."""

    values: int = 1
    depth: int = 1


ONE = Extent()


class Scalar(Struct, frozen=True):
    """A plain value, and its spelling in the file."""

    line: int
    value: bool | int | float | str | None
    spelling: str
    extent: Extent = ONE


class Items(Struct, frozen=True):
    """A list."""

    line: int
    items: "tuple[Node, ...]"
    extent: Extent = ONE


class Entries(Struct, frozen=True):
    """A mapping: its keys in order, repeated ones too."""

    line: int
    entries: "tuple[tuple[Scalar, Node], ...]"
    extent: Extent = ONE

    def get(self, key: str) -> "Node | None":
        """The value of `key`, or None."""
        return next((value for name, value in self.entries if name.value == key), None)


Node: TypeAlias = Scalar | Items | Entries


class Unreadable(Exception):  # noqa: N818 - a refusal with a place, not a failure
    """The text is not a YAML document that can be used."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def parse(text: str) -> Node | None:
    """Parse one YAML document; None if it is empty.

    Raises:
        Unreadable: the syntax is wrong, or it is deeper or larger than any ruleset is.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(1, f"the file has {len(text):,} characters; a ruleset has at most {MOST_CHARACTERS:,}")
    try:
        return _document(_events(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, f"not YAML: {_problem(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, f"not YAML: the character {chr(error.character)!a} is not allowed") from error


def _events(text: str) -> Iterator[yaml.Event]:
    loader = getattr(
        yaml, "CBaseLoader", yaml.BaseLoader
    )  # libyaml's, ten times as fast, where PyYAML was built with it
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=loader)
    return events


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _problem(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.problem, error.context) if part)


def _document(events: Iterator[yaml.Event]) -> Node | None:
    """Build the tree, without recursion over the nesting of the text."""
    anchors: dict[str, Node] = {}
    open_nodes: list[tuple[yaml.CollectionStartEvent, list[Node]]] = []
    root: Node | None = None
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise Unreadable(_line(event), "a second document starts here; a rules file holds one")
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event, []))
        elif (node := _finished(event, open_nodes, anchors)) is not None:
            if open_nodes:
                open_nodes[-1][1].append(node)
            else:
                root = node
    return None if isinstance(root, Scalar) and not root.spelling else root


def _finished(
    event: yaml.Event, open_nodes: list[tuple[yaml.CollectionStartEvent, list[Node]]], anchors: dict[str, Node]
) -> Node | None:
    """The node that this event completes, if it completes one."""
    line = _line(event)
    start: yaml.ScalarEvent | yaml.CollectionStartEvent
    node: Node
    match event:
        case yaml.AliasEvent():
            if event.anchor not in anchors:
                raise Unreadable(line, f"`*{event.anchor}` refers to no finished `&{event.anchor}`")
            return anchors[event.anchor]
        case yaml.ScalarEvent():
            start, node = event, _scalar(event, line)
        case yaml.CollectionEndEvent():
            start, children = open_nodes.pop()
            node = _collection(start, children)
        case _:
            return None
    if start.tag not in (None, "!"):
        raise Unreadable(node.line, f"the tag `{start.tag}` is not accepted; write the value without it")
    if start.anchor is not None:
        anchors[start.anchor] = node
    return node


def _collection(start: yaml.CollectionStartEvent, children: list[Node]) -> Node:
    line, extent = _line(start), _extent(start, children)
    if isinstance(start, yaml.SequenceStartEvent):
        return Items(line, tuple(children), extent)
    keys, values = children[::2], children[1::2]
    for key in keys:
        if not isinstance(key, Scalar):
            raise Unreadable(key.line, "a key is a list or a mapping; keys are words")
    return Entries(line, tuple(zip((key for key in keys if isinstance(key, Scalar)), values, strict=True)), extent)


def _extent(start: yaml.CollectionStartEvent, children: list[Node]) -> Extent:
    """Aliases share nodes, so a short text can stand for a huge or endless tree: count what it unfolds to."""
    values = 1 + sum(child.extent.values for child in children)
    depth = 1 + max((child.extent.depth for child in children), default=0)
    if depth > DEEPEST:
        raise Unreadable(_line(start), f"nested deeper than {DEEPEST} levels")
    if values > MOST_VALUES:
        raise Unreadable(_line(start), f"unfolds to more than {MOST_VALUES:,} values; no ruleset is as large")
    return Extent(values, depth)


def _scalar(event: yaml.ScalarEvent, line: int) -> Scalar:
    plain = event.implicit[0]
    return Scalar(line, _resolve(event.value) if plain else event.value, event.value)


def _resolve(text: str) -> bool | int | float | str | None:
    """The core schema of YAML 1.2 (section 10.3.2 of its specification)."""
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
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = {".nan": nan, ".inf": inf, "+.inf": inf, "-.inf": -inf}
