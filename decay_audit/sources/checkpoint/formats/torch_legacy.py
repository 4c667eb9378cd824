"""`torch.save` before 1.6: five pickles in a row, then raw data. The pickles are read, a page at a time."""

from collections.abc import Mapping
from typing import Final

from decay_audit.sources.checkpoint.contents import ITEM_SIZES, MalformedError, Storage
from decay_audit.sources.checkpoint.formats.byte_source import FileStream, OpenFile
from decay_audit.sources.checkpoint.pickle.inert_values import PickleResult
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import Machine
from decay_audit.sources.checkpoint.pickle.storages import storage_resolver

_MAGIC: Final = 0x1950A86A20F9469CFC6C
"""The number in the first pickle of a file."""
_PROTOCOL: Final = 1001
"""The number in the second pickle: the version of torch's format."""


def read(file: OpenFile) -> PickleResult:
    """Interpret the pickles before the data.

    Raises:
        MalformedError: a pickle is damaged, or the data after them is incomplete.
    """
    result = _interpret(file, fast=True) or _interpret(file, fast=False)
    if result is None:
        raise MalformedError("its pickle is malformed")
    return result


def _interpret(file: OpenFile, *, fast: bool) -> PickleResult | None:
    """Return the value of the fourth pickle; None if the file cannot be read and the fast path may be the reason."""
    stream = FileStream(file, 0, file.size)
    storages = storage_resolver()
    machine = Machine(
        stream,
        persistent_load=storages.persistent_load,
        make_storage=storages.make_storage if fast else None,
    )
    try:
        root, keys, position = _interpret_all(machine)
    except MalformedError:
        if machine.tensor_sizes:  # the fast path was used
            return None
        raise
    # the bytes that the machine holds end at `stream.position`
    _check_data(file, stream.position - len(machine.data) + position, keys, storages.by_key)
    return PickleResult(root=root, opaque=tuple(machine.opaque))


def _interpret_all(machine: Machine) -> tuple[object, object, int]:
    """Return the saved object, the keys of the storages, and where the data begins in the machine's window."""
    magic, position = interpret(machine, 0)
    protocol, position = interpret(machine, position)
    if type(magic) is not int or type(protocol) is not int or (magic, protocol) != (_MAGIC, _PROTOCOL):
        number = protocol if type(protocol) is int and abs(protocol) < 10**9 else "not a small number"
        raise MalformedError(f"its magic number or its protocol ({number}) is not torch's")
    _system_info, position = interpret(machine, position)
    root, position = interpret(machine, position)
    keys, position = interpret(machine, position)
    return root, keys, position


def _check_data(file: OpenFile, position: int, keys: object, storages: Mapping[str, Storage]) -> None:
    """Check that the rest of the file has room for each storage: 8 bytes for its length, then its elements."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise MalformedError("its list of storages is malformed, or names a storage that no tensor uses")
    sizes = [(storages[key].count or 0) * ITEM_SIZES.get(storages[key].dtype, 1) for key in keys]
    needed = sum(8 + size for size in sizes)
    if position + needed > file.size:
        raise MalformedError(
            f"it ends early: its tensors need {needed} bytes after byte {position}, and it has {file.size - position}"
        )
