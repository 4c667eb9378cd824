"""The opcodes for the stack, the memo, globals and calls: inert values stand for everything that could run."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from decay_audit.sources.checkpoint.contents import MalformedError, Tensor
from decay_audit.sources.checkpoint.pickle.allowlist import qualified_name, with_attributes
from decay_audit.sources.checkpoint.pickle.inert_values import Global, OpaqueObject
from decay_audit.sources.checkpoint.pickle.machine import Machine, Operation
from decay_audit.sources.checkpoint.pickle.opcodes_containers import items_since_mark
from decay_audit.sources.checkpoint.pickle.opcodes_scalars import decode_python_2
from decay_audit.sources.checkpoint.pickle.tensor_fast_path import read_tensor


def _mark(machine: Machine, position: int) -> int:
    """Begin a list of items. A saved tensor begins so, too: its opcodes are read at once if they are the usual ones."""
    if machine.make_storage and (end := read_tensor(machine, position)) != position:
        return end
    machine.marks.append(machine.stack)
    machine.stack = []
    return position


def _pop(machine: Machine, position: int) -> int:
    """Remove the value on top of the stack, or the mark if no value is above it."""
    if machine.stack:
        machine.stack.pop()
    else:
        machine.stack = machine.marks.pop()
    return position


def _pop_mark(machine: Machine, position: int) -> int:
    machine.stack = machine.marks.pop()
    return position


def _duplicate(machine: Machine, position: int) -> int:
    machine.stack.append(machine.stack[-1])
    return position


def _tuple(machine: Machine, position: int) -> int:
    items = tuple(machine.stack)
    machine.stack = machine.marks.pop()
    machine.stack.append(items)
    return position


def _tuple_of(count: int, machine: Machine, position: int) -> int:
    stack = machine.stack
    stack[-count:] = [tuple(stack[len(stack) - count :])]
    return position


def _put_byte(machine: Machine, position: int) -> int:
    if position >= len(machine.data):
        position = machine.need(position, 1)
    machine.memo[machine.data[position]] = machine.stack[-1]
    return position + 1


def _put(machine: Machine, position: int) -> int:
    position = machine.need(position, 4)
    machine.memo[int.from_bytes(machine.data[position : position + 4], "little")] = machine.stack[-1]
    return position + 4


def _put_text(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    machine.memo[int(line) % 2**32] = machine.stack[-1]
    return position


def _memoize(machine: Machine, position: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return position


def _get_byte(machine: Machine, position: int) -> int:
    if position >= len(machine.data):
        position = machine.need(position, 1)
    machine.stack.append(machine.memo[machine.data[position]])
    return position + 1


def _get(machine: Machine, position: int) -> int:
    position = machine.need(position, 4)
    machine.stack.append(machine.memo[int.from_bytes(machine.data[position : position + 4], "little")])
    return position + 4


def _get_text(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    machine.stack.append(machine.memo[int(line) % 2**32])
    return position


def _global(machine: Machine, position: int) -> int:
    module, position = machine.line(position)
    name, position = machine.line(position)
    machine.stack.append(machine.find_global(qualified_name(decode_python_2(module), decode_python_2(name))))
    return position


def _stack_global(machine: Machine, position: int) -> int:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str) or len(name) + len(module) > 4096:
        raise MalformedError("its pickle has a global whose name is not two strings")
    machine.stack.append(machine.find_global(qualified_name(module, name)))
    return position


def _extension(width: int, machine: Machine, position: int) -> int:
    position = machine.need(position, width)
    code = int.from_bytes(machine.data[position : position + width], "little")
    machine.stack.append(machine.find_global(f"copyreg.extension_{code}"))
    return position + width


def _call(function: Any, arguments: Any) -> object:  # noqa: ANN401
    """Build the inert value of a call on the allowlist; any other call becomes an OpaqueObject with its arguments.

    TorchScript calls an enum with its bare value: a value that is not a tuple counts as the only argument.
    """
    values = arguments if type(arguments) is tuple else (arguments,)
    if type(function) is not Global:
        return OpaqueObject(name=function.name if type(function) is OpaqueObject else "?", arguments=(function, values))
    return function.build(values) if function.build else OpaqueObject(name=function.qualified, arguments=values)


def _reduce(machine: Machine, position: int) -> int:
    arguments = machine.stack.pop()
    machine.stack[-1] = _call(machine.stack[-1], arguments)
    return position


def _reduce_with_keywords(machine: Machine, position: int) -> int:
    keywords = machine.stack.pop()
    _reduce(machine, position)
    if type(machine.stack[-1]) is OpaqueObject:
        machine.stack[-1].state = keywords
    return position


def _instance(machine: Machine, position: int) -> int:
    items = items_since_mark(machine)
    position = _global(machine, position)
    machine.stack[-1] = _call(machine.stack[-1], tuple(items))
    return position


def _object(machine: Machine, position: int) -> int:
    items = items_since_mark(machine)
    machine.stack.append(_call(items[0], tuple(items[1:])))
    return position


def _build(machine: Machine, position: int) -> int:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is OpaqueObject:
        target.state = state
    elif type(target) is Tensor:
        machine.stack[-1] = with_attributes(target, state)
    return position


def _persistent(machine: Machine, position: int) -> int:
    machine.stack[-1] = machine.persistent_load(machine.stack[-1])
    return position


def _text_persistent(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    machine.stack.append(machine.persistent_load(decode_python_2(line)))
    return position


OBJECTS: Mapping[int, Operation] = {
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): _pop_mark,
    ord("2"): _duplicate,
    ord("P"): _text_persistent,
    ord("Q"): _persistent,
    ord("R"): _reduce,
    ord("b"): _build,
    ord("c"): _global,
    ord("g"): _get_text,
    ord("h"): _get_byte,
    ord("i"): _instance,
    ord("j"): _get,
    ord("o"): _object,
    ord("p"): _put_text,
    ord("q"): _put_byte,
    ord("r"): _put,
    ord("t"): _tuple,
    0x81: _reduce,  # NEWOBJ
    0x82: partial(_extension, 1),  # EXT1, EXT2, EXT4
    0x83: partial(_extension, 2),
    0x84: partial(_extension, 4),
    0x85: partial(_tuple_of, 1),  # TUPLE1, TUPLE2, TUPLE3
    0x86: partial(_tuple_of, 2),
    0x87: partial(_tuple_of, 3),
    0x92: _reduce_with_keywords,  # NEWOBJ_EX
    0x93: _stack_global,
    0x94: _memoize,
}
"""The opcodes of this module, each with its function."""
