"""Exceptions in pyproject.toml: what they take out of the findings, and what is said of the exceptions themselves."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app
from tests.test_cli import MODEL

AUDIT = "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\n"
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(folder: Path, *exceptions: str) -> None:
    tables = (f"[[tool.decay-audit.exceptions]]\n{exception}\n" for exception in exceptions)
    (folder / "pyproject.toml").write_text(AUDIT + "".join(tables))


EVERYTHING = "code = 'DA101'\nparameters = ['norm.*', 'fc.bias']\nreason = 'the paper decays them'"


def test_a_finding_with_an_exception_does_not_count_and_is_shown_on_request_with_its_reason(folder: Path) -> None:
    configure(folder, EVERYTHING)
    result = runner.invoke(app, ["check"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "ok net.py:Net  no findings in 4 parameters; 2 findings accepted by exceptions" not in result.stderr
    assert "no findings in 4 parameters; 1 finding accepted by exceptions" in result.stderr
    shown = runner.invoke(app, ["check", "--show-exceptions"])
    assert shown.exit_code == 0
    assert "DA101 accepted" in shown.stdout
    assert "reason: the paper decays them" in shown.stdout
    assert runner.invoke(app, ["check", "net.py:Net", "--optimizer", "net.py:bad"]).exit_code == 0


def test_what_an_exception_does_not_cover_still_counts(folder: Path) -> None:
    configure(folder, "code = 'DA101'\nparameters = 'norm.*'\nreason = 'on purpose'")
    result = runner.invoke(app, ["check"])
    assert result.exit_code == 1
    assert "(2 of 3 have an exception)\n              fc.bias\n" in result.stdout


@pytest.mark.parametrize(
    ("exception", "code", "exit_code", "message"),
    [
        (EVERYTHING.replace("DA101", "DA102"), "DA704", 1, "covers nothing"),
        (f"{EVERYTHING}\nuntil = '2020-01-31'", "DA705", 1, "ended on 2020-01-31: the paper decays them"),
        (f"{EVERYTHING}\nuntil = 2020-01-31", "DA705", 1, "ended on 2020-01-31"),
        (f"{EVERYTHING}\ncovers = 2", "DA706", 0, "covers 3 parameters, not 2 as it says"),
    ],
)
def test_an_exception_that_covers_nothing_is_expired_or_has_grown_is_said(
    folder: Path, exception: str, code: str, exit_code: int, message: str
) -> None:
    configure(folder, exception)
    result = runner.invoke(app, ["check"])
    assert result.exit_code == exit_code
    assert code in result.stdout
    assert message in result.stdout
    assert "pyproject.toml:4" in result.stdout


@pytest.mark.parametrize("more", ["until = '2999-12-31'", "covers = 3", "target = 'net.py:Net'"])
def test_an_exception_that_holds_is_quiet(folder: Path, more: str) -> None:
    configure(folder, f"{EVERYTHING}\n{more}")
    assert (runner.invoke(app, ["check"]).stdout) == ""


def test_an_exception_for_another_audit_covers_nothing_here_and_is_not_said_where_one_target_is_asked_for(
    folder: Path,
) -> None:
    configure(folder, f"{EVERYTHING}\ntarget = 'another'")
    whole = runner.invoke(app, ["check"])
    assert (whole.exit_code, "DA704" in whole.stdout) == (1, True)
    one = runner.invoke(app, ["check", "net.py:Net", "--optimizer", "net.py:bad"])
    assert (one.exit_code, "DA704" in one.stdout) == (1, False)


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        ("code = 'DA101'", "pyproject.toml:4: an entry of `exceptions` has no `reason`, which is required"),
        ("code = 'DA101'\nreason = ' '", "pyproject.toml:4: `reason` is empty"),
        (
            "code = 'DA1O1'\nreason = 'x'",
            "pyproject.toml:4: `code` is `DA1O1`, which is no code; did you mean `DA101`?",
        ),
        ("code = 'DA101'\nreason = 'x'\nuntil = 'soon'", "`until` is `soon`; it must be a date such as 2027-01-31"),
        ("code = 'DA101'\nreason = 'x'\nuntill = 'soon'", "pyproject.toml:7: unknown key `untill`"),
    ],
)
def test_a_mistake_in_an_exception_is_said_with_its_line(folder: Path, exception: str, message: str) -> None:
    configure(folder, exception)
    result = runner.invoke(app, ["check"])
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_baseline_lets_a_project_begin_and_new_findings_still_fail(folder: Path) -> None:
    configure(folder)
    before = (folder / "pyproject.toml").read_text()
    result = runner.invoke(app, ["check", "--write-baseline"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "added 1 exception to pyproject.toml; replace each `reason` by one of yours" in result.stderr
    after = (folder / "pyproject.toml").read_text()
    assert after.startswith(before)
    (exception,) = tomllib.loads(after)["tool"]["decay-audit"]["exceptions"]
    assert (exception["code"], exception["covers"]) == ("DA101", 3)
    assert runner.invoke(app, ["check"]).exit_code == 0
    (folder / "net.py").write_text(MODEL.replace("self.norm =", "self.more = nn.LayerNorm(2); self.norm ="))
    more = runner.invoke(app, ["check"])
    assert (more.exit_code, "more.{weight,bias}" in more.stdout, "norm.weight" in more.stdout) == (1, True, False)


def test_a_baseline_is_written_where_there_is_no_pyproject(folder: Path) -> None:
    check = ["check", "net.py:Net", "--optimizer", "net.py:bad"]
    assert runner.invoke(app, [*check, "--write-baseline"]).exit_code == 0
    assert runner.invoke(app, check).exit_code == 0
    (finding,) = json.loads(runner.invoke(app, [*check, "-f", "json"]).stdout)["findings"]
    assert finding["exception"] == "baseline: the finding was there when the check was introduced"
