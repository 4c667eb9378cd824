"""Files and streams at the edges of the command line: what is never overwritten, and what cannot be read or written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from decay_audit import files
from decay_audit.api.pipeline import run
from decay_audit.api.request import Request
from decay_audit.cli import app
from decay_audit.reports import render, render_pieces

MODEL = """
import torch
import helper
from torch import nn


def net():
    return nn.Linear(4, 2)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
"""
RULES = "schema: 1\nname: house\nweight_decay: 0.1\ndefault: {decay: true}\n"
LINEAR = "torch.nn:Linear(2, 3)"

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "helper.py").write_text("SIZE = 4\n")
    (tmp_path / "house.yaml").write_text(RULES)
    (tmp_path / "own.yaml").write_text("schema: 1\nname: own\nextends: house.yaml\n")
    (tmp_path / "pyproject.toml").write_text('[tool.decay-audit]\nrules = "own.yaml"\n')
    torch.save({"a.weight": torch.zeros(2, 3)}, tmp_path / "model.pt")
    (tmp_path / "link.pt").symlink_to("model.pt")
    (tmp_path / "second.pt").hardlink_to(tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["inspect", "model.pt"], "model.pt"),
        (["inspect", "model.pt"], "link.pt"),
        (["inspect", "model.pt"], "second.pt"),
        (["inspect", ".", "-f", "csv"], "model.pt"),
        (["inspect", "net.py:net"], "net.py"),
        (["inspect", "net.py:net", "-f", "csv"], "helper.py"),
        (["inspect", "net.py:net"], "pyproject.toml"),
        (["inspect", "net.py:net", "-f", "csv"], "house.yaml"),
        (["inspect", LINEAR, "--rules", "own.yaml"], "own.yaml"),
        (["check", LINEAR, "--optimizer", "net.py:adamw"], "net.py"),
        (["check", "net.py:net", "--checkpoint", "model.pt"], "model.pt"),
        (["emit", "net.py:net"], "net.py"),
        (["lock", "model.pt"], "model.pt"),
        (["diff", LINEAR, "--rules", "own.yaml", "--rules", "timm"], "own.yaml"),
        (["explain", "net.py:net", "weight"], "net.py"),
        (["rules", "import", "helper.py", "--from", "sam2"], "helper.py"),
        (["migrate", "model.pt", "--to", "net.py:adamw", "--model", "net.py:net"], "second.pt"),
    ],
)
def test_no_verb_writes_to_a_file_that_it_reads(folder: Path, arguments: list[str], output: str) -> None:
    before = (folder / output).read_bytes()
    result = runner.invoke(app, [*arguments, "--output", output])
    assert (result.exit_code, "is an input of this command" in result.stderr) == (2, True), result.output
    assert (folder / output).read_bytes() == before


def test_an_output_of_an_earlier_run_is_written_again_though_the_model_imports_it(folder: Path) -> None:
    (folder / "net.py").write_text(MODEL.replace("import helper", "import groups"))
    (folder / "groups.py").write_text('"""Weight decay as param groups: written by decay-audit."""\n')
    for _ in range(2):
        assert runner.invoke(app, ["emit", "net.py:net", "-o", "groups.py"]).exit_code == 0
        assert runner.invoke(app, ["inspect", "model.pt", "-o", "report.txt"]).exit_code == 0
    assert "def param_groups" in (folder / "groups.py").read_text()


LONG = "a" * 300
DEEP = {
    "digits": f"x = {'9' * 5000}",
    "lists": f"x = {'[' * 5000}{']' * 5000}",
    "tables": f"x = {'{a = ' * 5000}1{'}' * 5000}",
    "parts": f"{'.'.join(['a'] * 30_000)} = 1",
    "quoted parts": "[" + ".".join(['"a"'] * 30_000) + "]",
    "rules": f"[tool.decay-audit]\nrules = {'[' * 500}{']' * 500}",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", f"{LONG}.pt"],
        ["inspect", "/".join(["a" * 200] * 30)],
        ["inspect", LINEAR, "--rules", LONG],
        ["inspect", LINEAR, "--optimizer", f"{LONG}.py:x"],
        ["check", LINEAR, "--checkpoint", f"{LONG}.pt"],
        ["inspect", "model.pt", "--output", LONG],
        ["migrate", f"{LONG}.pt", "--to", "x", "--model", "y", "-o", LONG],
        ["inspect", LINEAR, "--rules", "/dev/zero"],
        ["rules", "validate", "/dev/zero"],
        ["rules", "import", "/dev/zero", "--from", "mmengine"],
        ["inspect", "/dev/zero"],
        ["inspect", LINEAR, "--trace", "9" * 5000],
        ["inspect", "\udcff.pt"],
    ],
)
def test_what_the_file_system_refuses_is_a_message_and_exit_2(folder: Path, arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit), result.output
    assert "error: " in result.stderr


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_pyproject_that_no_person_wrote_is_a_message_and_exit_2(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"# decay-audit\n{text}")
    result = runner.invoke(app, ["inspect", "model.pt"])
    assert (result.exit_code, "error: pyproject.toml" in result.stderr) == (2, True), result.output


def test_a_pyproject_with_the_keys_of_a_person_is_read(folder: Path) -> None:
    dotted = "\n".join(f"a{n}.{'.'.join('bcdefgh')} = 0.1" for n in range(100))
    (folder / "pyproject.toml").write_text(f'[x]\n{dotted}\ny = [{"0.1, " * 5000}]\n[tool.decay-audit]\nrules = "timm"')
    assert "timm" in runner.invoke(app, ["inspect", "model.pt"]).stdout


@pytest.mark.parametrize("key", ["rate: 1e300", "rate: 2"])
def test_a_layer_decay_beyond_all_numbers_is_a_message(folder: Path, key: str) -> None:
    layers = "  layers:\n  - {when: {name: weight}, layer: 3}\n  - {when: {name: bias}, layer: 300000}\n"
    (folder / "house.yaml").write_text(f"{RULES}layer_decay:\n  {key}\n{layers}")
    result = runner.invoke(app, ["inspect", LINEAR, "--rules", "house.yaml"])
    assert (result.exit_code, "too large for a number" in result.stderr) == (2, True)


def test_only_the_projects_own_pyproject_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = folder / "repository" / "package"
    inside.mkdir(parents=True)
    torch.save({"a.weight": torch.zeros(2, 3)}, inside / "model.pt")
    monkeypatch.chdir(inside)
    (folder / "pyproject.toml").write_text('[tool.decay-audit]\nrules = "hf-trainer"\n')
    assert "hf-trainer" in runner.invoke(app, ["inspect", "model.pt"]).stdout
    (folder / "repository" / ".git").mkdir()
    assert "no-norm-no-bias" in runner.invoke(app, ["inspect", "model.pt"]).stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_pyproject_of_another_user_is_named_and_not_read(folder: Path) -> None:
    os.chown(folder / "pyproject.toml", 12345, -1)
    result = runner.invoke(app, ["inspect", "model.pt"])
    assert "no-norm-no-bias" in result.stdout
    assert "belongs to another user" in result.stderr
    os.chown(folder, 12345, -1)  # CI runs as root in a checkout that another user made
    assert "ruleset own" in runner.invoke(app, ["inspect", "model.pt"]).output


def _exit_code(redirection: str, arguments: str) -> int:
    command = f"{sys.executable} -m decay_audit {arguments} {redirection}"
    return subprocess.run(["sh", "-c", command], capture_output=True, timeout=120).returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_full_or_closed_standard_error_changes_no_exit_code(folder: Path, redirection: str) -> None:
    assert [
        _exit_code(redirection, arguments)
        for arguments in ("inspect model.pt", "inspect nothing.pt", "check net.py:net --optimizer net.py:adamw -r timm")
    ] == [0, 2, 1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&-"])
def test_a_report_that_cannot_be_printed_exits_2(folder: Path, redirection: str) -> None:
    assert [_exit_code(redirection, arguments) for arguments in ("inspect model.pt", "--help")] == [2, 2]


def test_a_current_folder_that_is_gone_is_a_message_and_exit_2(folder: Path) -> None:
    (folder / "gone").mkdir()
    command = f"cd gone && rmdir ../gone && {sys.executable} -m decay_audit inspect x.pt"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert (result.returncode, "the current folder does not exist" in result.stderr) == (2, True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the umask")
def test_the_umask_is_read_without_changing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed: another thread may make a file"))
    with files.atomic_write(tmp_path / "new") as path:
        path.write_text("")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666 & ~umask


def test_json_is_written_piece_by_piece(tmp_path: Path) -> None:
    names = {f"layers.{index}.weight": torch.zeros(2, 2) for index in range(2500)}
    save_file(names, tmp_path / "many.safetensors")
    report = run(Request(target=str(tmp_path / "many.safetensors")))
    pieces = list(render_pieces(report, "json"))
    assert max(map(len, pieces)) < len(render(report, "json")) / 2
    output = tmp_path / "report.json"
    assert runner.invoke(app, ["inspect", str(tmp_path / "many.safetensors"), "-o", str(output)]).exit_code == 0
    assert len(json.loads(output.read_text())["parameters"]) == len(names)
