"""`decay-audit lock` and `check --lock`: what is written and compared, and what stays when writing fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm1 = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def by_name(model):
    spared = [p for name, p in model.named_parameters() if "norm" in name or name.endswith("bias")]
    decayed = [p for name, p in model.named_parameters() if not ("norm" in name or name.endswith("bias"))]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)
"""
RULES = """
schema: 1
name: ours
weight_decay: 0.05
default: {decay: true}
rules:
- {name: norms, when: {name: "*norm*"}, decay: false}
- {name: biases, when: {leaf: bias}, decay: false}
"""
OURS = ["--rules", "ours.yaml"]
WITH_OPTIMIZER = [*OURS, "--optimizer", "net.py:by_name"]
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "ours.yaml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rename_the_norm(folder: Path) -> None:
    (folder / "net.py").write_text(NET.replace("self.norm1", "self.ln1"))


def test_a_renamed_norm_that_decays_now_fails_the_check_with_the_lock_and_passes_without(folder: Path) -> None:
    assert runner.invoke(app, ["lock", "net.py:Net", *WITH_OPTIMIZER]).exit_code == 0
    check = ["check", "net.py:Net", *WITH_OPTIMIZER, "--lock", "decay.lock"]
    assert runner.invoke(app, check).exit_code == 0
    rename_the_norm(folder)
    assert runner.invoke(app, check[:-2]).exit_code == 0
    result = runner.invoke(app, check)
    assert result.exit_code == 1
    assert (
        "DA701 error   1 norm weight: weight_decay 0.05 by the default, weight_decay 0.05 in AdamW; the lock says "
        "spared by rule norms, spared in AdamW (renamed: norm1.weight is now ln1.weight)\n"
    ) in result.stdout
    assert result.stderr.endswith("1 error, 1 warning, 1 note in 6 parameters\n")


def test_check_of_lock_writes_nothing_and_update_shows_what_changes_before_it_writes(folder: Path) -> None:
    lock = ["lock", "net.py:Net", *OURS]
    assert runner.invoke(app, lock).exit_code == 0
    first = (folder / "decay.lock").read_bytes()
    assert runner.invoke(app, [*lock, "--check"]).exit_code == 0
    rename_the_norm(folder)
    stale = runner.invoke(app, [*lock, "--check"])
    assert (stale.exit_code, (folder / "decay.lock").read_bytes()) == (1, first)
    updated = runner.invoke(app, [*lock, "--update"])
    assert (updated.exit_code, updated.stdout) == (0, stale.stdout)
    assert "DA701" in updated.stdout
    assert (folder / "decay.lock").read_bytes() != first
    assert runner.invoke(app, [*lock, "--check"]).exit_code == 0


def test_lock_shows_its_changes_without_a_command_that_is_its_own(folder: Path) -> None:
    lock = ["lock", "net.py:Net", *OURS]
    runner.invoke(app, lock)
    rename_the_norm(folder)
    assert "fix:" in runner.invoke(app, ["check", "net.py:Net", *OURS, "--lock", "decay.lock"]).stdout
    for option in ("--check", "--update"):
        assert "fix:" not in runner.invoke(app, [*lock, option]).stdout


@pytest.mark.parametrize("option", [[], ["--update"], ["--check"]])
@pytest.mark.parametrize("conflict", ["", "<<<<<<< HEAD\n=======\n>>>>>>> branch\n"])
def test_a_lock_with_an_optimizer_is_not_lost_to_one_without(folder: Path, option: list[str], conflict: str) -> None:
    runner.invoke(app, ["lock", "net.py:Net", *WITH_OPTIMIZER])
    file = folder / "decay.lock"
    file.write_text(file.read_text() + conflict)
    text = file.read_text()
    refused = runner.invoke(app, ["lock", "net.py:Net", *OURS, *option])
    assert (refused.exit_code, file.read_text()) == (2, text)
    assert "decay.lock also holds what AdamW does, and --optimizer is not given" in refused.stderr
    assert "delete decay.lock first" in refused.stderr
    file.unlink()
    assert runner.invoke(app, ["lock", "net.py:Net", *OURS]).exit_code == 0


def test_a_file_that_is_no_lock_is_not_overwritten_by_one(folder: Path) -> None:
    (folder / "poetry.lock").write_text("# a list of packages\n")
    refused = runner.invoke(app, ["lock", "net.py:Net", "-o", "poetry.lock"])
    assert (refused.exit_code, (folder / "poetry.lock").read_text()) == (2, "# a list of packages\n")
    assert "poetry.lock is a file, but not a lock" in refused.stderr
    (folder / "empty.lock").write_text("")
    assert runner.invoke(app, ["lock", "net.py:Net", "-o", "empty.lock"]).exit_code == 0


