"""Load and save a folder of torch.distributed.checkpoint in one process, without running code that its files hold.

torch itself unpickles the metadata, and each value that is no tensor, whatever they hold. Here the metadata may refer
to torch's own classes only, and values are loaded as `torch.load(weights_only=True)` loads them.
"""

import io
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decay_audit.sources.checkpoint.formats.torch_distributed import METADATA_NAMES

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import Metadata

METADATA_FILE = ".metadata"
"""The file that describes all values of the folder."""
_NAMES_OF_TENSORS = frozenset({"torch.Size", "torch.serialization._get_layout", "collections.OrderedDict"})
"""What the metadata of a tensor refers to, besides its dtype."""


class _MetadataUnpickler(pickle.Unpickler):
    """Unpickles the classes of a metadata file and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class
        import torch

        path = f"{module}.{name}"
        if path in METADATA_NAMES | _NAMES_OF_TENSORS:
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(f"the metadata refers to {path}")


def load(folder: Path) -> dict[str, Any]:
    """Load all values as they were nested when they were saved.

    Raises:
        Exception: a file is damaged, or holds more than tensors and plain values.
    """
    import torch
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.planner import ReadItem
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

    metadata = _read_metadata(folder)

    class Reader(FileSystemReader):
        def read_metadata(self, *_: Any, **__: Any) -> "Metadata":  # noqa: ANN401 - as the base class
            return metadata

    class Planner(_EmptyStateDictLoadPlanner):
        def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
            plain = io.BytesIO()
            torch.save(torch.load(value, map_location="cpu", weights_only=True), plain)
            super().load_bytes(read_item, io.BytesIO(plain.getvalue()))

    content: dict[str, Any] = {}
    try:
        _load_state_dict(content, storage_reader=Reader(folder), planner=Planner(), no_dist=True)  # type: ignore[no-untyped-call]
    except CheckpointException as error:  # a BaseException that holds the error of each process
        raise pickle.UnpicklingError("; ".join(str(failure[0]) for failure in error.failures.values())) from error
    return content


def _read_metadata(folder: Path) -> "Metadata":
    """Read the metadata.

    Raises:
        pickle.UnpicklingError: it refers to more than torch's classes, or to files outside the folder.
    """
    with (folder / METADATA_FILE).open("rb") as file:
        metadata: Metadata = _MetadataUnpickler(file).load()
    for storage_info in (metadata.storage_data or {}).values():
        if Path(storage_info.relative_path).name != storage_info.relative_path:
            raise pickle.UnpicklingError(f"the metadata names the file {storage_info.relative_path}")
    return metadata


def save(content: dict[str, Any], folder: Path) -> None:
    """Save values into a folder, which may hold other files."""
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one process saves is intended
        save_distributed(content, storage_writer=FileSystemWriter(folder), no_dist=True)


def files_of(folder: Path) -> Iterator[Path]:
    """List the files that torch.distributed.checkpoint has written in a folder."""
    yield folder / METADATA_FILE
    yield from folder.glob("*.distcp")
