"""The message for a file that is no checkpoint says what it is, and the way out."""

import gzip
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
from tests.checkpoint.write_forms import save_safetensors, save_zip


def numpy_array() -> bytes:
    file = BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def numpy_archive() -> bytes:
    file = BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


def plain_pickle() -> bytes:
    import pickle

    return pickle.dumps({"weight": [1, 2]})


def empty_zip() -> bytes:
    file = BytesIO()
    zipfile.ZipFile(file, "w").close()
    return file.getvalue()


def zip_of_texts() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "hello")
    return file.getvalue()


def tar_of_texts() -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"))
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
ONNX = b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\xb6\x01"

OTHER_FORMATS: dict[str, tuple[bytes, str, str]] = {
    "pointer.safetensors": (LFS, "is a Git LFS pointer", "git lfs pull"),
    "pointer.bin": (LFS, "is a Git LFS pointer", "git lfs pull"),
    "page.pt": (b"<!DOCTYPE html><html><head>", "is an HTML page", "download"),
    "indented.pt": (b"\n  <HTML lang='en'>", "is an HTML page", "download"),
    "denied.pt": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "is an XML document", "download"),
    "model.onnx.pt": (ONNX, "is an ONNX model", "exported from"),
    "llama.bin": (
        b"GGUF\3\0\0\0" + bytes(100),
        "is a GGUF file (llama.cpp) of 0 tensors, for inference",
        "converted from",
    ),
    "keras.bin": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file", "convert"),
    "array.pt": (numpy_array(), "is a NumPy array", "tensor"),
    "arrays.pt": (numpy_archive(), "is a NumPy archive", "torch.save"),
    "detectron.pkl": (plain_pickle(), "is a plain pickle", "torch.save"),
    "model.ckpt.index": (bytes(99) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "is a TensorFlow checkpoint", "convert"),
    "model.ckpt.data-00000-of-00001": (b"\1" * 99, "is a TensorFlow checkpoint", "convert"),
    "flax_model.msgpack": (b"\x81\xa6params\x80", "is a Flax checkpoint", "convert"),
    "README.md": (b"# A model\n", "is a text", "name a checkpoint or a Python file"),
    "plain.pt": (plain_pickle(), "is a plain pickle", "torch.save"),
    "packed.pt": (gzip.compress(b"x" * 100), "is a gzip archive", "unpack"),
    "nothing.pt": (b"", "is empty", "download"),
    "zeros.pt": (bytes(4096), "is full of zeros", "download"),
    "json.pt": (b'{"error": "not found"}', "is JSON text", "index.json"),
    "text.pt": (b"Entry not found\n", "is a text", "download"),
    "noise.pt": (b"\x13\x37\xba\xad" * 64, "is not in a format", "safetensors"),
    "empty_zip.pt": (empty_zip(), "is an empty zip archive", "download"),
    "zip_of_texts.pt": (zip_of_texts(), "is a zip archive without a torch checkpoint", "unpack"),
    "tar_of_texts.tar": (tar_of_texts(), "is a tar archive without a torch checkpoint", "unpack"),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_a_file_of_another_format_is_recognized(name: str, tmp_path: Path) -> None:
    content, what, hint = OTHER_FORMATS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TargetError) as caught:
        read(tmp_path / name, target=name)
    assert caught.value.message.startswith(f"{name} {what}")
    assert hint in caught.value.hint


def test_the_bytes_decide_and_not_the_name(tmp_path: Path) -> None:
    state: dict[str, Any] = {"weight": torch.zeros(2, 3)}
    save_safetensors(state, tmp_path / "a.pt")
    save_zip(state, tmp_path / "a.safetensors")
    assert read(tmp_path / "a.pt", target="").kind == "safetensors"
    assert read(tmp_path / "a.safetensors", target="").kind == "torch"


@pytest.mark.filterwarnings("ignore")
def test_an_exported_program_is_recognized(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(2, 3), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "program.pt2")
    with pytest.raises(TargetError, match="is an exported program"):
        read(tmp_path / "program.pt2", target="")


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"none\.pt is not a file"):
        read(tmp_path / "none.pt", target="")


def test_arrays_of_a_plain_pickle_are_read_as_detectron2_publishes_them(tmp_path: Path) -> None:
    import pickle

    arrays: dict[str, Any] = {"conv.weight": np.zeros((4, 3, 3, 3), np.float32), "conv.bias": np.zeros(4, np.float16)}
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2"}))
    inventory = read(tmp_path / "model.pkl", target="model.pkl")
    assert [(parameter.name, parameter.shape, parameter.dtype) for parameter in inventory.parameters] == [
        (name, array.shape, str(array.dtype)) for name, array in arrays.items()
    ]
    assert inventory.opaque == ()
