"""Read the header of a safetensors file into its FileContents; what the format's specification forbids is an error.

The format: 8 bytes of length, a JSON object, then the tensors' bytes without gaps. Comments call the safetensors
library "the reference".
https://github.com/huggingface/safetensors#format
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, Final

import msgspec
from msgspec import Struct

from decay_audit import work
from decay_audit.sources.checkpoint.contents import MAX_TENSORS, FileContents, MalformedError, Tensor
from decay_audit.sources.checkpoint.formats.byte_source import OpenFile
from decay_audit.text import count_noun

_UPDATE_HINT: Final = "a newer decay-audit may know this dtype: update it"
"""The hint of an unknown dtype."""

MAX_HEADER: Final = 100_000_000
"""The most bytes of a header."""
MAX_COMMAS: Final = 1_000_000
"""The most commas of a header, besides MAX_DIMENSIONS for each tensor."""
MAX_DIMENSIONS: Final = 64
"""The most commas in a header for each tensor."""
MAX_STRICT: Final = 4_000_000
"""The most bytes of a header that is decoded again by `json` to check it strictly."""
MAX_DEPTH: Final = 127
"""How deeply values of a header may be nested. The reference has the same limit."""
_NEGATIVE = re.compile(rb"[:,\[]\s*-")
"""A negative number in JSON."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""The escape of a surrogate in JSON: half of a character."""

