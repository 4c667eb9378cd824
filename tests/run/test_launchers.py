"""Launchers and frameworks: the processes of torchrun, mp.spawn, accelerate, Lightning and transformers' Trainer."""

import sys
from pathlib import Path

import pytest

from tests.run import scripts
from tests.run.processes import documents, process, run

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1")


@pytest.mark.parametrize("launcher", ["spawn", "torchrun"])
def test_ranks_that_make_the_same_are_reported_once(tmp_path: Path, launcher: str) -> None:
    if launcher == "spawn":
        result = run(tmp_path, scripts.SPAWN, options=("--format", "json"))
    else:
        (tmp_path / "net.py").write_text(scripts.NET)
        (tmp_path / "train.py").write_text(scripts.RANKS)
        result = process(tmp_path, "run", "--format", "json", "--", *TORCHRUN, "train.py")
    (document,) = documents(result)
    assert document["totals"]["parameters"] == 4
    assert document["parameters"][0]["name"] == "fc.weight"


def test_the_error_of_the_rank_that_failed_is_quoted_and_not_that_of_its_launcher(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(scripts.RANK_FAILS)
    result = process(tmp_path, "run", "--", *TORCHRUN, "train.py")
    assert result.returncode == 2
    last_lines = result.stderr[result.stderr.index("\nerror: ") :]
    assert "before it made an optimizer: FileNotFoundError: no data in ./data (train.py:4)" in last_lines
    assert "ChildFailedError" not in last_lines


def test_a_worker_of_torchrun_gets_a_pretended_gpu_and_a_process_group_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(scripts.NET)
    (tmp_path / "train.py").write_text(scripts.NEEDS_A_CLUSTER)
    result = process(
        tmp_path,
        *("run", "--pretend", "gpu,world", "--timeout", "120", "train.py"),
        TORCHELASTIC_USE_AGENT_STORE="True",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT="9",
    )
    assert "note: stopped before its first step; the script made AdamW" in result.stderr


def test_data_sets_of_the_hub_that_cannot_be_loaded_are_pretended(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "train.py").write_text(scripts.HUB_DATA)
    result = process(tmp_path, "run", "--pretend", "data", "train.py", HF_HUB_OFFLINE="1")
    assert "note: stopped before its first step; the script made AdamW" in result.stderr
    assert "note: --pretend data: glue gives noise (" in result.stderr


@pytest.mark.parametrize(
    ("package", "text", "command"),
    [
        ("lightning", scripts.LIGHTNING, ()),
        ("accelerate", scripts.HF_TRAINER, ()),
        ("accelerate", scripts.ACCELERATE, ("--", *ACCELERATE)),
    ],
    ids=["lightning", "hf-trainer", "accelerate"],
)
def test_a_framework_lets_the_stop_through(tmp_path: Path, package: str, text: str, command: tuple[str, ...]) -> None:
    pytest.importorskip(package)
    (tmp_path / "train.py").write_text(scripts.TORCHVISION_SCHEMAS + text)
    result = process(tmp_path, "run", "--format", "json", *command, "train.py")
    (document,) = documents(result)
    assert not document["target"].endswith(":self")
    assert "stopped before its first step" in result.stderr
    assert not (tmp_path / "trained").exists()
    groups = [group["weight_decay"] for group in document["optimizers"][0]["groups"]]
    assert groups == ([0.1, 0.0] if text is scripts.HF_TRAINER else [0.05])
