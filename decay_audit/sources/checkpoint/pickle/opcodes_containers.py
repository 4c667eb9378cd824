"""The opcodes that make and fill lists, sets and dicts. Sets become lists. Nested values do not become keys."""

from collections.abc import Mapping
from typing import Any

from decay_audit.sources.checkpoint.contents import MalformedError, Tensor
from decay_audit.sources.checkpoint.pickle.inert_values import Global, OpaqueObject
from decay_audit.sources.checkpoint.pickle.machine import Machine, Operation

_KEY_TYPES = (str, int, float, bool, bytes, type(None), Global, Tensor, OpaqueObject)
"""The types of keys that are quick to hash and compare."""
_MAX_KEY = 2**60
"""Integers from here on become opaque keys: many of them may have one hash, which makes a dict slow."""


def _key(value: Any) -> Any:  # noqa: ANN401
    """Return a key that is quick to hash and compare; for a nested or huge key, an object that equals no other."""
    if type(value) not in _KEY_TYPES or (type(value) is int and abs(value) >= _MAX_KEY):
        return OpaqueObject(name="key")
    return value


def items_since_mark(machine: Machine) -> list[Any]:
    """Pop the values that were pushed since the last MARK."""
    items = machine.stack
    machine.stack = machine.marks.pop()
    return items


def _list(machine: Machine, position: int) -> int:
    items = items_since_mark(machine)
    machine.stack.append(items)
    return position


def _empty_list(machine: Machine, position: int) -> int:
    machine.stack.append([])
    return position


def _empty_dict(machine: Machine, position: int) -> int:
    machine.stack.append({})
    return position


def _dict(machine: Machine, position: int) -> int:
    items = items_since_mark(machine)
    machine.stack.append({})
    _fill(machine.stack[-1], items)
    return position


def _elements(target: Any) -> list[object]:  # noqa: ANN401
    if type(target) is list:
        return target
    if type(target) is not OpaqueObject:
        raise MalformedError("its pickle appends to something that is not a list")
    if target.elements is None:
        target.elements = []
    return target.elements


def _append(machine: Machine, position: int) -> int:
    value = machine.stack.pop()
    _elements(machine.stack[-1]).append(value)
    return position


def _appends(machine: Machine, position: int) -> int:
    items = items_since_mark(machine)
    _elements(machine.stack[-1]).extend(items)
    return position


def _fill(target: Any, items: list[Any]) -> None:  # noqa: ANN401
    if type(target) is OpaqueObject:
        target.items = target.items if target.items is not None else {}
        target = target.items
    if type(target) is not dict or len(items) % 2:
        raise MalformedError("its pickle sets items of something that is not a dict, or a key without a value")
    for index in range(0, len(items), 2):
        target[_key(items[index])] = items[index + 1]


def _set_item(machine: Machine, position: int) -> int:
    value, key = machine.stack.pop(), machine.stack.pop()
    _fill(machine.stack[-1], [key, value])
    return position


def _set_items(machine: Machine, position: int) -> int:
    items = items_since_mark(machine)
    _fill(machine.stack[-1], items)
    return position


CONTAINERS: Mapping[int, Operation] = {
    ord("]"): _empty_list,
    ord("l"): _list,
    ord("a"): _append,
    ord("e"): _appends,
    ord("}"): _empty_dict,
    ord("d"): _dict,
    ord("s"): _set_item,
    ord("u"): _set_items,
    0x8F: _empty_list,  # EMPTY_SET
    0x90: _appends,  # ADDITEMS
    0x91: _list,  # FROZENSET
}
"""The opcodes of this module, each with its function."""
