"""Audits of training scripts in pyproject.toml: `check` runs them, and locks hold what they do."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app
from tests.run import scripts

SCRIPT_AND_LOCK = """
[[tool.decay-audit.audits]]
run = "train.py --wd 0.1"
lock = "decay.lock"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(scripts.NET)
    (tmp_path / "train.py").write_text(scripts.ARGPARSE)
    (tmp_path / "gan.py").write_text(scripts.GAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    return tmp_path


def test_a_script_in_pyproject_is_run_and_compared_with_its_lock(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(SCRIPT_AND_LOCK)
    assert "wrote decay.lock: 4 parameters" in CliRunner().invoke(app, ["lock"]).stderr
    lock = (folder / "decay.lock").read_text()
    (folder / "decay.lock").write_text(lock.replace("fc.weight", "fc.old_weight"))
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 1
    assert "FAIL train.py:model  " in result.stderr
    assert "note: stopped before its first step; the script made SGD" in result.stderr
    assert "fix: decay-audit lock --update --audit 'train.py --wd 0.1'" in result.stdout


def test_audits_that_name_models_of_one_script_run_it_once(folder: Path) -> None:
    (folder / "gan.py").write_text(f"open('runs', 'a').write('x')\n{scripts.GAN}")
    audits = (
        f'[[tool.decay-audit.audits]]\nrun = "gan.py"\ntarget = "{name}"\n' for name in ("critic", "generator", "gone")
    )
    (folder / "pyproject.toml").write_text("".join(audits))
    result = CliRunner().invoke(app, ["check"])
    lines = [" ".join(line.split()[:2]) for line in result.stderr.splitlines()]
    assert lines[-4:-1] == ["FAIL gan.py:critic", "FAIL gan.py:generator", "ERROR gan.py"], result.stderr
    assert (folder / "runs").read_text() == "x"


@pytest.mark.parametrize(
    ("audit", "message"),
    [
        ('name = "x"', "an audit needs a `target`, or a script to `run`"),
        ('run = "train.py"\noptimizer = "train.py:make"', "`optimizer` is not for an audit with `run`"),
        ('target = "net.py"\ntimeout = 3.0', "`timeout` needs `run`"),
        ('run = "train.py \'x"', "No closing quotation"),
        ('run = "nowhere.py"', "no such script: nowhere.py"),
    ],
)
def test_a_mistake_in_an_audit_is_one_message(folder: Path, audit: str, message: str) -> None:
    (folder / "pyproject.toml").write_text(f"[[tool.decay-audit.audits]]\n{audit}\n")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 2
    assert message in result.stderr


def test_find_adds_audits_after_what_the_file_holds_and_none_twice(folder: Path) -> None:
    old = "[tool.black]\r\nline-length = 100  # ours\r\n"
    (folder / "pyproject.toml").write_bytes(old.encode())
    assert "added 2 audits to pyproject.toml" in CliRunner().invoke(app, ["find", "--write"]).stderr
    text = (folder / "pyproject.toml").read_bytes().decode()
    assert text.startswith(old)
    assert [audit["run"] for audit in tomllib.loads(text)["tool"]["decay-audit"]["audits"]] == ["gan.py", "train.py"]
    assert "added 0 audits" in CliRunner().invoke(app, ["find", "--write"]).stderr
    assert (folder / "pyproject.toml").read_bytes().decode() == text


@pytest.mark.parametrize(
    ("old", "header"),
    [('rules = "torchvision"\n', "audits"), ("", "audits"), ("[tool.decay-audit]\n", "tool.decay-audit.audits")],
)
def test_find_adds_audits_to_a_decay_audit_toml_that_stands_there(folder: Path, old: str, header: str) -> None:
    (folder / "decay-audit.toml").write_text(old)
    assert "added 2 audits to decay-audit.toml" in CliRunner().invoke(app, ["find", "--write"]).stderr
    text = (folder / "decay-audit.toml").read_text()
    assert text.startswith(old)
    assert text.count(f"[[{header}]]\nrun = ") == 2
    assert "added 0 audits" in CliRunner().invoke(app, ["find", "--write"]).stderr
    assert not (folder / "pyproject.toml").exists()


@pytest.mark.parametrize("old", ["[tool.decay-audit]\naudits = []\n", "not TOML", "[tool]\ndecay-audit = 3\n"])
def test_find_writes_nothing_to_a_file_that_cannot_hold_more_audits(folder: Path, old: str) -> None:
    (folder / "pyproject.toml").write_text(old)
    result = CliRunner().invoke(app, ["find", "--write"])
    assert result.exit_code == 2
    assert (folder / "pyproject.toml").read_text() == old
