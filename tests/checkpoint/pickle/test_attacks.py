"""Nothing in a checkpoint runs: pickles that would leave a marker leave none, and what they name is reported."""

import copyreg
import os
import pickle
import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint.state_dict_saver

from decay_audit.model.inventory import Inventory
from decay_audit.sources.checkpoint import read
from decay_audit.sources.checkpoint.pickle.dangerous_names import runs_code
from tests.checkpoint.write_forms import save_legacy, save_zip


class Calling:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments

    def __call__(self) -> None:
        """Be callable for the pickler, so that one call's result can be called in turn."""


class CallingWithState(Calling):
    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments, {"weight": Calling(self.function, *self.arguments)}


def attacks(marker: Path) -> dict[str, tuple[Any, str]]:
    touch = f"open({str(marker)!r}, 'w').close()"
    inner = pickle.dumps(Calling(exec, touch))
    return {
        "system": (Calling(os.system, f"touch {marker}"), f"{os.system.__module__}.system"),
        "eval": (Calling(eval, touch), "builtins.eval"),
        "exec": (Calling(exec, touch), "builtins.exec"),
        "open": (Calling(open, str(marker), "w"), f"{open.__module__}.open"),
        "popen": (Calling(subprocess.Popen, ["touch", str(marker)]), "subprocess.Popen"),
        "check_output": (Calling(subprocess.check_output, ["touch", str(marker)]), "subprocess.check_output"),
        "socket": (Calling(socket.socket), "socket.socket"),
        "connect": (Calling(socket.create_connection, ("127.0.0.1", 9)), "socket.create_connection"),
        "getattr": (Calling(Calling(getattr, Path, "touch"), marker), "builtins.getattr"),
        "chain": (Calling(Calling(eval, "eval"), touch), "builtins.eval"),
        "state": (CallingWithState(exec, touch), "builtins.exec"),
        "nested": (Calling(pickle.loads, inner), "pickle.loads"),
        "hub": (Calling(torch.hub.load, "owner/repo", "model"), "torch.hub.load"),
        "torch_load": (Calling(torch.load, str(marker)), "torch.serialization.load"),
        "reconstructor": (Calling(copyreg._reconstructor, subprocess.Popen, object, None), "subprocess.Popen"),  # type: ignore[attr-defined]
        "registry": (Calling(copyreg.add_extension, "os", "system", 77), "copyreg.add_extension"),
        "import": (Calling(__import__, "antigravity"), "builtins.__import__"),
    }


NAMES = sorted(attacks(Path("x")))


def written(attack: str, folder: Path, save: Callable[[Any, Path], None], at: str) -> tuple[Path, Path, str]:
    marker, path = folder / "marker", folder / "checkpoint.pt"
    harmful, name = attacks(marker)[attack]
    state: dict[Any, Any] = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    content: Any = {
        "beside": {"model": state, "extra": harmful},
        "within": {**state, "harm": harmful},
        "root": harmful,
        "optimizer": {
            "model": state,
            "optimizer": {"param_groups": [{"params": [0], "lr": harmful}], "state": harmful},
        },
    }[at]
    save(content, path)
    return path, marker, name


@pytest.mark.parametrize("attack", NAMES)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize("at", ["beside", "within", "optimizer"])
def test_nothing_runs_and_the_names_are_reported(
    attack: str, save: Callable[[Any, Path], None], at: str, tmp_path: Path
) -> None:
    path, marker, name = written(attack, tmp_path, save, at)
    inventory: Inventory = read(path, target="checkpoint.pt")
    assert not marker.exists()
    assert [(parameter.name, parameter.shape) for parameter in inventory.parameters] == [
        ("weight", (2, 3)),
        ("bias", (2,)),
    ]
    assert name in inventory.opaque


@pytest.mark.parametrize("attack", ["system", "eval", "exec", "check_output", "nested"])
def test_the_attacks_are_real(attack: str, tmp_path: Path) -> None:
    """The same files do leave the marker where their pickle is executed: the tests above can fail."""
    path, marker, _ = written(attack, tmp_path, save_zip, "beside")
    torch.load(path, weights_only=False)
    for _ in range(100):
        if marker.exists():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert marker.exists()


