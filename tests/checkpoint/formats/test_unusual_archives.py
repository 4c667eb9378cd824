"""Archives that torch reads although they are unusual are read, with a note; two that contradict each other are not."""

import io
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read

STATE = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)}


def saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def with_second(ending: str, content: bytes | None = None) -> bytes:
    """Write the archive again with a second member of the same name; by default with the same content."""
    source, buffer = zipfile.ZipFile(io.BytesIO(saved(STATE))), io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as target:
        warnings.simplefilter("ignore")
        for name in source.namelist():
            target.writestr(name, source.read(name))
            if name.endswith(ending):
                target.writestr(name, source.read(name) if content is None else content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (with_second("/data.pkl"), "its zip directory lists 'archive/data.pkl' more than once"),
        (with_second("/data/0"), "its zip directory lists 'archive/data/0' more than once"),
        (saved(STATE) + bytes(10), "10 bytes after the end of its zip archive were not read"),
    ],
)
def test_what_torch_reads_is_read_with_a_note(content: bytes, note: str, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    assert torch.load(tmp_path / "x.pt").keys() == STATE.keys()
    inventory = read(tmp_path / "x.pt", target="x")
    assert [parameter.name for parameter in inventory.parameters] == list(STATE)
    assert inventory.notes == (note,)


def test_two_pickles_that_differ_are_refused(tmp_path: Path) -> None:
    other = zipfile.ZipFile(io.BytesIO(saved({"b": torch.zeros(2)})))
    (tmp_path / "x.pt").write_bytes(with_second("/data.pkl", other.read("archive/data.pkl")))
    with pytest.raises(TargetError, match="lists two different files of the name"):
        read(tmp_path / "x.pt", target="x")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_frozen_module_is_not_called_quantized(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).eval()
    torch.jit.save(torch.jit.freeze(torch.jit.script(net)), tmp_path / "frozen.pt")
    with pytest.raises(TargetError, match="its TorchScript module is frozen: its tensors are constants"):
        read(tmp_path / "frozen.pt", target="x")
    torch.jit.save(torch.jit.script(net), tmp_path / "script.pt")
    assert len(read(tmp_path / "script.pt", target="x").parameters) == 2