def test_a_lock_without_an_optimizer_holds_decisions_whatever_coefficient_an_optimizer_has(folder: Path) -> None:
    runner.invoke(app, ["lock", "net.py:Net"])  # with the coefficient of the preset, 1e-4
    assert "observed" not in (folder / "decay.lock").read_text()
    result = runner.invoke(app, ["check", "net.py:Net", "--optimizer", "net.py:by_name", "--lock", "decay.lock"])
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_lock_with_an_optimizer_is_compared_by_decisions_where_the_check_has_none(folder: Path) -> None:
    runner.invoke(app, ["lock", "net.py:Net", "--optimizer", "net.py:by_name"])
    result = runner.invoke(app, ["check", "net.py:Net", "--lock", "decay.lock"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "note: decay.lock also holds what AdamW does, which was not compared" in result.stderr


def test_a_changed_ruleset_is_said_even_where_no_decision_changes(folder: Path) -> None:
    runner.invoke(app, ["lock", "net.py:Net", *OURS])
    (folder / "ours.yaml").write_text(RULES + "- {name: more, when: {leaf: alpha}, decay: false}\n")
    result = runner.invoke(app, ["check", "net.py:Net", *OURS, "--lock", "decay.lock"])
    assert result.exit_code == 0
    assert "the ruleset ours is not the same as when decay.lock was written" in result.stderr


def test_audits_name_their_locks_in_pyproject_and_are_found_from_a_folder_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(
        '[[tool.decay-audit.audits]]\ntarget = "net.py:Net"\nrules = "ours.yaml"\nlock = "decay.lock"\n'
        '[[tool.decay-audit.audits]]\ntarget = "net.py:Net"\nname = "without a lock"\n'
    )
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    missing = runner.invoke(app, ["check"])
    assert (missing.exit_code, "no such lock" in missing.stderr) == (2, True)
    assert runner.invoke(app, ["lock"]).exit_code == 0
    assert (folder / "decay.lock").exists()
    assert runner.invoke(app, ["check"]).exit_code == 0
    rename_the_norm(folder)
    assert runner.invoke(app, ["check"]).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lock"], "nothing to lock"),
        (["lock", "net.py:Net", "--check"], "no such lock: decay.lock"),
        (["lock", "net.py:Net", "--check", "--update"], "--check writes nothing"),
        (["check", "net.py:Net", "--lock", "none.lock"], "decay-audit lock TARGET -o none.lock writes it"),
        (["check", "net.py:Net", "--lock", "net.py"], "net.py is not a lock"),
    ],
)
def test_a_lock_that_is_not_there_is_an_error_with_a_way_out(folder: Path, arguments: list[str], message: str) -> None:
    result = runner.invoke(app, arguments)
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_a_merge_conflict_is_an_error_and_lock_writes_the_file_anew(folder: Path) -> None:
    runner.invoke(app, ["lock", "net.py:Net"])
    text = (folder / "decay.lock").read_text()
    (folder / "decay.lock").write_text(f"{text}<<<<<<< HEAD\n=======\n>>>>>>> branch\n")
    result = runner.invoke(app, ["check", "net.py:Net", "--lock", "decay.lock"])
    assert result.exit_code == 2
    assert "a merge conflict is not resolved" in result.stderr
    runner.invoke(app, ["lock", "net.py:Net"])
    assert (folder / "decay.lock").read_text() == text


def test_a_full_disk_leaves_the_old_lock_whole(folder: Path) -> None:
    runner.invoke(app, ["lock", "net.py:Net"])
    old = (folder / "decay.lock").read_bytes()
    rename_the_norm(folder)
    full = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); sys.dont_write_bytecode = True; "
        "sys.argv = ['decay-audit', 'lock', 'net.py:Net']; from decay_audit.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert "cannot write decay.lock" in result.stderr
    assert (folder / "decay.lock").read_bytes() == old
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == [
        "decay.lock",
        "net.py",
        "ours.yaml",
    ]


def test_writers_at_the_same_time_leave_one_whole_lock(folder: Path) -> None:
    command = [sys.executable, "-m", "decay_audit", "lock", "net.py:Net", "--quiet"]
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}) for _ in range(3)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert runner.invoke(app, ["lock", "net.py:Net", "--check"]).exit_code == 0


def test_a_compiled_model_has_the_same_lock(folder: Path) -> None:
    runner.invoke(app, ["lock", "net.py:Net", *WITH_OPTIMIZER])
    (folder / "wrapped.py").write_text("from net import *\n\ndef net():\n    return torch.compile(Net())\n")
    result = runner.invoke(app, ["check", "wrapped.py:net", *WITH_OPTIMIZER, "--lock", "decay.lock"])
    assert (result.exit_code, result.stdout) == (0, "")