def test_opcodes_that_other_picklers_write_do_not_run_either(tmp_path: Path) -> None:
    """INST, OBJ, EXT and the text forms of protocol 0."""
    marker = tmp_path / "marker"
    command = f"touch {marker}".encode()
    for body, name in (
        (b"(S'" + command + b"'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'" + command + b"'\no.", "os.system"),
        (b"\x82\x05)R.", "copyreg.extension_5"),
        (b"cos\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85\x81.", "os.system"),
        (b"cposix\nsystem\n(S'" + command + b"'\ntR.", "posix.system"),
    ):
        path = tmp_path / "checkpoint.pt"
        torch.save({"weight": torch.zeros(1)}, path)
        path.write_bytes(with_pickle(body))
        with pytest.raises(Exception, match="holds no state dict"):
            read(path, target="x")
        assert not marker.exists(), name


def with_pickle(body: bytes) -> bytes:
    import zipfile
    from io import BytesIO

    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", body)
    return file.getvalue()


def test_a_flood_of_names_is_cut_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    names = b"".join(b"cm\nn%d\n0" % index for index in range(5000))
    state = b"}X\1\0\0\0wctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\nK\2\x85K\1\x85\x89tRs."
    path.write_bytes(with_pickle(names + state))
    inventory = read(path, target="x")
    assert (len(inventory.opaque), inventory.opaque[0]) == (1000, "m.n0")
    assert inventory.notes == ("its pickle names 5,000 classes and functions; the first 1,000 are listed",)


@pytest.mark.parametrize(
    ("name", "alarm"),
    [
        ("os.system", True),
        ("pathlib.os.system", True),
        ("torch.serialization.os.execv", True),
        ("builtins.eval", True),
        ("subprocess.Popen", True),
        ("torch.hub.load", True),
        ("model.Config", False),
        ("my_package.os_utils.Config", False),
        ("builtins.getattr", False),
        ("argparse.Namespace", False),
    ],
)
def test_names_that_run_code_are_told_from_others(name: str, alarm: bool) -> None:
    assert runs_code(name) is alarm


def test_junk_does_not_hide_the_name_that_runs_code(tmp_path: Path) -> None:
    junk = b"".join(b"cjunk%d\nName\n" % index for index in range(1200))
    content = b"\x80\x02}(X\x01\0\0\0x(" + junk + b"cos\nsystem\nlu."
    save_zip({"w": torch.zeros(2)}, tmp_path / "model.pt")
    path = tmp_path / "junk.pt"
    with zipfile.ZipFile(tmp_path / "model.pt") as source, zipfile.ZipFile(path, "w") as target:
        pickled = source.read("model/data.pkl")
        target.writestr("junk/data.pkl", content[:-2] + b"X\1\0\0\0m" + pickled[2:-1] + b"u.")
        for name in source.namelist():
            if not name.endswith("data.pkl"):
                target.writestr(name.replace("model/", "junk/"), source.read(name))
    inventory = read(path, target="junk.pt")
    assert inventory.opaque[0] == "os.system"
    assert inventory.dangerous == ("os.system",)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_no_prefix_makes_a_name_of_a_distributed_checkpoint_harmless(tmp_path: Path) -> None:
    """`pathlib.os.system` is an attribute of an attribute, which pickle looks up from protocol 4 on."""
    folder = tmp_path / "distributed"
    torch.distributed.checkpoint.state_dict_saver.save({"model": {"w": torch.zeros(2)}}, checkpoint_id=folder)
    metadata = folder / ".metadata"
    assert read(folder, target="").opaque == ()
    harmful = b"\x8c\x07pathlib\x8c\x09os.system\x93\x8c\x04true\x85R0"
    metadata.write_bytes(metadata.read_bytes()[:2] + harmful + metadata.read_bytes()[2:])
    assert read(folder, target="").dangerous == ("pathlib.os.system",)
