"""A tree of nodes becomes typed values, and every mistake on the way is collected with its line.

This module checks keys and types; what a ruleset means is checked elsewhere.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, assert_never, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

from decay_audit.rulesets.yaml import validators
from decay_audit.rulesets.yaml.nodes import ListNode, MappingNode, Node, ScalarNode

ReportMistake = Callable[[int, str], None]
"""A function that takes the line and the text of a mistake."""


def read(node: Node, kind: Any, label: str, report: ReportMistake) -> Any:  # noqa: ANN401 - the type is an argument
    """Read a node as the type `kind`. If that fails, call `report` with the reasons, and return None.

    Args:
        kind: a Struct, a tuple of Structs, a plain msgspec type, or a union of these.
        label: what to call the node in a message, e.g. "`when`".
    """
    form, item_form = _form_in(kind), _item_form_in(kind)
    match node:
        case MappingNode() if form is not None:
            return _mapping(node, form, label, report)
        case ListNode() if item_form is not None:
            values = [read(item, item_form, f"an entry of {label}", report) for item in node.items]
            return tuple(value for value in values if value is not None)
        case ListNode() if item_form is None and form is None:
            return _list(node, kind, label, report)
        case _:
            return _scalar(node, kind, label, report)


def nearest(word: str, accepted: Iterable[str]) -> str:
    """Write `; did you mean ...?`; or list the accepted words, if none of them is near."""
    words = list(accepted)
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else f"; accepted: {', '.join(words)}"


def _mapping(node: MappingNode, form: type[Struct], label: str, report: ReportMistake) -> Any:  # noqa: ANN401
    accepted = _accepted_keys(form)
    complete = _check_keys(node, accepted, label, report)
    for field in accepted.values():
        if field.required and node.get(field.encode_name) is None:
            report(node.line, f"{label} has no `{field.encode_name}`, which is required")
            complete = False
    values: dict[str, object] = {}
    for key, value in node.entries:
        if isinstance(key.value, str) and key.value in accepted:
            field = accepted[key.value]
            values[field.name] = read(value, field.type, f"`{key.value}`", report)
            complete = complete and values[field.name] is not None
    violations = list(validators.violations(node, form))
    for line, text in violations:
        report(line, text)
    return form(**values) if complete and not violations else None


@cache
def _accepted_keys(form: type[Struct]) -> Mapping[str, FieldInfo]:
    return {field.encode_name: field for field in fields(form)}


def _check_keys(node: MappingNode, accepted: Mapping[str, FieldInfo], label: str, report: ReportMistake) -> bool:
    first_lines: dict[object, int] = {}
    correct = True
    for key, _ in node.entries:
        if key.value in first_lines:
            report(key.line, f"the key `{key.spelling}` is given twice, first in line {first_lines[key.value]}")
            correct = False
        elif key.value not in accepted:
            report(key.line, _unknown_key(key.spelling, label, accepted))
            correct = False
        first_lines.setdefault(key.value, key.line)
    return correct


def _unknown_key(key: str, label: str, accepted: Iterable[str]) -> str:
    """Write the message, with the nearest accepted key.

    It names the first letter outside ASCII, because such a letter may look like an ASCII letter.
    """
    if key == "<<":
        return f"`<<` in {label}: merge keys are not in YAML 1.2; write the keys out"
    foreign = next((letter for letter in key if not letter.isascii()), "")
    foreign_text = (
        f" (with U+{ord(foreign):04X}, {unicodedata.name(foreign, 'a character without a name')})" if foreign else ""
    )
    return f"unknown key `{key}`{foreign_text} in {label}{nearest(key, accepted)}"


def _list(node: ListNode, kind: Any, label: str, report: ReportMistake) -> Any:  # noqa: ANN401
    if not node.items and label != "`shape`":  # the shape of a scalar is an empty list
        report(node.line, f"{label} is an empty list")
        return None
    try:
        return msgspec.convert(_plain_value(node), kind)
    except msgspec.ValidationError:
        item_kind = _item_kind(kind)
        if item_kind is None:
            report(node.line, f"{label} must be {_accepted(kind)}, not a list")
            return None
    items = [_scalar(item, item_kind, f"an entry of {label}", report) for item in node.items]
    if all(value is not None for value in items):
        report(node.line, f"{label} must be {_accepted(kind)}")
    return None


def _scalar(node: Node, kind: Any, label: str, report: ReportMistake) -> Any:  # noqa: ANN401
    if not isinstance(node, ScalarNode):
        report(
            node.line,
            f"{label} must be {_accepted(kind)}, not {'a list' if isinstance(node, ListNode) else 'a mapping'}",
        )
        return None
    if node.value is None and not node.spelling:
        report(node.line, f"{label} is empty; it must be {_accepted(kind)}")
        return None
    if isinstance(node.value, float) and not isfinite(node.value):
        report(node.line, f"{label} is `{node.spelling}`, not a finite number")
        return None
    try:
        if node.value is not None:
            return msgspec.convert(node.value, kind)
    except msgspec.ValidationError as error:
        report(node.line, f"{label}{_refusal(node, kind, str(error))}")
        return None
    report(node.line, f"{label} is `{node.spelling}`; it must be {_accepted(kind)}")
    return None


def _refusal(node: ScalarNode, kind: Any, error: str) -> str:  # noqa: ANN401
    words = [word for member in _members(kind) if get_origin(member) is Literal for word in get_args(member)]
    if isinstance(node.value, str) and words and all(isinstance(word, str) for word in words):
        return f": `{node.spelling}` is not allowed{nearest(node.value, words)}"
    if error.startswith(("Expected `float` >=", "Expected `int` >=")):
        return f" is `{node.spelling}`; it must not be negative"
    return f" is `{node.spelling}`; it must be {_accepted(kind)}"


def _plain_value(node: Node) -> object:
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [_plain_value(item) for item in node.items]
        case MappingNode():
            return {key.value: _plain_value(value) for key, value in node.entries}
        case _:
            assert_never(node)


def _members(kind: Any) -> Iterator[Any]:  # noqa: ANN401
    """List the members of a union; an annotation is kept only if it gives the member a title."""
    if get_origin(kind) is Annotated:
        titled = any(isinstance(meta, Meta) and meta.title for meta in kind.__metadata__)
        yield from [kind] if titled else _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _members(member)
    else:
        yield kind


@cache
def _form_in(kind: Any) -> type[Struct] | None:  # noqa: ANN401
    return next((member for member in _members(kind) if isinstance(member, type) and issubclass(member, Struct)), None)


@cache
def _item_kind(kind: Any) -> Any:  # noqa: ANN401
    return next((get_args(member)[0] for member in _members(kind) if get_origin(member) is tuple), None)


@cache
def _item_form_in(kind: Any) -> type[Struct] | None:  # noqa: ANN401
    item = _item_kind(kind)
    return None if item is None else _form_in(item)


def _accepted(kind: Any) -> str:  # noqa: ANN401
    """Describe what may be written for the type."""
    return " or ".join(dict.fromkeys(text for member in _members(kind) for text in _phrase(member)))


def _phrase(member: Any) -> Sequence[str]:  # noqa: ANN401
    if member is NoneType:
        return ()
    if get_origin(member) is Annotated:
        return [meta.title for meta in member.__metadata__ if isinstance(meta, Meta) and meta.title]
    if get_origin(member) is Literal:
        return [f"`{word}`" for word in get_args(member)]
    if get_origin(member) is tuple:
        return ("a list",)
    if isinstance(member, type) and issubclass(member, Struct):
        return ("a mapping",)
    return (_PHRASES[member],)


_PHRASES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""What a message calls the values of a type."""
