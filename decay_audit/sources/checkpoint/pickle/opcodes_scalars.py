"""The opcodes that push a number, a string, bytes or a constant on the stack."""

from collections.abc import Mapping
from functools import partial
from struct import unpack_from
from typing import Final

from decay_audit.sources.checkpoint.contents import MalformedError
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject
from decay_audit.sources.checkpoint.pickle.machine import Machine, Operation
from decay_audit.sources.checkpoint.pickle.tensor_fast_path import read_named_tensors

_MAX_STRING: Final = 1 << 20
"""The most bytes of a string that is read. Only the data of NumPy arrays is longer; it is skipped."""

_MAX_INTEGER_BYTES: Final = 256
"""The longest integer that is read."""


def _push(value: object, machine: Machine, position: int) -> int:
    machine.stack.append(value)
    return position


def _empty_tuple(machine: Machine, position: int) -> int:
    machine.stack.append(())
    return position


def _byte(machine: Machine, position: int) -> int:
    position = machine.need(position, 1)
    machine.stack.append(machine.data[position])
    return position + 1


def _short(machine: Machine, position: int) -> int:
    position = machine.need(position, 2)
    machine.stack.append(machine.data[position] | machine.data[position + 1] << 8)
    return position + 2


def _integer(machine: Machine, position: int) -> int:
    position = machine.need(position, 4)
    machine.stack.append(int.from_bytes(machine.data[position : position + 4], "little", signed=True))
    return position + 4


def _float(machine: Machine, position: int) -> int:
    position = machine.need(position, 8)
    machine.stack.append(unpack_from(">d", machine.data, position)[0])
    return position + 8


def _counted_bytes(machine: Machine, position: int, width: int, limit: int = _MAX_STRING) -> tuple[int, bytes | None]:
    """Return where a counted string ends, and its bytes; None for more than `limit` bytes, which are skipped."""
    position = machine.need(position, width)
    count = int.from_bytes(machine.data[position : position + width], "little")
    if count > limit:
        return machine.skip(position + width, count), None
    position = machine.need(position + width, count)
    return position + count, machine.data[position : position + count]


def _unicode(width: int, machine: Machine, position: int) -> int:
    position, raw = _counted_bytes(machine, position, width)
    machine.stack.append(OpaqueObject(name="") if raw is None else str(raw, "utf-8", "replace"))
    return position


def _unicode_or_tensors(machine: Machine, position: int) -> int:
    position = _unicode(4, machine, position)
    return read_named_tensors(machine, position) if machine.make_storage else position


def _bytes(width: int, machine: Machine, position: int) -> int:
    position, raw = _counted_bytes(machine, position, width)
    machine.stack.append(OpaqueObject(name="") if raw is None else raw)
    return position


def _string(width: int, machine: Machine, position: int) -> int:
    """Read a string of Python 2, whose bytes are usually text."""
    position, raw = _counted_bytes(machine, position, width)
    machine.stack.append(OpaqueObject(name="") if raw is None else decode_python_2(raw))
    return position


def decode_python_2(raw: bytes) -> str:
    """Decode a string of Python 2: as UTF-8, else as Latin 1, in which every byte is a character."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin1")


def _large_integer(width: int, machine: Machine, position: int) -> int:
    position, raw = _counted_bytes(machine, position, width, _MAX_INTEGER_BYTES)
    machine.stack.append(OpaqueObject(name="integer") if raw is None else int.from_bytes(raw, "little", signed=True))
    return position


def _text_integer(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    machine.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.rstrip(b"L")))
    return position


def _text_float(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    machine.stack.append(float(line))
    return position


def _text_string(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    quote = line[:1]
    if len(line) < 2 or quote not in (b"'", b'"') or line[-1:] != quote:
        raise MalformedError("a string in its pickle is not quoted")
    machine.stack.append(decode_python_2(line[1:-1]))
    return position


def _text_unicode(machine: Machine, position: int) -> int:
    line, position = machine.line(position)
    machine.stack.append(line.decode("raw-unicode-escape", "replace"))
    return position


def _skip(count: int, machine: Machine, position: int) -> int:
    return machine.need(position, count) + count


SCALARS: Mapping[int, Operation] = {
    ord("F"): _text_float,
    ord("G"): _float,
    ord("I"): _text_integer,
    ord("J"): _integer,
    ord("K"): _byte,
    ord("L"): _text_integer,
    ord("M"): _short,
    ord("N"): partial(_push, None),
    ord("S"): _text_string,
    ord("T"): partial(_string, 4),
    ord("U"): partial(_string, 1),
    ord("B"): partial(_bytes, 4),
    ord("C"): partial(_bytes, 1),
    ord("V"): _text_unicode,
    ord("X"): _unicode_or_tensors,
    ord(")"): _empty_tuple,
    0x80: partial(_skip, 1),  # PROTO
    0x88: partial(_push, True),  # noqa: FBT003
    0x89: partial(_push, False),  # noqa: FBT003
    0x8A: partial(_large_integer, 1),
    0x8B: partial(_large_integer, 4),
    0x8C: partial(_unicode, 1),
    0x8D: partial(_unicode, 8),
    0x8E: partial(_bytes, 8),
    0x95: partial(_skip, 8),  # FRAME
    0x96: partial(_bytes, 8),  # BYTEARRAY8
    0x97: partial(_push, None),  # NEXT_BUFFER: its bytes are elsewhere
    0x98: partial(_skip, 0),  # READONLY_BUFFER
}
"""The opcodes of this module, each with its function."""
