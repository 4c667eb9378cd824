"""Interpret one pickle: the table of opcodes, and the loop over them."""

import sys
from collections.abc import Mapping
from struct import error as struct_error
from typing import Final

from decay_audit import work
from decay_audit.sources.checkpoint.contents import MalformedError
from decay_audit.sources.checkpoint.pickle.machine import Machine, Operation
from decay_audit.sources.checkpoint.pickle.opcodes_containers import CONTAINERS
from decay_audit.sources.checkpoint.pickle.opcodes_objects import OBJECTS
from decay_audit.sources.checkpoint.pickle.opcodes_scalars import SCALARS

_STOP: Final = 0x2E
"""The opcode at the end of a pickle."""
_STEPS_BETWEEN_CHECKS: Final = 1 << 16
"""After so many opcodes the limits are checked."""


def interpret(machine: Machine, position: int) -> tuple[object, int]:
    """Interpret one pickle that begins at `position`. Return its value, and the position after its last byte.

    Raises:
        MalformedError: the pickle is cut, malformed, or makes more objects than its size can need.
    """
    machine.reset()
    allocated_blocks, steps, operations = sys.getallocatedblocks(), 0, _OPERATIONS
    try:
        while True:
            for _ in range(_STEPS_BETWEEN_CHECKS):
                if position >= len(machine.data):
                    position = machine.need(position, 1)
                opcode = machine.data[position]
                if opcode == _STOP:
                    return machine.stack.pop(), position + 1
                position = operations[opcode](machine, position + 1)
            steps += _STEPS_BETWEEN_CHECKS
            machine.check_limits(steps, allocated_blocks)
            work.spend(_STEPS_BETWEEN_CHECKS // work.OPERATIONS_PER_UNIT)
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, struct_error) as error:
        position = machine.bytes_read - len(machine.data) + position
        raise MalformedError(f"its pickle is malformed near byte {position} ({type(error).__name__})") from error


def _unknown(machine: Machine, position: int) -> int:
    raise MalformedError(f"its pickle has the unknown opcode 0x{machine.data[position - 1]:02x}")


_OPERATION_OF_OPCODE: Mapping[int, Operation] = {**SCALARS, **CONTAINERS, **OBJECTS}
"""The function of each known opcode."""
_OPERATIONS: tuple[Operation, ...] = tuple(_OPERATION_OF_OPCODE.get(opcode, _unknown) for opcode in range(256))
"""The function of each byte, known or not: a tuple is indexed faster than a dict."""
