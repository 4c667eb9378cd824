"""One small script for each shape of training code: what `decay-audit run` says of it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.run import scripts

DECAYED = "2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(scripts.NET)
    return tmp_path


def run(folder: Path, text: str, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `decay-audit run train.py WORDS`; `before` are options, or the words of a launcher."""
    (folder / "train.py").write_text(text)
    return process(folder, *before, "train.py", *words)


def process(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "decay_audit", "run", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env=clean_environment() | environment,
    )


def clean_environment() -> dict[str, str]:
    """The environment without a virtual environment that is active around the tests: scripts use this Python."""
    return {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "CONDA_PREFIX")}


def documents(made: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    document = json.loads(made.stdout)
    return document if isinstance(document, list) else [document]


def codes(document: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in document["findings"]]


@pytest.mark.parametrize(
    "text", [scripts.FLAT, scripts.CONFIG, scripts.REPLACES_PRINT], ids=["flat", "config", "print"]
)
def test_a_script_is_stopped_before_its_first_step_and_judged(folder: Path, text: str) -> None:
    made = run(folder, text)
    assert made.returncode == 1, made.stderr
    assert made.stdout.startswith(f"DA101 error   {DECAYED}")
    assert "train.py:model: 1 error in 4 parameters" in made.stderr
    assert not (folder / "trained").exists()


def test_groups_that_follow_the_ruleset_are_quiet(folder: Path) -> None:
    made = run(folder, scripts.MAIN)
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert "train.py:network: no findings in 4 parameters" in made.stderr


def test_the_script_gets_its_own_arguments(folder: Path) -> None:
    made = run(folder, scripts.ARGPARSE, "--wd", "0.125", before=("--format", "json"))
    (document,) = documents(made)
    assert document["optimizers"][0]["groups"][0]["weight_decay"] == 0.125


def test_an_argument_that_is_missing_is_quoted(folder: Path) -> None:
    made = run(folder, scripts.ARGPARSE)
    assert made.returncode == 2
    assert "the following arguments are required: --wd" in made.stderr.rpartition("error: train.py ended")[2]


def test_models_with_an_optimizer_each_are_judged_apart_under_their_variables(folder: Path) -> None:
    generator, critic = documents(run(folder, scripts.GAN, before=("--format", "json")))
    assert [(each["target"], each["optimizers"][0]["class"]) for each in (generator, critic)] == [
        ("train.py:generator", "Adam"),
        ("train.py:critic", "SGD"),
    ]
    assert "DA201" not in codes(generator) + codes(critic)


def test_a_frozen_copy_beside_the_model_is_left_out(folder: Path) -> None:
    made = run(folder, scripts.EMA, before=("--format", "json"))
    (document,) = documents(made)
    assert (document["target"], document["totals"]["parameters"]) == ("train.py:model", 4)


def test_a_loss_with_weights_is_judged_with_the_model(folder: Path) -> None:
    (document,) = documents(run(folder, scripts.LOSS_WITH_WEIGHTS, before=("--format", "json")))
    assert document["target"] == "train.py:model + criterion"
    assert [each["name"] for each in document["parameters"]][-1] == "criterion.centers"
    assert "DA203" not in codes(document)


def test_a_script_that_fails_before_its_optimizer_has_its_error_quoted(folder: Path) -> None:
    made = run(folder, scripts.FAILS_BEFORE)
    assert (made.returncode, made.stdout) == (2, "")
    assert "before it made an optimizer: FileNotFoundError: no data in ./data (train.py:3)" in made.stderr


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        (scripts.FAILS_AFTER, "the script ended before it trained: FileNotFoundError: no data in ./data (train.py:5)"),
        (scripts.FAILS_IN_A_FUNCTION, "the script ended without a step"),
        (scripts.LEAVES_AT_ONCE, "the script ended before it trained: os._exit: 0"),
    ],
    ids=["raises", "returns", "os._exit"],
)
def test_what_was_made_before_a_script_ends_is_judged(folder: Path, text: str, ending: str) -> None:
    made = run(folder, text)
    assert made.stdout.startswith(f"DA101 error   {DECAYED}"), made.stderr
    assert ending in made.stderr
    assert made.returncode == 1


