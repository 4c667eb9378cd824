"""The contents of a checkpoint file of any format: tensors without their data, and the states of optimizers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from decay_audit.errors import TargetError

MAX_TENSORS: Final = 2_000_000
"""The most tensors that are read: forty times those of the largest published models."""

TRAINABLE_DTYPES: Final = frozenset(
    {
        *("float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    }
)
"""Dtypes of tensors that can have a gradient: a tensor of another dtype is not trained."""

ITEM_SIZES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("bool", "uint8", "int8", "qint8", "quint8", "quint4x2", "quint2x4", "bits8"), 1),
    **dict.fromkeys(("bits1x8", "bits2x4", "bits4x2", "float4_e2m1fn_x2", "float8_e8m0fnu"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"), 1),
    **dict.fromkeys((f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16", "bits16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32", "complex32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    "complex128": 16,
}
"""The size of one element in bytes, for each dtype. Dtypes have torch's names without `torch.`."""


class MalformedError(TargetError):
    """The bytes are not what their format requires. `read_file` adds the name of the file to the message."""


class Storage(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """A storage of torch: elements that follow each other in a file.

    Attributes:
        key: its name in the file.
        count: the number of elements; None if the file does not say.
        first: for a view into a larger storage, the index there of its first element; else 0.
    """

    key: str
    dtype: str
    count: int | None = None
    first: int = 0


class Tensor(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """Shape and dtype of a tensor, and the place of its data in the file.

    Attributes:
        trainable: whether it required a gradient; None if the file does not say.
        attributes: names of its Python attributes whose value is neither None nor False.
    """

    shape: tuple[int, ...]
    dtype: str
    storage: Storage | None = None
    offset: int = 0
    stride: tuple[int, ...] = ()
    trainable: bool | None = None
    attributes: tuple[str, ...] = ()


class Shards(Struct, frozen=True, kw_only=True):
    """The files to read, relative to `folder`.

    Attributes:
        files: the files with the tensors, in order.
        optimizer_files: files that may hold the state of an optimizer.
        weight_map: the file of each tensor, as an index lists them; None without an index.
        prefixes: what the names of the tensors of a file begin with in the model, where the file leaves it out.
        are_stages: whether the files are the stages of a pipeline, each of which numbers its layers from 0.
        notes: sentences about files that are not read.
    """

    folder: Path
    files: tuple[str, ...]
    optimizer_files: tuple[str, ...] = ()
    weight_map: Mapping[str, str] | None = None
    prefixes: Mapping[str, str] = {}
    are_stages: bool = False
    notes: tuple[str, ...] = ()


class SavedOptimizer(Struct, frozen=True, kw_only=True, eq=False):
    """The state of an optimizer, as the file holds it.

    Attributes:
        name: its dotted path in the file.
        content: the dict with `state` and `param_groups`.
        type: the class name, where the optimizer itself was pickled; "" for a state dict.
        partitions: into how many parts ZeRO has split the states, one for each process; 0 if they are whole.
        has_master_weights: whether it updates float32 copies of the parameters, which are saved beside it.
    """

    name: str
    content: Mapping[Any, object]
    type: str = ""
    partitions: int = 0
    has_master_weights: bool = False


class FileContents(Struct, frozen=True, kw_only=True):
    """The state dict that was read from one file, and the other contents of the file.

    Attributes:
        tensors: the state dict: tensors by the names that the file gives them.
        in_model_order: whether `tensors` are in the model's own order; safetensors sorts its names.
        non_tensors: the entries of the state dict that are not tensors: a few words on each, by its name.
        buffers: names of tensors that are buffers according to the file.
        module_types: qualified class names of modules by dotted name, where the file holds modules.
        optimizers: states of optimizers, wherever they are in the file.
        group_shapes: the shapes of the parameters of each param group by name, as DeepSpeed lists them for ZeRO.
        other_state_dicts: the largest other state dicts of the file, by dotted path. An optimizer may belong to one of
            them.
        opaque: qualified names of classes and functions in the file's pickle that are not on the allowlist.
        notes: what a user should know about the reading, one sentence each.
    """

    tensors: Mapping[str, Tensor]
    in_model_order: bool = True
    non_tensors: Mapping[str, str] = {}
    buffers: frozenset[str] = frozenset()
    module_types: Mapping[str, str] = {}
    optimizers: tuple[SavedOptimizer, ...] = ()
    group_shapes: "tuple[Mapping[str, tuple[int, ...]], ...]" = ()
    other_state_dicts: "Mapping[str, FileContents]" = {}
    opaque: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
