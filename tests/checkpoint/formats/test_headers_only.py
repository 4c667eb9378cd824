"""Headers only, and no torch: the bytes that are read are counted, and the modules that are imported are listed."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from decay_audit.sources.checkpoint.formats import safetensors, torch_legacy, torch_tar, torch_zip
from decay_audit.sources.checkpoint.formats.byte_source import PAGE, OpenFile
from tests.checkpoint.write_forms import save_legacy, save_safetensors, save_tar, save_zip

STATE = {f"layers.{index}.weight": torch.ones(400, 500) for index in range(5)}


class Counting(io.FileIO):
    """A file that remembers which bytes were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self.spans: list[tuple[int, int]] = []

    def readinto(self, buffer: Any) -> int:
        at = self.tell()
        count = super().readinto(buffer)
        self.spans.append((at, at + (count or 0)))
        return count or 0

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        content = super().read(-1 if size is None else size)
        self.spans.append((at, at + len(content or b"")))
        return content or b""


def spans_of(path: Path, kind: str) -> list[tuple[int, int]]:
    readers = {
        "safetensors": safetensors.read,
        "zip": torch_zip.read,
        "legacy": torch_legacy.read,
        "tar": torch_tar.read,
    }
    with Counting(path) as file:
        readers[kind](OpenFile(name="x", file=file, size=path.stat().st_size))
        return file.spans


def data_spans(path: Path) -> list[tuple[int, int]]:
    """The spans of the tensors' data, which is all ones."""
    content = path.read_bytes()
    block = torch.ones(400, 500).numpy().tobytes()
    spans, at = [], content.find(block)
    while at >= 0:
        spans.append((at, at + len(block)))
        at = content.find(block, at + len(block))
    assert len(spans) == 5
    return spans


@pytest.mark.parametrize(("kind", "allowed"), [("safetensors", 0), ("zip", 0), ("legacy", PAGE), ("tar", 6 * PAGE)])
def test_tensor_data_is_never_read(kind: str, allowed: int, tmp_path: Path) -> None:
    """Legacy formats do not say where a pickle ends: up to a page of the data after it may be read."""
    path = tmp_path / "model"
    {"safetensors": save_safetensors, "zip": save_zip, "legacy": save_legacy, "tar": save_tar}[kind](STATE, path)
    data = data_spans(path)
    touched = sum(
        max(0, min(stop, end) - max(start, begin)) for start, stop in spans_of(path, kind) for begin, end in data
    )
    assert touched <= allowed


def test_a_safetensors_file_is_read_up_to_the_end_of_its_header_and_once(tmp_path: Path) -> None:
    save_safetensors(STATE, tmp_path / "model")
    length = int.from_bytes((tmp_path / "model").read_bytes()[:8], "little")
    assert spans_of(tmp_path / "model", "safetensors") == [(0, 8), (8, 8 + length)]


PROBE = """
import json, sys
from pathlib import Path
from decay_audit.sources.checkpoint import read
path = Path(sys.argv[1])
inventory = read(path, target=path.name)
io = Path("/proc/self/io")
if len(sys.argv) > 2:
    import torch
print(json.dumps({
    "parameters": len(inventory.parameters),
    "heavy": sorted({"torch", "numpy", "pickle", "safetensors", "transformers"} & sys.modules.keys()),
    "characters": int(io.read_text().split()[1]) if io.exists() else 0,
}))
"""


def probed(path: Path, *more: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", PROBE, str(path), *more], capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", ["model.safetensors", "zip.pt", "legacy.pt", "tar.pth.tar"])
def test_neither_torch_nor_numpy_nor_pickle_is_imported(name: str, tmp_path: Path) -> None:
    writers = {"model.safetensors": save_safetensors, "zip.pt": save_zip, "legacy.pt": save_legacy}
    writers.get(name, save_tar)(STATE, tmp_path / name)
    assert probed(tmp_path / name)["heavy"] == []


def test_the_probe_would_see_torch(tmp_path: Path) -> None:
    save_zip(STATE, tmp_path / "zip.pt")
    heavy = probed(tmp_path / "zip.pt", "and torch")["heavy"]
    assert isinstance(heavy, list)
    assert "torch" in heavy


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes read by a process are counted by Linux only")
def test_a_terabyte_costs_what_its_header_costs(tmp_path: Path) -> None:
    """A sparse file: 1 TiB of tensors behind a header of 200 bytes."""
    path, small = tmp_path / "huge.safetensors", tmp_path / "small.safetensors"
    for target, rows in ((path, 2**30), (small, 1)):
        size = rows * 2**10
        header = json.dumps({"weight": {"dtype": "F32", "shape": [rows, 256], "data_offsets": [0, size]}}).encode()
        with target.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            try:
                file.truncate(8 + len(header) + size)
            except OSError:
                pytest.skip("the file system holds no sparse file of 1 TiB")
    huge, little = probed(path)["characters"], probed(small)["characters"]
    assert isinstance(huge, int)
    assert isinstance(little, int)
    assert abs(huge - little) < 1000
