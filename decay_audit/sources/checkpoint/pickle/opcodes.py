"""What each pickle opcode does to the machine's stack, with inert values in place of everything that could run.

Every step takes the machine and the position after its opcode, and returns the position of the next one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from decay_audit.sources.checkpoint.pickle.allowlist import modern, with_attributes
from decay_audit.sources.checkpoint.pickle.machine import Machine, Step
from decay_audit.sources.checkpoint.pickle.opcodes_containers import CONTAINERS, since_mark
from decay_audit.sources.checkpoint.pickle.opcodes_scalars import OPERANDS, python_2_text, unknown
from decay_audit.sources.checkpoint.pickle.tensor_fast_path import unnamed
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Name, Opaque, Tensor


def _mark(machine: Machine, at: int) -> int:
    if machine.storage and (end := unnamed(machine, at)) != at:
        return end
    machine.marks.append(machine.stack)
    machine.stack = []
    return at


def _pop(machine: Machine, at: int) -> int:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.stack = machine.marks.pop()
    return at


def _pop_mark(machine: Machine, at: int) -> int:
    machine.stack = machine.marks.pop()
    return at


def _duplicate(machine: Machine, at: int) -> int:
    machine.stack.append(machine.stack[-1])
    return at


def _tuple(machine: Machine, at: int) -> int:
    items = tuple(machine.stack)
    machine.stack = machine.marks.pop()
    machine.stack.append(items)
    return at


def _tuple_of(count: int, machine: Machine, at: int) -> int:
    stack = machine.stack
    stack[-count:] = [tuple(stack[len(stack) - count :])]
    return at


def _put_byte(machine: Machine, at: int) -> int:
    if at >= len(machine.data):
        at = machine.need(at, 1)
    machine.memo[machine.data[at]] = machine.stack[-1]
    return at + 1


def _put(machine: Machine, at: int) -> int:
    at = machine.need(at, 4)
    machine.memo[int.from_bytes(machine.data[at : at + 4], "little")] = machine.stack[-1]
    return at + 4


def _put_text(machine: Machine, at: int) -> int:
    line, at = machine.line(at)
    machine.memo[int(line) % 2**32] = machine.stack[-1]
    return at


def _memoize(machine: Machine, at: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return at


def _get_byte(machine: Machine, at: int) -> int:
    if at >= len(machine.data):
        at = machine.need(at, 1)
    machine.stack.append(machine.memo[machine.data[at]])
    return at + 1


def _get(machine: Machine, at: int) -> int:
    at = machine.need(at, 4)
    machine.stack.append(machine.memo[int.from_bytes(machine.data[at : at + 4], "little")])
    return at + 4


def _get_text(machine: Machine, at: int) -> int:
    line, at = machine.line(at)
    machine.stack.append(machine.memo[int(line) % 2**32])
    return at


def _global(machine: Machine, at: int) -> int:
    module, at = machine.line(at)
    name, at = machine.line(at)
    machine.stack.append(machine.name(modern(python_2_text(module), python_2_text(name))))
    return at


def _stack_global(machine: Machine, at: int) -> int:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str) or len(name) + len(module) > 4096:
        raise MalformedError("the pickle names a global by something else than two words")
    machine.stack.append(machine.name(modern(module, name)))
    return at


def _extension(width: int, machine: Machine, at: int) -> int:
    at = machine.need(at, width)
    code = int.from_bytes(machine.data[at : at + width], "little")
    machine.stack.append(machine.name(f"copyreg.extension_{code}"))
    return at + width


def _call(function: Any, arguments: Any) -> object:  # noqa: ANN401
    """Stand for a call: a name on the list builds its inert value, anything else is carried with its arguments.

    TorchScript calls an enum with its bare value; what is not a tuple is carried as the only argument.
    """
    given = arguments if type(arguments) is tuple else (arguments,)
    if type(function) is not Name:
        return Opaque(name=function.name if type(function) is Opaque else "?", arguments=(function, given))
    return function.build(given) if function.build else Opaque(name=function.qualified, arguments=given)


def _reduce(machine: Machine, at: int) -> int:
    arguments = machine.stack.pop()
    machine.stack[-1] = _call(machine.stack[-1], arguments)
    return at


def _reduce_with_keywords(machine: Machine, at: int) -> int:
    keywords = machine.stack.pop()
    _reduce(machine, at)
    if type(machine.stack[-1]) is Opaque:
        machine.stack[-1].state = keywords
    return at


def _instance(machine: Machine, at: int) -> int:
    items = since_mark(machine)
    at = _global(machine, at)
    machine.stack[-1] = _call(machine.stack[-1], tuple(items))
    return at


def _object(machine: Machine, at: int) -> int:
    items = since_mark(machine)
    machine.stack.append(_call(items[0], tuple(items[1:])))
    return at


def _build(machine: Machine, at: int) -> int:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is Opaque:
        target.state = state
    elif type(target) is Tensor:
        machine.stack[-1] = with_attributes(target, state)
    return at


def _persistent(machine: Machine, at: int) -> int:
    machine.stack[-1] = machine.persistent(machine.stack[-1])
    return at


def _text_persistent(machine: Machine, at: int) -> int:
    line, at = machine.line(at)
    machine.stack.append(machine.persistent(python_2_text(line)))
    return at


def _steps() -> Mapping[int, Step]:
    """Give the step of every opcode of protocols 0 to 5 but STOP, which ends the run."""
    return {
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
        0x81: _reduce,
        0x82: partial(_extension, 1),
        0x83: partial(_extension, 2),
        0x84: partial(_extension, 4),
        0x85: partial(_tuple_of, 1),
        0x86: partial(_tuple_of, 2),
        0x87: partial(_tuple_of, 3),
        0x92: _reduce_with_keywords,
        0x93: _stack_global,
        0x94: _memoize,
    }


_ALL: Mapping[int, Step] = {**OPERANDS, **CONTAINERS, **_steps()}
TABLE: tuple[Step, ...] = tuple(_ALL.get(code, unknown) for code in range(256))
