"""Detect the format of a file by its first bytes. If it is not a checkpoint, say what it is."""

import re
from typing import Final, Literal

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.formats.byte_source import OpenFile
from decay_audit.sources.checkpoint.formats.safetensors import MAX_HEADER
from decay_audit.sources.checkpoint.formats.torch_distributed import METADATA_MODULE
from decay_audit.text import count_noun

CheckpointFormat = Literal["safetensors", "zip", "legacy", "tar", "distributed", "numpy"]

_LEGACY_MAGIC: Final = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_LEGACY_MAGIC_PROTOCOL_0: Final = b"119547037146038801333356"
"""The number at the beginning of a file of torch before 1.6, in binary protocols and in the text of protocol 0."""
_CONVERT: Final = "convert it to safetensors, or save the model's state_dict() with torch.save"
_UNPACK: Final = "unpack it first"
"""Hints for files of other formats, and for damaged files."""
_TENSORFLOW_INDEX_END: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
"""The last bytes of the index of a TensorFlow checkpoint."""
_TENSORFLOW_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
"""The end of the name of a data file of a TensorFlow checkpoint."""
_DOWNLOAD: Final = "download the file again"

_OTHER_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run: git lfs pull"),
    (0, b"oid sha256:", "a Git LFS pointer, not the file itself", "run: git lfs pull"),
    (0, b"ggml", "a GGML file (llama.cpp)", _CONVERT),
    (0, b"lmgg", "a GGML file (llama.cpp)", _CONVERT),
    (0, b"tjgg", "a GGML file (llama.cpp)", _CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (perhaps Keras weights)", _CONVERT),
    (4, b"TFL3", "a TensorFlow Lite model", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", "save it as a tensor in a state dict"),
    (0, b"PK\5\6", "an empty zip archive", _DOWNLOAD),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstandard archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a rar archive", _UNPACK),
    (0, b"%PDF", "a PDF document", "name the checkpoint"),
    (0, b"\x89PNG", "a PNG image", "name the checkpoint"),
    (0, b"\x7fELF", "a compiled program or library", "name the checkpoint"),
    (0, b"ARROW1", "an Arrow file", "name the checkpoint"),
    (0, b"PAR1", "a Parquet file", "name the checkpoint"),
)
"""Formats that are not read: a position in the file, the bytes there, a description and a hint."""


def detect_format(file: OpenFile, suffix: str) -> CheckpointFormat:
    """Tell the format of a file from its first bytes; the suffix decides only if the bytes do not.

    Raises:
        TargetError: the file has none of these formats; the message says what it is, the hint what to do.
    """
    if not file.size:
        raise TargetError(f"{file.name} is empty", _DOWNLOAD)
    head = file.read(0, min(512, file.size))
    if suffix == ".distcp":
        raise TargetError(f"{file.name} is one part of a distributed checkpoint", "name the folder that holds it")
    if head.startswith(b"PK\3\4"):
        return "zip"
    if _LEGACY_MAGIC in head[:40] or _LEGACY_MAGIC_PROTOCOL_0 in head[:64]:
        return "legacy"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:1] == b"\x80" and METADATA_MODULE.encode() in head:
        return "distributed"
    other_format = _other_format(head, suffix)
    if other_format is None and _may_be_safetensors(head):
        return "safetensors"
    other_format = other_format or _tensorflow(file)
    if other_format is not None:
        description, hint = other_format
        raise TargetError(f"{file.name} is {description}", hint)
    is_pickle = head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")
    if suffix == ".safetensors" or is_pickle:
        return "safetensors" if suffix == ".safetensors" else "numpy"
    description, hint = _guess(head)
    raise TargetError(f"{file.name} is {description}", hint)


def _may_be_safetensors(head: bytes) -> bool:
    return int.from_bytes(head[:8], "little") <= MAX_HEADER and head[8:9] == b"{"


def _other_format(head: bytes, suffix: str) -> tuple[str, str] | None:  # noqa: PLR0911 - one for each kind of format
    """Describe a file of a format that decay-audit does not read, with a hint; None if it is no such file."""
    if head.startswith(b"GGUF"):
        tensors = count_noun(int.from_bytes(head[8:16], "little"), "tensor")
        return f"a GGUF file (llama.cpp) of {tensors}, for inference", "name the checkpoint that it was converted from"
    for offset, magic, description, hint in _OTHER_FORMATS:
        if head.startswith(magic, offset):
            return description, hint
    if suffix == ".onnx" or (head[:1] == b"\x08" and b"\x12" in head[2:4] and b"pytorch" in head[:24]):
        return "an ONNX model", "audit the PyTorch model that it was exported from"
    if suffix == ".msgpack":
        return "a Flax checkpoint", _CONVERT
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, not a checkpoint", _DOWNLOAD
    if text.startswith(b"<?xml"):
        return "an XML document, not a checkpoint: perhaps a download error", _DOWNLOAD
    return None


def _tensorflow(file: OpenFile) -> tuple[str, str] | None:
    """Recognize a TensorFlow checkpoint: the index by its last bytes, the data by its file name."""
    if (
        _TENSORFLOW_DATA.search(file.name)
        or file.read(max(file.size - 8, 0), min(8, file.size)) == _TENSORFLOW_INDEX_END
    ):
        return "a TensorFlow checkpoint", _CONVERT
    return None


def _guess(head: bytes) -> tuple[str, str]:
    """Describe a file of no known format, with a hint."""
    if not head.strip(b"\0"):
        return "full of zeros: perhaps a download that did not finish", _DOWNLOAD
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        return "a protocol-buffer file (perhaps ONNX or TensorFlow)", _CONVERT
    if head.lstrip()[:1] in (b"{", b"["):
        return "JSON text", "name the checkpoint, or an index.json"
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return (
            "a text file, not a checkpoint",
            "name a checkpoint or a Python file; if it should be a checkpoint, download it again",
        )
    return "not in a format that decay-audit reads", "name a safetensors file or a file saved with torch.save"
