"""What a checkpoint's bytes become: tensors without data, names of code that is never imported, and tables of both."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from decay_audit.errors import TargetError

MAX_TENSORS: Final = 500_000
"""The most tensors that are read: ten times those of the largest models that are published."""

TRAINED = frozenset(
    {
        *("float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    }
)
"""Types that can carry a gradient: what has another one is not trained."""

ITEM_SIZES: Mapping[str, int] = {
    **dict.fromkeys(("bool", "uint8", "int8", "qint8", "quint8", "quint4x2", "quint2x4", "bits8"), 1),
    **dict.fromkeys(("bits1x8", "bits2x4", "bits4x2", "float4_e2m1fn_x2", "float8_e8m0fnu"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"), 1),
    **dict.fromkeys((f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16", "bits16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32", "complex32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    "complex128": 16,
}
"""Bytes of one element, by torch's name of the type without the prefix."""


class MalformedError(TargetError):
    """The bytes are not what their format says; the reader of the file adds its name."""


class Storage(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """A run of elements in a file, by its key there; `count` is in elements, None if the file does not say."""

    key: str
    dtype: str
    count: int | None = None
    first: int = 0  # of a view into a larger storage: the element it begins at


class Tensor(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """Shape and type of a tensor, and where its data would be.

    Attributes:
        trainable: whether it required a gradient; None if the file does not say.
        attributes: names of the attributes set on it, and true.
    """

    shape: tuple[int, ...]
    dtype: str
    storage: Storage | None = None
    offset: int = 0
    stride: tuple[int, ...] = ()
    trainable: bool | None = None
    attributes: tuple[str, ...] = ()


class Name(Struct, frozen=True, kw_only=True, eq=False):
    """A global that a pickle names: inert, and callable only through `build`, which makes another inert value."""

    qualified: str
    build: "Callable[[tuple[Any, ...]], object] | None" = None
    dtype: str = ""  # of a type of storage or element


class Opaque(Struct, kw_only=True, eq=False):
    """What a call to unknown code would have made: carried, never made. BUILD and SETITEMS fill it in."""

    name: str
    arguments: tuple[object, ...] = ()
    state: object = None
    items: "dict[Any, object] | None" = None
    elements: "list[object] | None" = None


class Pickled(Struct, frozen=True, kw_only=True, eq=False):
    """What the pickle of one file stands for: its value, and the names of unknown code.

    `parameters` lists the parameters of TorchScript's classes by qualified name: their modules do not tell.
    """

    root: object
    opaque: tuple[str, ...] = ()
    parameters: Mapping[str, frozenset[str]] = {}
    notes: tuple[str, ...] = ()


class Saved(Struct, frozen=True, kw_only=True, eq=False):
    """The state of an optimizer as found: its place, what it holds, and its class where a whole optimizer was saved."""

    name: str
    content: Mapping[Any, object]
    type: str = ""


class Table(Struct, frozen=True, kw_only=True):
    """The named tensors of one file, and what else it holds.

    Attributes:
        tensors: by the name that the file gives them.
        ordered: the order is the model's own; safetensors sorts its names.
        others: names of entries of the state dict that are no tensors, with what they are.
        buffers: names that the file itself says are buffers.
        types: qualified class names of modules by dotted name, where the file holds modules.
        saved: optimizer states found beside the tensors.
        rivals: the largest other state dicts of the file, by dotted path: an optimizer may be of one of them.
        opaque: names of code outside the allow-list.
        notes: what a person should know about the reading.
    """

    tensors: Mapping[str, Tensor]
    ordered: bool = True
    others: Mapping[str, str] = {}
    buffers: frozenset[str] = frozenset()
    types: Mapping[str, str] = {}
    saved: tuple[Saved, ...] = ()
    rivals: "Mapping[str, Table]" = {}
    opaque: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