def test_a_script_that_swallows_every_exception_is_ended(folder: Path) -> None:
    made = run(folder, scripts.SWALLOWS)
    assert made.stdout.startswith(f"DA101 error   {DECAYED}")
    assert not (folder / "trained").exists()


def test_steps_by_hand_are_said(folder: Path) -> None:
    made = run(folder, scripts.BY_HAND)
    assert made.returncode == 2
    assert "makes no optimizer: it calls backward()" in made.stderr


def test_a_script_that_never_trains_is_interrupted_and_judged(folder: Path) -> None:
    made = run(folder, scripts.NEVER_TRAINS, before=("--timeout", "40"))
    assert made.stdout.startswith(f"DA101 error   {DECAYED}"), made.stderr
    assert "did not begin to train in time" in made.stderr


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_data_loader_workers_are_left_alone(folder: Path, context: str) -> None:
    made = run(folder, scripts.DATA_LOADER_WORKERS.replace("CONTEXT", context))
    assert made.stdout.startswith(f"DA101 error   {DECAYED}"), made.stderr
    assert "Error" not in made.stderr


@pytest.mark.parametrize("launcher", ["spawn", "torchrun"])
def test_ranks_that_make_the_same_are_reported_once(folder: Path, launcher: str) -> None:
    if launcher == "spawn":
        made = run(folder, scripts.SPAWN, before=("--format", "json"))
    else:
        (folder / "train.py").write_text(scripts.RANKS)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29653"]
        made = process(folder, "--format", "json", "--", *torchrun, "train.py")
    (document,) = documents(made)
    assert document["totals"]["parameters"] == 4
    assert document["parameters"][0]["name"] == "fc.weight"


def test_an_interrupt_ends_the_script_too(folder: Path) -> None:
    (folder / "train.py").write_text(
        scripts.NEVER_TRAINS.replace("import time", "import os, time; open('pid', 'w').write(str(os.getpid()))")
    )
    tool = subprocess.Popen(
        [sys.executable, "-m", "decay_audit", "run", "train.py"],
        cwd=folder,
        env=clean_environment(),
        stderr=subprocess.DEVNULL,
    )
    while not (folder / "pid").exists():
        time.sleep(0.05)
    time.sleep(1)
    tool.send_signal(signal.SIGINT)
    assert tool.wait(60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


def test_a_coefficient_that_is_written_after_construction_is_said_and_a_warm_up_is_no_rounding(folder: Path) -> None:
    (document,) = documents(run(folder, scripts.CHANGES, before=("--format", "json")))
    messages = {finding["code"]: finding["message"] for finding in document["findings"]}
    assert messages["DA803"].endswith("changed after the optimizer was made: weight_decay 0.01 became 0.04")
    assert "DA504" not in messages
    assert document["optimizers"][0]["groups"][0]["weight_decay"] == 0.04


def test_parameters_without_a_gradient_and_with_one_of_zero_are_told_apart(folder: Path) -> None:
    (document,) = documents(run(folder, scripts.UNUSED_PARAMETERS, before=("--format", "json")))
    found = {tuple(each["parameters"]): each["found"] for each in document["findings"] if each["code"] == "DA806"}
    assert found == {
        ("unused.weight", "unused.bias"): "no gradient",
        ("branch.weight", "branch.bias"): "a gradient of exactly zero",
    }


def test_watching_trains_on_and_says_each_change(folder: Path) -> None:
    made = run(folder, scripts.CHANGES_LATER, before=("--watch",))
    assert "step 2: group 0 of AdamW: weight_decay 0.01 became 0.2" in made.stderr
    assert "step 4: group 0 of AdamW: lr x weight_decay 0.02 became 2e-06" in made.stderr
    assert (
        "DA803 warning group 0 of AdamW changed after the optimizer was made: weight_decay 0.01 became 0.2"
        in made.stdout
    )
    assert "the script ended after 6 steps" in made.stderr


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        (scripts.MAIN, "the script ended after 1,000 steps"),
        (scripts.MAIN + "    raise OSError('no space')", "the script ended after 1,000 steps: OSError: no space"),
    ],
    ids=["ends", "raises"],
)
def test_steps_are_counted_when_the_optimizer_is_gone_at_the_end(folder: Path, text: str, ending: str) -> None:
    made = run(folder, text, before=("--until", "end"))
    assert f"note: {ending}" in made.stderr
    assert "no findings" in made.stderr


