"""Read zip files of `torch.save` (since torch 1.6) and of TorchScript: `data.pkl`, and the code of TorchScript.

The code is read as text, because only the code of a TorchScript class says which attributes are parameters, and which
are buffers.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import MalformedError
from decay_audit.sources.checkpoint.formats.byte_source import FileStream, OpenFile
from decay_audit.sources.checkpoint.formats.zip_directory import ZipMember, find_data, read_directory, read_member
from decay_audit.sources.checkpoint.pickle.inert_values import PickleResult
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import MAX_BYTES, Machine
from decay_audit.sources.checkpoint.pickle.storages import storage_resolver
from decay_audit.sources.checkpoint.state_dict.pickled_modules import SCRIPT

MAX_RATIO: Final = 100
"""How many times larger than its compressed bytes a pickle may be."""

_MAX_CODE: Final = 16 * 2**20
"""The most bytes of code that are read. With more code, buffers are recognized by their names, as in a state dict."""

_CLASS = re.compile(rb"^class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]$", re.MULTILINE)
"""In the code of TorchScript: the name of a class, and the list of its parameters."""
_QUOTED_NAME = re.compile(rb'"([^"\\]*)"')
"""One name in that list."""

_OTHER_ARCHIVES: Mapping[str, tuple[str, str]] = {
    ".npy": ("a NumPy archive (.npz)", "save its arrays as tensors: torch.save({k: torch.from_numpy(v)}, path)"),
    "/archive_format": ("an exported program (torch.export, .pt2)", "save ep.state_dict with torch.save"),
    "serialized_exported_program.json": ("an exported program (torch.export)", "save ep.state_dict with torch.save"),
    "/.data/extern_modules": ("a torch.package archive", "load it and save the model's state_dict()"),
    "/model.json": ("a TorchScript archive of torch 1.0 to 1.3", "save it again with torch 1.4 or later"),
    "model.weights.h5": ("a Keras model", "convert it to a PyTorch state dict first"),
    "word/document.xml": ("an office document", "name the checkpoint"),
}
"""What an archive without a pickle is, and a hint, by the end of the name of a file in it."""


def read(file: OpenFile) -> PickleResult:
    """Interpret the pickle of the archive.

    Raises:
        MalformedError: the archive or the pickle is damaged.
        TargetError: the archive is not a checkpoint of torch.
    """
    notes: list[str] = []
    members = read_directory(file, notes)
    name = _find_pickle(file.name, members)
    content = _pickle_bytes(file, name, members[name], notes)
    folder = name.removesuffix("data.pkl")
    result = _interpret(content, folder, members, fast=True) or _interpret(content, folder, members, fast=False)
    if result is None:
        raise MalformedError("its pickle is malformed")
    if f"{folder}constants.pkl" not in members:
        return replace(result, notes=tuple(notes))
    python_types = tuple(name for name in result.opaque if not name.startswith(SCRIPT))
    return PickleResult(
        root=result.root,
        opaque=python_types,
        script_parameters=_script_parameters(file, folder, members),
        has_constants=any(name.startswith(f"{folder}constants/") for name in members),
        notes=tuple(notes),
    )


def _find_pickle(archive: str, members: Mapping[str, ZipMember]) -> str:
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) == 1:
        return pickles[0]
    if pickles:
        raise TargetError(f"{archive} is a zip archive of {len(pickles)} checkpoints", "unpack it and name one of them")
    for ending, (description, hint) in _OTHER_ARCHIVES.items():
        if any(name.endswith(ending) for name in members):
            raise TargetError(f"{archive} is {description}", hint)
    raise TargetError(
        f"{archive} is a zip archive without a torch checkpoint in it", "unpack it and name the checkpoint"
    )


def _pickle_bytes(file: OpenFile, name: str, member: ZipMember, notes: list[str]) -> Callable[[], FileStream] | bytes:
    """Read a small pickle as a whole; stream a large pickle, without checking its checksum.

    Pickles are large because of NumPy arrays in them, which the stream skips.
    """
    if MAX_BYTES >= member.size > MAX_RATIO * max(member.packed, 64):
        raise MalformedError(
            f"its {name[-64:]!r} would unpack to more than {MAX_RATIO} times its size: this may be a zip bomb",
            "if you trust the file, load it with torch and save only its state_dict()",
        )
    if member.size <= MAX_BYTES or member.method != 0 or member.packed != member.size:
        return read_member(file, name, member, MAX_BYTES, notes)
    position = find_data(file, name, member)
    return lambda: FileStream(file, position, position + member.size)


def _interpret(
    content: Callable[[], FileStream] | bytes, folder: str, members: Mapping[str, ZipMember], *, fast: bool
) -> PickleResult | None:
    """Return the value of the pickle; None if the fast path failed: then call this again with `fast=False`."""
    data = f"{folder}data/"

    def byte_count(key: str) -> int | None:
        member = members.get(data + key)
        return member.size if member else None

    storages = storage_resolver(byte_count)
    machine = Machine(
        content if isinstance(content, bytes) else content(),
        persistent_load=storages.persistent_load,
        make_storage=storages.make_storage if fast else None,
    )
    try:
        root, _ = interpret(machine, 0)
    except MalformedError:
        if machine.tensor_sizes:  # the fast path was used
            return None
        raise
    return PickleResult(root=root, opaque=tuple(machine.opaque))


def _script_parameters(file: OpenFile, folder: str, members: Mapping[str, ZipMember]) -> Mapping[str, frozenset[str]]:
    """List the parameters of each TorchScript class by its qualified name."""
    root = f"{folder}code/"
    code = {name: member for name, member in members.items() if name.startswith(root) and name.endswith(".py")}
    if sum(member.size for member in code.values()) > _MAX_CODE:
        return {}
    parameters = {}
    for name, member in code.items():
        module = name.removeprefix(root).removesuffix(".py").replace("/", ".")
        for class_name, listed in _CLASS.findall(read_member(file, name, member, _MAX_CODE, [])):
            names = frozenset(quoted.decode("utf-8", "replace") for quoted in _QUOTED_NAME.findall(listed))
            parameters[f"{module}.{class_name.decode()}"] = names
    return parameters