_DTYPES: Mapping[str, tuple[str, int]] = {
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
"""torch's name of each dtype, and the bits of one element."""


class _TensorEntry(Struct, frozen=True, gc=False):
    """The description of a tensor in the header. Fields have defaults: `__metadata__` is decoded as one, too."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (0, 0)


class _StrictEntry(Struct, frozen=True, gc=False):
    """The description of a tensor, with every field required."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _HeaderMetadata(Struct, frozen=True):
    metadata: dict[str, str] | None = msgspec.field(default_factory=dict, name="__metadata__")


_Entries = Mapping[str, _TensorEntry]
_ENTRIES = msgspec.json.Decoder(dict[str, _TensorEntry])
"""The decoder of a header."""
_METADATA = msgspec.json.Decoder(_HeaderMetadata)
"""The decoder of its metadata alone."""


def read(file: OpenFile) -> FileContents:
    """Read the header, and nothing after it.

    Raises:
        MalformedError: the header is not as the specification requires.
    """
    header = _header(file)
    entries = _entries(header)
    _check_names(entries, header)
    _check_spans(entries, file.size - 8 - len(header))
    cache: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    return FileContents(tensors={name: _tensor(entry, cache) for name, entry in entries.items()}, in_model_order=False)


def _tensor(entry: _TensorEntry, cache: dict[tuple[str, tuple[int, ...]], Tensor]) -> Tensor:
    """Make one Tensor for each dtype and shape: a model has few of these."""
    key = entry.dtype, entry.shape
    tensor = cache.get(key)
    if tensor is None:
        tensor = cache[key] = Tensor(shape=entry.shape, dtype=_DTYPES[entry.dtype][0])
    return tensor


def _header(file: OpenFile) -> bytes:
    if file.size < 8:
        raise MalformedError(f"it is {file.size} bytes long; the length of the header alone takes 8")
    length = int.from_bytes(file.read(0, 8), "little")
    if length > MAX_HEADER:
        raise MalformedError(f"its header claims {length} bytes; the format allows at most {MAX_HEADER}")
    if length > file.size - 8:
        raise MalformedError(f"its header claims {length} bytes, and the file has {file.size - 8} after the length")
    header = file.read(8, length)
    if not header.startswith(b"{"):
        raise MalformedError("its header does not start with {, as a JSON object does")
    return header


def _entries(header: bytes) -> _Entries:
    """Decode the header quickly; if something may be wrong with it, decode it again strictly, to name the fault."""
    _check_length(header)
    try:
        entries = _ENTRIES.decode(header)
        has_metadata = entries.pop("__metadata__", None) is not None
        metadata = (_METADATA.decode(header).metadata or {}) if has_metadata else {}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _strict_entries(header, str(error))
    metadata_words = Counter((*metadata, *metadata.values()))
    # the decoder accepts missing and repeated fields: count how often each field's name occurs
    each_field_once = all(
        header.count(b'"%b"' % field.encode()) == len(entries) + (field in entries) + metadata_words[field]
        for field in _StrictEntry.__struct_fields__
    )
    if not each_field_once or header.count(b'"__metadata__"') > 1:
        return _strict_entries(header, "a field is missing, or a key occurs twice")
    if len(header) <= MAX_STRICT and _has_more_than_fields(header, len(entries), len(metadata)):
        return _strict_entries(header, "")
    return entries


def _has_more_than_fields(header: bytes, tensors: int, metadata: int) -> bool:
    """Tell whether a header may have nested or huge values, which the decoder ignores and the reference refuses."""
    colons = 4 * tensors + metadata + (b'"__metadata__"' in header)
    ordinary = header.count(b"[") == 2 * tensors and header.count(b":") == colons
    return not ordinary or _NEGATIVE.search(header) is not None or _SURROGATE.search(header) is not None


def _check_length(header: bytes) -> None:
    """Refuse a header that would take far more memory than its tensors can need."""
    tensors = header.count(b'"data_offsets"')
    if tensors > MAX_TENSORS:
        raise MalformedError(f"its header describes {tensors:,} tensors; at most {MAX_TENSORS:,} are read")
    work.require(work.UNITS_PER_TENSOR * tensors)
    if header.count(b",") > MAX_COMMAS + MAX_DIMENSIONS * tensors:
        raise MalformedError(f"its header is far larger than {count_noun(tensors, 'tensor')} can need")


def _strict_entries(header: bytes, fault: str) -> _Entries:
    """Check each entry by itself. A header that is too large for that is refused with `fault` as the reason."""
    if len(header) > MAX_STRICT:
        raise MalformedError(f"its header is malformed: {fault}")
    try:
        text = header.decode()
        content = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_float,
        )
        _check_depth(content)
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise MalformedError("its header has half of a surrogate pair, which is not valid Unicode") from error
    except UnicodeDecodeError as error:
        raise MalformedError(f"its header is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise MalformedError("its header is nested too deeply") from error
    except ValueError as error:
        raise MalformedError(f"its header is not JSON: {error}") from error
    return {name: _entry(name, value) for name, value in content.items() if not _is_metadata(name, value)}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    # only the metadata may have a key twice
    is_metadata = "dtype" not in content and all(isinstance(value, str) for value in content.values())
    if len(content) != len(pairs) and not is_metadata:
        duplicate = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise MalformedError(f"its header has the key {duplicate[:64]!r} twice")
    return content


def _integer(text: str) -> int | float:
    """Read an integer as the reference does: -0 and integers beyond 64 bits are floats."""
    if len(text) < 20 and text != "-0":
        return int(text)
    return int(text) if text != "-0" and len(text) < 22 and -(2**63) <= int(text) < 2**64 else _float(text)


def _float(text: str) -> float:
    value = float(text)
    if value - value != 0:  # inf - inf is nan
        raise MalformedError("its header has a number that is too large for 64 bits")
    return value


def _check_depth(content: object) -> None:
    """Refuse values that are nested more deeply than the reference reads them."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [item for value in level for item in _items(value) if isinstance(item, dict | list)]
        if not level:
            return
    raise MalformedError("its header is nested too deeply")


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(text: str) -> object:
    raise MalformedError(f"its header has {text}, which JSON does not have")


def _is_metadata(name: str, value: object) -> bool:
    if name != "__metadata__":
        return False
    if value is not None and not (isinstance(value, dict) and all(isinstance(text, str) for text in value.values())):
        raise MalformedError("its __metadata__ is not an object of strings")
    return True


def _entry(name: str, value: object) -> _TensorEntry:
    try:
        strict = msgspec.convert(value, _StrictEntry)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the entry of tensor {name[:64]!r} in its header is malformed: {error}") from error
    return _TensorEntry(dtype=strict.dtype, shape=strict.shape, data_offsets=strict.data_offsets)


def _check_names(entries: _Entries, header: bytes) -> None:
    r"""Refuse a lone surrogate: JSON can write it as an escape (`\ud800`), UTF-8 cannot."""
    for name in entries if b"\\u" in header else ():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise MalformedError(f"its header has the name {name[:64]!r}, which is not valid Unicode") from error


def _check_spans(entries: _Entries, size: int) -> None:
    """Check that the tensors fill the data without gaps, and that each has the bytes of its shape and dtype."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, stop = entry.data_offsets
        if begin != end or stop < begin:
            raise MalformedError(_span_fault(name, begin, stop, end))
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None:
            raise MalformedError(f"its tensor {name[:64]!r} has the unknown dtype {entry.dtype[:32]!r}", _UPDATE_HINT)
        if prod(entry.shape) * dtype[1] != (stop - begin) * 8 or (entry.shape and min(entry.shape) < 0):
            raise MalformedError(
                f"its tensor {name[:64]!r} has {stop - begin} bytes, which is not the size of "
                f"shape {list(entry.shape[:8])} and dtype {entry.dtype}"
            )
        if 0 in entry.shape:
            _check_product(name, entry.shape)
        end = stop
    if end != size:
        fault = "ends early" if end > size else "has bytes that belong to no tensor"
        raise MalformedError(f"it {fault}: its tensors take {end} bytes after the header, and it has {size}")


def _check_product(name: str, shape: Sequence[int]) -> None:
    """Refuse sizes whose product overflows 64 bits before the size 0 is reached, as the reference does."""
    elements = 1
    for size in shape:
        elements *= size
        if max(elements, size) >= 2**64:
            raise MalformedError(f"its tensor {name[:64]!r} has more elements than 64 bits can count")


def _span_fault(name: str, begin: int, stop: int, end: int) -> str:
    if stop < begin:
        return f"its tensor {name[:64]!r} ends at byte {stop}, before it starts at byte {begin}"
    if begin < end:
        return f"its tensor {name[:64]!r} starts at byte {begin}, before the previous tensor ends at byte {end}"
    return f"there is a gap before its tensor {name[:64]!r}: bytes {end} to {begin} belong to no tensor"
