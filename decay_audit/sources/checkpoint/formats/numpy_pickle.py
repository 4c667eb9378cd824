"""Read a plain pickle of NumPy arrays by name, in a dict `model`, as Detectron2 publishes its models (`.pkl`)."""

import re
from typing import Final

from decay_audit import work
from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.contents import MalformedError, Tensor
from decay_audit.sources.checkpoint.formats.byte_source import FileStream, OpenFile
from decay_audit.sources.checkpoint.pickle.allowlist import read_shape
from decay_audit.sources.checkpoint.pickle.inert_values import OpaqueObject, PickleResult
from decay_audit.sources.checkpoint.pickle.interpreter import interpret
from decay_audit.sources.checkpoint.pickle.machine import Machine
from decay_audit.sources.checkpoint.pickle.storages import storage_resolver

_RECONSTRUCT = re.compile(r"numpy\.(_?core)\.multiarray\._reconstruct")
"""The function that makes an array."""
_USUAL_NAMES = re.compile(rf"{_RECONSTRUCT.pattern}|numpy\.(_?core)\.multiarray\.scalar|numpy\.(ndarray|dtype)")
"""The names that every pickle of arrays refers to."""
_DTYPES: Final = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "b1": "bool",
    **{f"i{size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"u{size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
}
"""torch's name for each dtype of NumPy."""
_MAX_DEPTH: Final = 4
"""How deeply dicts of arrays may be nested."""


def read(file: OpenFile) -> PickleResult:
    """Interpret the pickle, with a Tensor in place of each array.

    Raises:
        TargetError: the pickle is damaged, or holds no arrays.
    """
    machine = Machine(FileStream(file, 0, file.size), persistent_load=storage_resolver().persistent_load)
    try:
        root, _ = interpret(machine, 0)
    except MalformedError as error:
        raise _other_pickle(file) from error
    if not isinstance(root, dict) or not (tensors := _with_tensors(root, 0)):
        raise _other_pickle(file)
    return PickleResult(root=tensors, opaque=tuple(name for name in machine.opaque if not _USUAL_NAMES.fullmatch(name)))


def _other_pickle(file: OpenFile) -> TargetError:
    return TargetError(
        f"{file.name} is a plain pickle, not a file saved with torch.save",
        "load it with the library that made it, then save its arrays as tensors with torch.save",
    )


def _with_tensors(values: dict[object, object], depth: int) -> dict[object, object]:
    """Return the arrays of a dict as tensors, and the dicts in it that have arrays."""
    work.spend(1 + len(values) // work.OPERATIONS_PER_UNIT)
    tensors: dict[object, object] = {}
    for name, value in values.items():
        if isinstance(value, dict) and depth < _MAX_DEPTH and (inner := _with_tensors(value, depth + 1)):
            tensors[name] = inner
        elif (tensor := _tensor(value)) is not None:
            tensors[name] = tensor
    return tensors


def _tensor(value: object) -> Tensor | None:
    match value:
        case OpaqueObject(
            name=name, state=(_, tuple() as shape, OpaqueObject(name="numpy.dtype", arguments=(str() as code, *_)), *_)
        ) if _RECONSTRUCT.fullmatch(name) and code in _DTYPES:
            return Tensor(shape=read_shape(shape), dtype=_DTYPES[code])
        case _:
            return None
