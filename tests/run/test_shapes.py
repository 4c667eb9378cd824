"""One small script for each shape of training code: what `decay-audit run` says of it, in a process of its own."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from decay_audit import api
from decay_audit.api import locking
from tests.run import scripts
from tests.run.processes import codes, documents, process, run

DECAYED = "2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them"


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A flat script that asks its terminal for its size; `--list` stands in the wrong place."""
    folder = tmp_path_factory.mktemp("flat")
    (folder / "net.py").write_text(scripts.NET)
    (folder / "train.py").write_text(scripts.ASKS_THE_TERMINAL)
    _, terminal = os.openpty()
    return folder, process(folder, "run", "train.py", "--list", stdin=terminal)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A trainer class that is made from a config, replaces print, writes files, and reports every Exception."""
    folder = tmp_path_factory.mktemp("config")
    return folder, run(folder, scripts.CONFIG)


def test_a_script_is_stopped_before_its_first_step_and_judged(
    flat: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, result = flat
    assert result.returncode == 1, result.stderr
    assert result.stdout.startswith(f"DA101 error   {DECAYED}")
    assert result.stderr.splitlines()[-2:] == [
        "note: stopped before its first step; the script made AdamW",
        "FAIL train.py:model  1 error in 4 parameters",
    ]
    assert not (folder / "trained").exists()


def test_an_option_after_the_script_is_said_to_go_to_the_script(
    flat: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    assert "note: --list stands after train.py, so train.py gets it" in flat[1].stderr


def test_code_from_a_config_is_judged_where_print_is_replaced(
    config: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    assert config[1].stdout.startswith(f"DA101 error   {DECAYED}"), config[1].stderr
    assert "FAIL train.py:model  1 error in 4 parameters" in config[1].stderr


def test_the_files_that_a_script_writes_are_listed(config: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert "the script wrote 1 file: runs/" in config[1].stderr
    assert "meanwhile" not in config[1].stderr
    assert (config[0] / "runs").is_dir()


def test_a_scratch_copy_takes_what_a_script_writes_and_finds_what_stands_beside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "project" / "code"
    folder.mkdir(parents=True)
    (folder / "data").symlink_to("../../data")
    (tmp_path / "data").write_text("7")
    text = "for name in ('log', '../log'):\n    open(name, 'w').close()\n"
    result = run(
        folder, f"{text}raise SystemExit(int(open('data').read() + open('../../data').read()))", options=("--scratch",)
    )
    assert "exit code 77" in result.stderr
    assert not [*tmp_path.rglob("log")]


def test_groups_that_follow_the_ruleset_are_quiet(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.MAIN)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "ok train.py:network  no findings in 4 parameters" in result.stderr


def test_the_script_gets_its_own_arguments(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.ARGPARSE, "--wd", "0.125", options=("-o", "out.sarif", "-f", "json", "-o", "-"))
    (document,) = documents(result)
    assert document["optimizers"][0]["groups"][0]["weight_decay"] == 0.125
    location = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"][0]["locations"][0]
    assert location["physicalLocation"] == {"artifactLocation": {"uri": "train.py"}, "region": {"startLine": 8}}


def test_models_with_an_optimizer_each_are_judged_apart_under_their_variables(tmp_path: Path) -> None:
    generator, critic = documents(run(tmp_path, scripts.GAN, options=("--format", "json")))
    assert [(document["target"], document["optimizers"][0]["class"]) for document in (generator, critic)] == [
        ("train.py:generator", "Adam"),
        ("train.py:critic", "SGD"),
    ]
    assert "DA201" not in codes(generator) + codes(critic)


def test_models_in_a_dict_have_their_keys_and_that_of_a_function_the_variable_of_the_script(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, scripts.SEVERAL_MODELS, options=("--format", "json"))
    assert [document["target"] for document in documents(result)] == [
        *("train.py:actor", "train.py:critic", "train.py:model")
    ]
    (change,) = [finding for finding in documents(result)[2]["findings"] if finding["code"] == "DA803"]
    assert change["message"].endswith("weight_decay 0.05 became 0.3")
    assert "note: the script wrote 1 file: checkpoint.pt\n" in result.stderr
    assert "1 file changed meanwhile, and no Python code of the script opened it: touched\n" in result.stderr


def test_a_script_that_trains_in_a_thread_is_stopped(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.THREAD)
    assert "ok" not in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "after").exists()


def test_a_frozen_copy_beside_the_model_is_left_out(tmp_path: Path) -> None:
    (document,) = documents(run(tmp_path, scripts.EMA, options=("--format", "json")))
    assert (document["target"], document["totals"]["parameters"]) == ("train.py:model", 4)


def test_a_loss_with_weights_is_judged_with_the_model(tmp_path: Path) -> None:
    (document,) = documents(run(tmp_path, scripts.LOSS_WITH_WEIGHTS, options=("--format", "json")))
    assert document["target"] == "train.py:model + criterion"
    assert [parameter["name"] for parameter in document["parameters"]][-1] == "criterion.centers"
    assert not {"DA201", "DA203"} & {*codes(document)}


def test_parameters_that_train_outside_every_optimizer_are_found(tmp_path: Path) -> None:
    (document,) = documents(run(tmp_path, scripts.LOSS_FORGOTTEN, options=("--format", "json")))
    (finding,) = [finding for finding in document["findings"] if finding["code"] == "DA201"]
    assert finding["severity"] == "warning"
    assert finding["message"].startswith("1 parameter of Criterion got a gradient, and is in no optimizer")


def test_steps_by_hand_are_said(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.BY_HAND)
    assert result.returncode == 2
    assert "makes no optimizer: it calls backward()" in result.stderr


def test_data_loader_workers_are_left_alone(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.DATA_LOADER_WORKERS)
    assert result.stdout.startswith(f"DA101 error   {DECAYED}"), result.stderr
    assert "Error" not in result.stderr


def test_changes_after_construction_and_missing_gradients_are_said_and_a_warm_up_is_no_rounding(tmp_path: Path) -> None:
    (document,) = documents(run(tmp_path, scripts.CHANGES_AND_GRADIENTS, options=("--format", "json")))
    messages = {finding["code"]: finding["message"] for finding in document["findings"]}
    assert messages["DA803"].endswith("changed after the optimizer was made: weight_decay 0.01 became 0.04")
    assert "DA504" not in messages
    assert document["optimizers"][0]["groups"][0]["weight_decay"] == 0.04
    gradients = {
        tuple(finding["parameters"]): finding["found"] for finding in document["findings"] if finding["code"] == "DA806"
    }
    assert gradients == {
        ("unused.weight", "unused.bias"): "no gradient",
        ("branch.weight", "branch.bias"): "a gradient of exactly zero",
    }
    severities = [finding["severity"] for finding in document["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_a_model_whose_group_is_added_later_is_found_and_the_steps_are_counted(tmp_path: Path) -> None:
    text = scripts.FLAT.replace(
        "loop(", "head = Net()\noptimizer.add_param_group({'params': head.parameters()})\nloop(", 1
    )
    result = run(tmp_path, text, options=("--until", "3", "--format", "json"))
    (document,) = documents(result)
    assert [parameter["name"] for parameter in document["parameters"]][-1] == "head.norm.bias"
    assert "note: stopped after 3 steps; the script made AdamW" in result.stderr


def test_watching_trains_on_and_says_each_change(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.CHANGES_LATER, options=("--watch",))
    assert "step 2: group 0 of AdamW: weight_decay 0.01 became 0.2" in result.stderr
    assert "step 4: group 0 of AdamW: lr x weight_decay 0.02 became 2e-06" in result.stderr
    assert (
        "DA803 warning group 0 of AdamW changed after the optimizer was made: weight_decay 0.01 became 0.2"
        in result.stdout
    )
    assert "the script ended after 6 steps" in result.stderr


def test_the_schedule_of_the_whole_run_is_recorded_though_the_optimizer_is_gone_at_the_end(tmp_path: Path) -> None:
    result = run(tmp_path, scripts.SCHEDULES, options=("--until", "end", "--format", "json"))
    assert "note: the script ended after 40 steps: OSError: no space" in result.stderr
    (document,) = documents(result)
    decayed = document["optimizers"][0]["groups"][0]
    factors = [1 - (0.01 if step < 30 else 0.001) * (0.1 + step // 10 / 10) for step in range(40)]
    assert decayed["kept"] == pytest.approx(math.prod(factors), rel=1e-12)
    assert document["run"]["steps"] == 40
    (change,) = [finding for finding in document["findings"] if finding["code"] == "DA803"]
    assert change["severity"] == "note"
    assert change["message"].endswith("weight_decay 0.1 became 0.4 by a schedule")


def test_a_script_can_watch_itself(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(scripts.NET)
    logging = "import decay_audit, logging; logging.basicConfig(level=logging.INFO); decay_audit.watch()"
    (tmp_path / "train.py").write_text(logging + scripts.CHANGES_LATER)
    result = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "WARNING:decay_audit:decay-audit train.py:model: 1 error in 4 parameters" in result.stderr
    assert "step 2: group 0 of AdamW: weight_decay 0.01 became 0.2" in result.stderr


def test_fixes_name_no_option_that_run_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import torch\nmodel = torch.nn.Linear(3, 3)\n")
    lock = locking.make_lock(api.run(api.Request(target=f"{tmp_path / 'model.py'}")))
    (tmp_path / "a.lock").write_text(locking.text(lock))
    script = (
        "from net import *\n"
        "model = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(3, 3))])\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)\n"
        "model[0].sum().backward()\n"
        "optimizer.step()\n"
    )
    result = run(tmp_path, script, options=("--lock", "a.lock"))
    fixes = [line.strip() for line in result.stdout.splitlines() if line.strip().startswith("fix: ")]
    assert "fix: add a rule by name to a ruleset of yours, and name it: --rules FILE" in fixes, result.stderr
    assert "fix: decay-audit lock TARGET --update, with the target that the lock names" in fixes
    assert not any("--trace" in fix or "''" in fix for fix in fixes)
