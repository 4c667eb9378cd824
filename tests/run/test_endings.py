"""Scripts that fail, never end, or cannot be run: one clear message, and no process and no file is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from decay_audit import roles, rulesets
from decay_audit.checks.training import check_training
from decay_audit.model.training_facts import TrainingFacts
from decay_audit.rulesets.plan import decide
from decay_audit.sources import module
from tests.run import scripts
from tests.run.processes import clean_environment, process, run

DECAYED = "2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them"
WAITS = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"


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


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_script_that_never_ends_is_ended_at_the_timeout(tmp_path: Path) -> None:
    result = run(tmp_path, WAITS, options=("--timeout", "2"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: train.py made no optimizer in 2 s" in result.stderr
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.usefixtures("default_interrupts")
def test_an_interrupt_ends_the_script_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WAITS)
    tool = subprocess.Popen(
        [sys.executable, "-m", "decay_audit", "run", "train.py"],
        cwd=tmp_path,
        env=clean_environment(),
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    tool.send_signal(signal.SIGINT)
    assert tool.wait(60) == 130
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.py"], "no such script: nowhere.py"),
        (["no-such-command"], "cannot run no-such-command"),
        (["--until", "soon", "train.py"], "--until soon"),
        (["--pretend", "time", "train.py"], "--pretend time"),
        (["net.txt"], "cannot run net.txt"),
        ([sys.executable, "-c", "pass"], "did not import torch (exit code 0)"),
    ],
)
def test_what_cannot_be_run_is_one_clear_message(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "net.txt").write_text("not Python")
    before = sorted(tmp_path.iterdir())
    result = process(tmp_path, "run", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.iterdir()) == before


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
