"""Parsing of target strings, before anything is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from decay_audit.errors import TargetError
from decay_audit.sources.target import CheckpointTarget, FileTarget, ModuleTarget, parse


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expression", "label"),
    [
        ("nets/model.py", "", "model.py"),
        ("nets/model.py:Net", "Net", "model.py:Net"),
        ("nets/model.py:Net(path='x.py:y', n={1: 2})", "Net(path='x.py:y', n={1: 2})", None),
        ("nets/model.py: Net ", "Net", "model.py:Net"),
        ("./nets/model.py:lambda: 1", "lambda: 1", None),
    ],
)
def test_what_follows_the_py_is_an_expression_in_that_file(
    folder: Path, text: str, expression: str, label: str | None
) -> None:
    (folder / "nets").mkdir()
    (folder / "nets/model.py").touch()
    target = parse(text)
    assert isinstance(target, FileTarget)
    assert target.path == Path("nets/model.py")
    assert target.expression == expression
    assert target.label == (label or f"model.py:{expression}")


@pytest.mark.parametrize(
    ("text", "location", "expression"),
    [
        ("timm:create_model('vit/tiny')", "timm", "create_model('vit/tiny')"),
        ("torchvision.models.resnet18", "torchvision.models.resnet18", ""),
        ("a:b", "a", "b"),
        ("pkg.mod:x.safetensors", "pkg.mod", "x.safetensors"),
    ],
)
def test_a_dotted_name_is_a_module(folder: Path, text: str, location: str, expression: str) -> None:
    assert parse(text) == ModuleTarget(location=location, expression=expression, label=text)


@pytest.mark.parametrize(
    ("file", "text", "expression"),
    [
        ("code/net.py", "code.net:Net", "Net"),
        ("token/net.py", "token.net.Net", "Net"),
        ("code/net.py", "code.net", ""),
        ("token.py", "token:Net(2)", "Net(2)"),
        ("code/__init__.py", "code:net", "net"),
    ],
)
def test_a_local_file_wins_over_a_module_of_the_standard_library(
    folder: Path, file: str, text: str, expression: str
) -> None:
    library = parse(text)
    assert isinstance(library, ModuleTarget)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).touch()
    assert parse(text) == FileTarget(path=Path(file), location=file, expression=expression, label=text)


@pytest.mark.parametrize(
    "name",
    ["x.safetensors", "x.pt", "x.pth", "x.ckpt", "x.bin", "x.pth.tar", "model.safetensors.index.json"],
)
def test_a_checkpoint_is_recognized_by_the_end_of_its_name(folder: Path, name: str) -> None:
    (folder / name).touch()
    assert parse(name) == CheckpointTarget(path=Path(name), label=name)


def test_a_file_on_disk_wins_over_a_module_of_that_name(folder: Path) -> None:
    (folder / "torch.nn").mkdir()
    assert isinstance(parse("torch.nn"), CheckpointTarget)


def test_a_folder_is_a_checkpoint_unless_it_is_a_package(folder: Path) -> None:
    (folder / "weights").mkdir()
    assert parse("weights") == CheckpointTarget(path=Path("weights"), label="weights")
    (folder / "weights/__init__.py").touch()
    assert parse("weights/") == ModuleTarget(location="weights", label="weights")
    (folder / "weights/model.safetensors").touch()
    assert isinstance(parse("weights"), CheckpointTarget)


@pytest.mark.parametrize("text", [r"C:\nets\model.py:Net", r"C:\nets\model.py", r"C:\weights", "C:/weights/x.bin"])
def test_the_colon_of_a_windows_drive_is_part_of_a_path(folder: Path, text: str) -> None:
    with pytest.raises(TargetError, match="no such file") as caught:
        parse(text)
    assert text.removesuffix(":Net") in caught.value.message


def test_a_path_that_exists_may_hold_a_colon(folder: Path) -> None:
    (folder / "C:").mkdir()
    (folder / "C:/model.py").touch()
    target = parse("C:/model.py:Net")
    assert isinstance(target, FileTarget)
    assert (target.location, target.expression) == ("C:/model.py", "Net")


def test_a_long_expression_is_not_taken_for_a_file_name() -> None:
    expression = f"Net({', '.join(map(str, range(3000)))})"
    assert parse(f"pkg:{expression}") == ModuleTarget(location="pkg", expression=expression, label=f"pkg:{expression}")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("modle.py", "no such file: modle.py", "did you mean model.py?"),
        ("modle.py:Net", "no such file: modle.py", "did you mean model.py?"),
        ("nowhere/model.py", "no such file: nowhere/model.py", "the folder nowhere does not exist"),
        ("wieghts.pt", "no such file: wieghts.pt", "did you mean weights.pt?"),
        ("weights.pt:Net", "weights.pt is not a Python file: nothing can follow its name", "did you mean weights.pt?"),
        ("lost.pt", "lost.pt is a link to blobs/1, which does not exist", "download it again"),
        ("model.py:", "`model.py:` has nothing after the colon", None),
        ("", "the target is empty", None),
        ("my-model:Net", "`my-model:Net` is not a target", None),
        ("a\0b", "`a\0b` is not a target", None),
    ],
)
def test_a_wrong_target_gets_a_hint(folder: Path, text: str, message: str, hint: str | None) -> None:
    for name in ("model.py", "weights.pt"):
        (folder / name).touch()
    (folder / "lost.pt").symlink_to("blobs/1")
    with pytest.raises(TargetError) as caught:
        parse(text)
    assert caught.value.message == message
    assert caught.value.hint == hint if hint is not None else caught.value.hint


def test_a_path_with_backslashes_gets_the_path_with_slashes(folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "net.py").write_text("")
    with pytest.raises(TargetError) as caught:
        parse("models\\net.py")
    assert caught.value.hint == f"did you mean {Path('models/net.py')}?"


@pytest.mark.parametrize("name", ["blob", "MODEL.PT", "model.onnx", "notes.txt", "weights.pkl", "model.tar"])
def test_a_file_of_any_other_name_is_a_checkpoint_too(folder: Path, name: str) -> None:
    (folder / name).touch()
    assert parse(name) == CheckpointTarget(path=Path(name), label=name)


def test_reading_a_target_string_imports_no_torch() -> None:
    code = "import sys; from decay_audit.sources.target import parse; parse('timm:x'); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
