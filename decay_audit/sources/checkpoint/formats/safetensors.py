"""The header of a safetensors file becomes a Table, refused for every reason that the format's specification refuses.

The format: 8 bytes of length, a JSON object, then the tensors' bytes without holes.
https://github.com/huggingface/safetensors#format
"""

import json
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any, Final

import msgspec
from msgspec import Struct

from decay_audit.sources.checkpoint.formats.byte_source import Opened
from decay_audit.sources.checkpoint.pickle.values import MAX_TENSORS, MalformedError, Table, Tensor
from decay_audit.text import count_noun

MAX_HEADER: Final = 100_000_000
MAX_COMMAS: Final = 1_000_000
MAX_DIMENSIONS: Final = 64
MAX_SLOW: Final = 4_000_000

_BITS: Mapping[str, tuple[str, int]] = {
    "BOOL": ("bool", 8),
    "F4": ("float4_e2m1fn_x2", 4),
    "F6_E2M3": ("float6_e2m3", 6),
    "F6_E3M2": ("float6_e3m2", 6),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "I16": ("int16", 16),
    "U16": ("uint16", 16),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "I32": ("int32", 32),
    "U32": ("uint32", 32),
    "F32": ("float32", 32),
    "C64": ("complex64", 64),
    "F64": ("float64", 64),
    "I64": ("int64", 64),
    "U64": ("uint64", 64),
}
"""torch's name of each type, and the bits of one element."""


class _Entry(Struct, frozen=True, gc=False):
    """An entry, or the metadata, which has none of these fields."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (0, 0)


class _Strict(Struct, frozen=True, gc=False):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Metadata(Struct, frozen=True):
    metadata: dict[str, str] = msgspec.field(default_factory=dict, name="__metadata__")


_Entries = Mapping[str, _Entry]
_ENTRIES = msgspec.json.Decoder(dict[str, _Entry])
_METADATA = msgspec.json.Decoder(_Metadata)


def read(opened: Opened) -> Table:
    """Read the header, and nothing after it.

    Raises:
        MalformedError: the specification refuses the file; the message names the reason.
    """
    header = _header(opened)
    entries = _entries(header)
    _check_names(entries, header)
    _check_spans(entries, opened.size - 8 - len(header))
    known: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    return Table(tensors={name: _tensor(entry, known) for name, entry in entries.items()}, ordered=False)


def _tensor(entry: _Entry, known: dict[tuple[str, tuple[int, ...]], Tensor]) -> Tensor:
    """Make a tensor, the same one for the same type and shape: a model has few of these."""
    key = entry.dtype, entry.shape
    found = known.get(key)
    if found is None:
        found = known[key] = Tensor(shape=entry.shape, dtype=_BITS[entry.dtype][0])
    return found


def _header(opened: Opened) -> bytes:
    if opened.size < 8:
        raise MalformedError(f"it is {opened.size} bytes; the length of the header alone takes 8")
    length = int.from_bytes(opened.read(0, 8), "little")
    if length > MAX_HEADER:
        raise MalformedError(f"its header claims {length} bytes; the format allows {MAX_HEADER}")
    if length > opened.size - 8:
        raise MalformedError(f"its header claims {length} bytes, the file holds {opened.size - 8} after the length")
    header = opened.read(8, length)
    if not header.startswith(b"{"):
        raise MalformedError("its header does not begin with {")
    return header


def _entries(header: bytes) -> _Entries:
    """Decode the header at once where nothing is odd about it, and slowly where a fault may have to be named."""
    _check_length(header)
    try:
        entries = _ENTRIES.decode(header)
        has_metadata = entries.pop("__metadata__", None) is not None
        metadata = _METADATA.decode(header).metadata if has_metadata else {}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _entries_one_by_one(header, str(error))
    words = Counter((*metadata, *metadata.values()))
    whole = all(
        header.count(b'"%b"' % field.encode()) == len(entries) + (field in entries) + words[field]
        for field in _Strict.__struct_fields__
    )
    return entries if whole and header.count(b'"__metadata__"') < 2 else _entries_one_by_one(header, "a key twice?")


def _check_length(header: bytes) -> None:
    """Refuse what would take far more memory than the header of a model's tensors can need."""
    tensors = header.count(b'"data_offsets"')
    if tensors > MAX_TENSORS:
        raise MalformedError(f"its header describes {tensors} tensors; at most {MAX_TENSORS} are read")
    if header.count(b",") > MAX_COMMAS + MAX_DIMENSIONS * tensors:
        raise MalformedError(f"its header holds far more than {count_noun(tensors, 'tensor')} can need")


def _entries_one_by_one(header: bytes, fault: str) -> _Entries:
    if len(header) > MAX_SLOW:
        raise MalformedError(f"its header is malformed: {fault}")
    try:
        text = header.decode()
        content = json.loads(text, object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise MalformedError(f"its header is not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"its header is not JSON: {error}") from error
    return {name: _entry(name, value) for name, value in content.items() if not _is_metadata(name, value)}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MalformedError(f"its header has the key {twice[:64]!r} twice")
    return found


def _is_metadata(name: str, value: object) -> bool:
    if name != "__metadata__":
        return False
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise MalformedError("its __metadata__ is not a table of texts")
    return True


def _entry(name: str, value: object) -> _Entry:
    try:
        strict = msgspec.convert(value, _Strict)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the header of tensor {name[:64]!r} is malformed: {error}") from error
    return _Entry(dtype=strict.dtype, shape=strict.shape, data_offsets=strict.data_offsets)


def _check_names(entries: _Entries, header: bytes) -> None:
    r"""Refuse half a character: JSON can write one as an escape (`\ud800`), UTF-8 cannot."""
    for name in entries if b"\\u" in header else ():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise MalformedError(f"its header has the name {name[:64]!r}, which is no text") from error


def _check_spans(entries: _Entries, size: int) -> None:
    """Check that the tensors' spans fill the data without holes, and that each fits its shape and type."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, stop = entry.data_offsets
        if begin != end or stop < begin:
            raise MalformedError(_span_fault(name, begin, stop, end))
        known = _BITS.get(entry.dtype)
        if known is None:
            raise MalformedError(f"tensor {name[:64]!r} has the unknown type {entry.dtype[:32]!r}")
        if prod(entry.shape) * known[1] != (stop - begin) * 8 or (entry.shape and min(entry.shape) < 0):
            raise MalformedError(
                f"tensor {name[:64]!r} of shape {list(entry.shape[:8])} and type {entry.dtype} "
                f"cannot take {stop - begin} bytes"
            )
        end = stop
    if end != size:
        fault = "ends early" if end > size else "has bytes that no tensor owns"
        raise MalformedError(f"it {fault}: its tensors take {end} bytes after the header, it has {size}")


def _span_fault(name: str, begin: int, stop: int, end: int) -> str:
    if stop < begin:
        return f"tensor {name[:64]!r} ends at {stop}, before its beginning at {begin}"
    if begin < end:
        return f"tensor {name[:64]!r} at {begin} overlaps the one before it, which ends at {end}"
    return f"there is a hole before tensor {name[:64]!r}: bytes {end} to {begin} belong to no tensor"
