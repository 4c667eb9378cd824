"""Scripts that fail, never end, or cannot be run: one clear message, and no process and no file is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from decay_audit import roles, rulesets
from decay_audit.checks.training import check_training
from decay_audit.cli import app
from decay_audit.model.training_facts import TrainingFacts
from decay_audit.rulesets.plan import decide
from decay_audit.sources import module
from tests.run import scripts
from tests.run.processes import clean_environment, process, run

DECAYED = "2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them"
WAITS = """
import os, signal, subprocess, sys, time
sleep = "import os, time; open('pid-%d' % os.getpid(), 'w').close(); time.sleep(1000)"
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-I", "-c", sleep], start_new_session=True)
    exec(sleep)
"""
"""A script that ignores interrupts, and starts a process in a session of its own that does not import the recorder."""


def test_an_argument_that_is_missing_is_quoted(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.ARGPARSE)
    assert result.returncode == 2
    message = "train.py ended before it made an optimizer: the following arguments are required: --wd"
    assert f"error: {message}\n" in result.stderr


def test_a_script_that_fails_before_its_optimizer_has_its_error_quoted(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.FAILS_BEFORE)
    assert (result.returncode, result.stdout) == (2, "")
    assert "before it made an optimizer: FileNotFoundError: no data in ./data (train.py:2)" in result.stderr


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        (scripts.FAILS_AFTER, "the script ended before it trained: FileNotFoundError: no data in ./data (train.py:5)"),
        (scripts.FAILS_IN_A_FUNCTION, "the script ended without a step"),
        (scripts.LEAVES_AT_ONCE, "the script ended before it trained: exit code 0"),
    ],
    ids=["raises", "returns", "os._exit"],
)
def test_what_was_made_before_a_script_ends_is_judged(tmp_path: Path, text: str, ending: str) -> None:
    result = run(tmp_path, text)
    assert result.stdout.startswith(f"DA101 error   {DECAYED}"), result.stderr
    assert ending in result.stderr
    assert result.returncode == 1


def test_a_script_that_swallows_every_exception_is_ended(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.SWALLOWS)
    assert result.stdout.startswith(f"DA101 error   {DECAYED}")
    assert not (tmp_path / "trained").exists()


def process_ids(folder: Path, count: int) -> list[int]:
    """Wait for the files of processes of WAITS, and return the ids of the processes."""
    while len(files := list(folder.glob("pid-*"))) < count:
        time.sleep(0.05)
    return [int(file.name.removeprefix("pid-")) for file in files]


def is_gone(pid: int) -> bool:
    """Whether a process has ended. One that nobody has waited for has a line of /proc, but no memory."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def test_a_script_that_never_ends_is_ended_at_the_timeout_with_all_its_processes(tmp_path: Path) -> None:
    result = run(tmp_path, WAITS, options=("--timeout", "3"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: train.py made no optimizer in 3 s" in result.stderr
    assert all(map(is_gone, process_ids(tmp_path, 1)))


@pytest.mark.usefixtures("default_interrupts")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_tool_ends_all_processes_of_the_script(tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "train.py").write_text(WAITS)
    (tmp_path / "temporary").mkdir()
    tool = subprocess.Popen(
        [sys.executable, "-m", "decay_audit", "run", "train.py"],
        cwd=tmp_path,
        env=clean_environment() | {"TMPDIR": str(tmp_path / "temporary")},
        stderr=subprocess.DEVNULL,
    )
    pids = process_ids(tmp_path, 2)
    tool.send_signal(number)
    assert tool.wait(60) == code
    assert all(map(is_gone, pids))
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.py"], "no such script: nowhere.py"),
        (["no-such-command"], "cannot run no-such-command"),
        (["folder"], "folder is a folder"),
        (["--until", "soon", "train.py"], "--until soon"),
        (["--pretend", "time", "train.py"], "--pretend time"),
        (["--timeout", "0", "net.txt"], "--timeout 0"),
        (["--timeout", "nan", "net.txt"], "--timeout nan"),
        (["net.txt"], "net.txt is neither a Python script (.py) nor a command"),
        ([sys.executable, "-c", "pass"], "did not import torch (exit code 0)"),
        (["prose.py"], "before it made an optimizer: SyntaxError: invalid syntax (prose.py, line 1)"),
        (["bytes.py"], "before it made an optimizer: SyntaxError: source code cannot contain null bytes"),
        (["-m", "no.module"], "no.module ended before it made an optimizer: Error while finding module specification"),
        (["cannot_write.py"], "hint: if its folder cannot be written, `--scratch` runs it in a copy"),
        (["no_torch.py"], "hint: it ran with "),
        (["no_gpu.py"], "hint: `--pretend gpu` pretends a GPU; the script's output is above"),
    ],
)
def test_what_cannot_be_run_is_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, content in {
        "net.txt": b"not Python",
        "prose.py": b"This is no Python.",
        "bytes.py": bytes(range(256)),
        "cannot_write.py": b"raise OSError(30, 'Read-only file system')",
        "no_gpu.py": b"raise AssertionError('Torch not compiled with CUDA enabled')",
        "no_torch.py": b"raise ModuleNotFoundError('torch')",
    }.items():
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(app, ["run", *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif("DECAY_AUDIT_OLD_PYTHON" not in os.environ, reason="names a Python 3.8 with torch 1.8")
def test_the_recorder_works_in_an_old_python_with_an_old_torch(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(scripts.NET)
    (tmp_path / "train.py").write_text(scripts.SEVERAL_MODELS)
    result = process(tmp_path, "run", "--", os.environ["DECAY_AUDIT_OLD_PYTHON"], "train.py")
    assert "note: stopped before its first step; the script made AdamW" in result.stderr
    assert "note: the script wrote 1 file: checkpoint.pt\n" in result.stderr
    assert DECAYED in result.stdout


def test_the_users_own_sitecustomize_runs_too_and_may_fail(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("open('ran', 'w').close(); raise RuntimeError('broken')")
    (tmp_path / "train.py").write_text(scripts.FAILS_BEFORE)
    path = os.pathsep.join([str(tmp_path / "own"), os.environ.get("PYTHONPATH", "")])
    result = process(tmp_path, "run", "train.py", PYTHONPATH=path)
    assert "FileNotFoundError: no data in ./data" in result.stderr
    assert (tmp_path / "ran").exists()


def test_parameters_with_a_zero_gradient_are_told_apart_by_whether_they_decay() -> None:
    classified = roles.classify(module.read(torch.nn.Linear(2, 2)).parameters)
    plan = decide(classified, rulesets.load("no-norm-no-bias"))
    facts = TrainingFacts(zero_gradient=("weight", "bias"), decayed=frozenset({"weight"}))
    messages = [finding.message for finding in check_training(facts, plan)]
    assert [message.rpartition(": ")[2] for message in messages] == ["only decay moves it", "a step does not move it"]
