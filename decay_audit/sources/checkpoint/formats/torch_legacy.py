"""`torch.save` before 1.6: five pickles in a row, then raw data. The pickles are read, by the page."""

from collections.abc import Mapping
from typing import Final

from decay_audit.sources.checkpoint.formats.byte_source import Opened, Stream
from decay_audit.sources.checkpoint.pickle.machine import Machine, run
from decay_audit.sources.checkpoint.pickle.opcodes import TABLE
from decay_audit.sources.checkpoint.pickle.storages import resolver
from decay_audit.sources.checkpoint.pickle.values import ITEM_SIZES, MalformedError, Pickled, Storage

MAGIC: Final = 0x1950A86A20F9469CFC6C
HEAD: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
PROTOCOL: Final = 1001


def read(opened: Opened) -> Pickled:
    """Interpret the pickles before the data.

    Raises:
        MalformedError: a pickle is damaged, or the data after them is cut.
    """
    found = _interpret(opened, shortcut=True) or _interpret(opened, shortcut=False)
    if found is None:
        raise MalformedError("its pickle is malformed")
    return found


def _interpret(opened: Opened, *, shortcut: bool) -> Pickled | None:
    """Give the value of the fourth pickle; None if the shortcut has to be left, which was taken."""
    stream = Stream(opened, 0, opened.size)
    storages = resolver()
    storage = storages.storage if shortcut else None
    machine = Machine(stream, persistent=storages.persistent, storage=storage)
    try:
        root, keys, at = _pickles(machine)
    except MalformedError:
        if machine.runs:
            return None
        raise
    _check_data(opened, stream.at - len(machine.data) + at, keys, storages.made)
    return Pickled(root=root, opaque=tuple(machine.opaque))


def _pickles(machine: Machine) -> tuple[object, object, int]:
    """Run all five, and return the object, the storages' keys, and where the data begins in the machine's window."""
    magic, at = run(machine, 0, TABLE)
    protocol, at = run(machine, at, TABLE)
    if magic != MAGIC or protocol != PROTOCOL:
        raise MalformedError(f"its magic number or protocol ({protocol!r:.20}) is not torch's")
    _, at = run(machine, at, TABLE)
    root, at = run(machine, at, TABLE)
    keys, at = run(machine, at, TABLE)
    return root, keys, at


def _check_data(opened: Opened, at: int, keys: object, storages: Mapping[str, Storage]) -> None:
    """Check that the data of every storage fits in what is left of the file: 8 bytes of length, then the elements."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise MalformedError("its list of storages names one that no tensor uses, or is no list")
    held = [storages[key] for key in keys]
    needed = sum(8 + (storage.count or 0) * ITEM_SIZES.get(storage.dtype, 1) for storage in held)
    if at + needed > opened.size:
        raise MalformedError(
            f"it ends early: its tensors need {needed} bytes after byte {at}, it has {opened.size - at}"
        )
