"""`torch.save` since 1.6 and TorchScript: the zip directory and `data.pkl`, and of TorchScript its classes' code."""

from collections.abc import Callable, Mapping
from typing import Final

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.formats.byte_source import Opened, Stream
from decay_audit.sources.checkpoint.formats.torchscript import parameters_of_classes
from decay_audit.sources.checkpoint.formats.zip_directory import Member, begin, read_directory, read_member
from decay_audit.sources.checkpoint.pickle.machine import MAX_BYTES, Machine, run
from decay_audit.sources.checkpoint.pickle.opcodes import TABLE
from decay_audit.sources.checkpoint.pickle.storages import resolver
from decay_audit.sources.checkpoint.pickle.values import MalformedError, Pickled
from decay_audit.sources.checkpoint.state_dict.pickled_modules import SCRIPT

MAX_RATIO: Final = 100
"""How far a pickle can be packed; the code beside it may repeat itself more."""

_OTHERS: Mapping[str, tuple[str, str]] = {
    ".npy": ("a NumPy archive (.npz)", "save the arrays as tensors: torch.save({k: torch.from_numpy(v)}, path)"),
    "/archive_format": ("an exported program (torch.export, .pt2)", "save ep.state_dict with torch.save"),
    "serialized_exported_program.json": ("an exported program (torch.export)", "save ep.state_dict with torch.save"),
    "/.data/extern_modules": ("a torch.package archive", "load it and save the model's state_dict()"),
    "/model.json": ("a TorchScript archive of torch 1.0 to 1.3", "save it again with a torch from 1.4 on"),
    "model.weights.h5": ("a Keras model", "convert it to a PyTorch state dict first"),
    "word/document.xml": ("an office document", "name the checkpoint"),
}
"""What an archive without a pickle is, by the end of a member's name, and the way out."""


def read(opened: Opened) -> Pickled:
    """Interpret the archive's pickle.

    Raises:
        MalformedError: the archive or the pickle is damaged.
        TargetError: it is an archive of something else.
    """
    members = read_directory(opened)
    name = _pickle(opened.name, members)
    content = _content(opened, name, members[name])
    folder = name.removesuffix("data.pkl")
    found = _interpret(content, folder, members, shortcut=True) or _interpret(content, folder, members, shortcut=False)
    if found is None:
        raise MalformedError("its pickle is malformed")
    if f"{folder}constants.pkl" not in members:
        return found
    types = tuple(name for name in found.opaque if not name.startswith(SCRIPT))  # its own are not Python's
    return Pickled(root=found.root, opaque=types, parameters=parameters_of_classes(opened, folder, members))


def _content(opened: Opened, name: str, member: Member) -> Callable[[], Stream] | bytes:
    """Read the pickle whole where it is small; a large one by the page, and without its checksum.

    Arrays of NumPy lie within the pickle: those make it large, and are passed over.
    """
    if MAX_BYTES >= member.size > MAX_RATIO * max(member.packed, 64):
        raise MalformedError(f"{name[-64:]!r} in it claims {MAX_RATIO} times its packed size or more: a zip bomb")
    if member.size <= MAX_BYTES or member.method != 0 or member.packed != member.size:
        return read_member(opened, name, member, MAX_BYTES)
    at = begin(opened, name, member)
    return lambda: Stream(opened, at, at + member.size)


def _interpret(
    content: Callable[[], Stream] | bytes, folder: str, members: Mapping[str, Member], *, shortcut: bool
) -> Pickled | None:
    """Give the pickle's value; None if it has to be interpreted without the shortcut, which was taken."""
    data = f"{folder}data/"

    def length(key: str) -> int | None:
        member = members.get(data + key)
        return member.size if member else None

    storages = resolver(length)
    storage = storages.storage if shortcut else None
    source = content if isinstance(content, bytes) else content()
    machine = Machine(source, persistent=storages.persistent, storage=storage)
    try:
        root, _ = run(machine, 0, TABLE)
    except MalformedError:
        if machine.runs:
            return None
        raise
    return Pickled(root=root, opaque=tuple(machine.opaque))


def _pickle(archive: str, members: Mapping[str, Member]) -> str:
    found = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(f"{archive} is a zip archive of {len(found)} checkpoints", "unpack it and name one of them")
    for ending, (what, hint) in _OTHERS.items():
        if any(name.endswith(ending) for name in members):
            raise TargetError(f"{archive} is {what}", hint)
    raise TargetError(
        f"{archive} is a zip archive without a torch checkpoint in it", "unpack it and name the checkpoint"
    )
