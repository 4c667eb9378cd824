"""Writes checkpoints in every form that torch has had, for the tests to read back."""

import pickle
import struct
import tarfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

State = Mapping[str, Tensor]


def save_zip(content: object, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_protocol_4(content: object, path: Path) -> None:
    torch.save(content, path, pickle_protocol=4)


def save_legacy_protocol_1(content: object, path: Path) -> None:
    torch.save(content, path, pickle_protocol=1, _use_new_zipfile_serialization=False)


def save_tar(content: Mapping[str, Tensor], path: Path) -> None:
    """Write the form of 2016, as `torch.serialization` still reads it: contiguous tensors, one storage each."""
    kinds = {torch.float32: torch.FloatStorage, torch.int64: torch.LongStorage, torch.float64: torch.DoubleStorage}
    storages, tensors, ids = BytesIO(), BytesIO(), {}
    pickle.dump(len(content), storages, 2)
    pickle.dump(len(content), tensors, 2)
    for number, (name, tensor) in enumerate(content.items()):
        key, ids[name] = 1000 + number, 2000 + number
        pickle.dump((key, "cpu", kinds[tensor.dtype]), storages, 2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.contiguous().numpy().tobytes())
        pickle.dump((ids[name], key, torch.FloatTensor), tensors, 2)
        sizes, strides = tuple(tensor.shape), tuple(tensor.contiguous().stride())
        tensors.write(struct.pack(f"<i4x{2 * len(sizes)}q", len(sizes), *sizes, *strides) + struct.pack("<q", 0))
    pickle.dump([], storages, 2)
    root = BytesIO()
    _ById(root, ids, content).dump(OrderedDict((name, _Placeholder(name)) for name in content))
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", root), ("sys_info", BytesIO())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data.getvalue())
            archive.addfile(entry, BytesIO(data.getvalue()))


class _Placeholder:
    def __init__(self, name: str) -> None:
        self.name = name


class _ById(pickle.Pickler):
    def __init__(self, file: BytesIO, ids: Mapping[str, int], content: State) -> None:
        super().__init__(file, 2)
        self.ids = ids

    def persistent_id(self, obj: Any) -> str | None:
        return str(self.ids[obj.name]) if isinstance(obj, _Placeholder) else None


def save_safetensors(content: State, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)


FORMS: Mapping[str, Callable[[Any, Path], None]] = {
    "zip.pt": save_zip,
    "legacy.pth": save_legacy,
    "protocol_4.ckpt": save_protocol_4,
    "legacy_protocol_1.pt": save_legacy_protocol_1,
    "old.pth.tar": save_tar,
    "model.safetensors": save_safetensors,
}
"""Every form that a plain state dict can be written in, by a name for the file."""


def small_state() -> dict[str, Tensor]:
    """A state dict of every rank and a few types, without ties."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(3, 70000, bias=False))
    model.register_parameter("scale", nn.Parameter(torch.ones(())))
    return dict(model.state_dict())
