"""Files of every format with flipped, cut, doubled and inserted bytes: each is read, or is an error with a message."""

import random
import resource
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict_saver import save

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read
from tests.checkpoint.write_forms import FORMS, save_legacy, save_zip, small_state

MUTATIONS = 250


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def run_of(folder: Path, save: Callable[[object, Path], None]) -> bytes:
    model = net()
    optimizer = torch.optim.AdamW(model.named_parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 1}, folder / "whole")
    return (folder / "whole").read_bytes()


def form(name: str) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        FORMS[name](
            {key: tensor[:4] if tensor.ndim else tensor for key, tensor in small_state().items()}, folder / "whole"
        )
        return (folder / "whole").read_bytes()

    return content


def whole_module(folder: Path) -> bytes:
    save_zip(net(), folder / "whole")
    return (folder / "whole").read_bytes()


def script(folder: Path) -> bytes:
    torch.jit.script(net()).save(folder / "whole")  # type: ignore[no-untyped-call]
    return (folder / "whole").read_bytes()


def metadata(folder: Path) -> bytes:
    save({"model": net().state_dict()}, checkpoint_id=folder / "whole")
    return (folder / "whole" / ".metadata").read_bytes()


def index(_folder: Path) -> bytes:
    return b'{"metadata": {}, "weight_map": {"a.weight": "a.safetensors", "b.weight": "b.safetensors"}}'


WHOLE: dict[str, Callable[[Path], bytes]] = {
    **{name: form(name) for name in FORMS},
    "run.pt": lambda folder: run_of(folder, save_zip),
    "legacy_run.pt": lambda folder: run_of(folder, save_legacy),
    "module.pt": whole_module,
    "script.pt": script,
    "dcp.metadata": metadata,
    "model.safetensors.index.json": index,
}

ODD = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\x7f",
    b"R",
    b"b",
    b"\x81",
    b"(",
    b"t",
    b"0",
    b"2",
    b".",
    b"q\0",
    b"h\0",
    b"PK\1\2",
)


def mutated(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    length = chance.choice((1, 1, 2, 8, 64))
    other = chance.randrange(len(content))
    match chance.randrange(6):
        case 0:
            return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        case 1:
            return content[:at]
        case 2:
            return content[:at] + content[at + length :]
        case 3:
            return content[:at] + content[other : other + length] + content[at:]
        case 4:
            odd = chance.choice(ODD)
            return content[:at] + odd + content[at + len(odd) :]
        case _:
            return content[:at] + chance.choice(ODD) + content[at:]


def check(path: Path) -> bool:
    """Read a file within 10 seconds; return False if it is an error with a message."""
    begin = time.perf_counter()
    try:
        inventory = read(path, target=path.name)
    except TargetError:
        return False
    finally:
        assert time.perf_counter() - begin < 10
    assert inventory.parameters
    assert all(min(parameter.shape, default=0) >= 0 for parameter in inventory.parameters)
    return True


@pytest.fixture(autouse=True)
def bounded_memory() -> object:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", WHOLE)
def test_any_mutation_of_a_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    content, chance = WHOLE[name](tmp_path), random.Random(name)
    path = tmp_path / name
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, chance))
        check(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["zip.pt", "protocol_4.ckpt", "run.pt", "module.pt", "script.pt"])
def test_any_mutation_of_the_pickle_behind_a_good_checksum_is_read_or_refused(name: str, tmp_path: Path) -> None:
    """The checksum hides the interpreter from the test above: here the pickle is mutated and packed again."""
    with zipfile.ZipFile(BytesIO(WHOLE[name](tmp_path))) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    pickled = next(member for member in members if member.endswith("/data.pkl"))
    chance, path, reads = random.Random(name), tmp_path / name, 0
    for _ in range(MUTATIONS):
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, mutated(content, chance) if member == pickled else content)
        reads += check(path)
    assert 0 < reads < MUTATIONS, "some mutations do no harm, and some do"
