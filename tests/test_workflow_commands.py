"""Names of a checkpoint in the log of a GitHub workflow: none of them is a command there."""

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.model.choices import Format

NAMES = ("::stop-commands::x.weight", "a ##[group]b", "  ::error::y.bias")
COMMAND = re.compile(r"^\s*::|##\[", re.MULTILINE)
OUR_OWN = re.compile(r"^::(error|warning|notice) .*$", re.MULTILINE)

runner = CliRunner()


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    torch.save({name: torch.zeros(2, 3) for name in NAMES}, tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    return "model.pt"


@pytest.mark.parametrize("form", Format)
def test_no_name_is_a_command_in_any_format(form: Format, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = runner.invoke(app, ["inspect", checkpoint, "--full", "-f", form])
    assert not COMMAND.search(OUR_OWN.sub("", result.stdout))
    assert not COMMAND.search(result.stderr)
    assert "##[" not in result.stdout
    if form is Format.JSON:
        assert {parameter["name"] for parameter in json.loads(result.stdout)["parameters"]} == set(NAMES)


def test_text_never_has_one_and_other_formats_keep_their_names_elsewhere(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert not COMMAND.search(runner.invoke(app, ["inspect", checkpoint, "--full"]).stdout)
    assert "##[group]" in runner.invoke(app, ["inspect", checkpoint, "-f", "json"]).stdout


def test_a_message_about_a_file_is_no_command(checkpoint: str) -> None:
    result = runner.invoke(app, ["inspect", "x\n::stop-commands::y.pt"])
    assert (result.exit_code, COMMAND.search(result.stderr)) == (2, None)