def test_a_script_can_watch_itself(folder: Path) -> None:
    armed = "import decay_audit, logging; logging.basicConfig(level=logging.INFO); decay_audit.watch()"
    (folder / "train.py").write_text(armed + scripts.CHANGES_LATER)
    made = subprocess.run([sys.executable, "train.py"], cwd=folder, capture_output=True, text=True, check=True)
    assert "WARNING:decay_audit:decay-audit train.py:model: 1 error in 4 parameters" in made.stderr
    assert "step 2: group 0 of AdamW: weight_decay 0.01 became 0.2" in made.stderr


def test_what_a_script_writes_is_listed_and_dropped_with_scratch(folder: Path) -> None:
    assert "the script wrote" not in run(folder, scripts.WRITES, before=("--scratch",)).stderr
    assert not (folder / "runs").exists()
    assert "the script wrote 1 file: runs/" in run(folder, scripts.WRITES).stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_a_script_may_ask_its_terminal(folder: Path) -> None:
    (folder / "train.py").write_text(scripts.ASKS_THE_TERMINAL)
    _, terminal = os.openpty()
    command = [sys.executable, "-m", "decay_audit", "run", "train.py"]
    made = subprocess.run(
        command, cwd=folder, stdin=terminal, capture_output=True, text=True, env=clean_environment(), timeout=200
    )
    assert made.stdout.startswith(f"DA101 error   {DECAYED}"), made.stderr


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
def test_what_cannot_be_run_is_one_clear_message(folder: Path, words: list[str], message: str) -> None:
    (folder / "net.txt").write_text("not Python")
    made = process(folder, *words)
    assert (made.returncode, made.stdout) == (2, "")
    assert message in made.stderr
    assert "Traceback" not in made.stderr


def test_the_users_own_sitecustomize_runs_too_and_may_fail(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "sitecustomize.py").write_text("open('ran', 'w').close(); raise RuntimeError('broken')")
    (folder / "train.py").write_text(scripts.FLAT)
    made = process(
        folder, "train.py", PYTHONPATH=os.pathsep.join([str(folder / "own"), os.environ.get("PYTHONPATH", "")])
    )
    assert made.stdout.startswith(f"DA101 error   {DECAYED}"), made.stderr
    assert (folder / "ran").exists()


def test_fixes_name_no_option_that_run_does_not_have(folder: Path) -> None:
    (folder / "model.py").write_text("import torch\nmodel = torch.nn.Linear(3, 3)\n")
    command = [sys.executable, "-m", "decay_audit", "lock", "model.py", "-o", "a.lock"]
    subprocess.run(command, cwd=folder, env=clean_environment(), check=True, capture_output=True)
    script = (
        "import torch\n"
        "model = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(3, 3))])\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)\n"
        "model[0].sum().backward()\n"
        "optimizer.step()\n"
    )
    made = run(folder, script, before=("--lock", "a.lock"))
    fixes = [line.strip() for line in made.stdout.splitlines() if line.strip().startswith("fix: ")]
    assert "fix: add a rule by name to a ruleset of yours, and name it: --rules FILE" in fixes, made.stderr
    assert "fix: decay-audit lock TARGET --update, with the target that the lock names" in fixes
    assert not any("--trace" in fix or "''" in fix for fix in fixes)
