"""The first bytes of a file say which form it has, or what it is instead of a checkpoint."""

import re
from typing import Final, Literal

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint.formats.byte_source import Opened
from decay_audit.sources.checkpoint.formats.safetensors import MAX_HEADER
from decay_audit.sources.checkpoint.formats.torch_distributed import CLASSES

Form = Literal["safetensors", "zip", "legacy", "tar", "distributed"]

_MAGIC_NUMBER: Final = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_MAGIC_TEXT: Final = b"119547037146038801333356"
_CONVERT: Final = "convert it to safetensors, or save the model's state_dict() with torch.save"
_RESAVE: Final = "load it where it was made, and write its arrays as tensors with torch.save"
_UNPACK: Final = "unpack it first"
_TABLE_END: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_DOWNLOAD: Final = "download the file itself again"

_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a git-lfs pointer, not the file that it points to", "run: git lfs pull"),
    (0, b"oid sha256:", "a git-lfs pointer, not the file that it points to", "run: git lfs pull"),
    (0, b"GGUF", "a GGUF file (llama.cpp)", _CONVERT),
    (0, b"ggml", "a GGML file (llama.cpp)", _CONVERT),
    (0, b"lmgg", "a GGML file (llama.cpp)", _CONVERT),
    (0, b"tjgg", "a GGML file (llama.cpp)", _CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights?)", _CONVERT),
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
    (0, b"\x7fELF", "a compiled program", "name the checkpoint"),
    (0, b"ARROW1", "an Arrow file", "name the checkpoint"),
    (0, b"PAR1", "a Parquet file", "name the checkpoint"),
)


def form(opened: Opened, suffix: str) -> Form:
    """Say which form the file has; its bytes decide, not its name.

    Raises:
        TargetError: it is something else; the message says what, the hint what to do.
    """
    if not opened.size:
        raise TargetError(f"{opened.name} is empty", _DOWNLOAD)
    head = opened.read(0, min(512, opened.size))
    if suffix == ".distcp":
        raise TargetError(f"{opened.name} is a part of a distributed checkpoint", "name the folder that it is in")
    if head.startswith(b"PK\3\4"):
        return "zip"
    if _MAGIC_NUMBER in head[:40] or _MAGIC_TEXT in head[:64]:
        return "legacy"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:1] == b"\x80" and CLASSES.encode() in head:
        return "distributed"
    foreign = _foreign(head, suffix) or _tensorflow(opened)
    if foreign is not None:
        what, hint = foreign
        raise TargetError(f"{opened.name} is {what}", hint)
    if suffix == ".safetensors" or _may_be_safetensors(head):
        return "safetensors"
    what, hint = _by_guess(head)
    raise TargetError(f"{opened.name} is {what}", hint)


def _may_be_safetensors(head: bytes) -> bool:
    return int.from_bytes(head[:8], "little") <= MAX_HEADER and head[8:9] == b"{"


def _foreign(head: bytes, suffix: str) -> tuple[str, str] | None:
    for at, magic, what, hint in _FOREIGN:
        if head.startswith(magic, at):
            return what, hint
    if suffix == ".onnx" or (head[:1] == b"\x08" and b"\x12" in head[2:4] and b"pytorch" in head[:24]):
        return "an ONNX model", "audit the PyTorch model that it was exported from"
    if suffix == ".msgpack":
        return "a Flax checkpoint", _CONVERT
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page: the download gave a web page, not the file", _DOWNLOAD
    if text.startswith(b"<?xml"):
        return "an XML document: the download gave an error message, not the file", _DOWNLOAD
    return None


def _tensorflow(opened: Opened) -> tuple[str, str] | None:
    """Tell a checkpoint of TensorFlow: the index has its mark at its end, the data has none."""
    if _DATA.search(opened.name) or opened.read(max(opened.size - 8, 0), min(8, opened.size)) == _TABLE_END:
        return "a TensorFlow checkpoint", _CONVERT
    return None


def _by_guess(head: bytes) -> tuple[str, str]:
    if not head.strip(b"\0"):
        return "full of zeros: a download that never finished", _DOWNLOAD
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a plain pickle, not a file of torch.save", _RESAVE
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        return "a protocol-buffer file (ONNX, TensorFlow?)", _CONVERT
    if head.lstrip()[:1] in (b"{", b"["):
        return "JSON text", "name the checkpoint, or an index.json"
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "a text, not a checkpoint", "name a checkpoint, or Python; if it should be one, download it again"
    return "none of the forms that are read", "name a safetensors file or a file of torch.save"
