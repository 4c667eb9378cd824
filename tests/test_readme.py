"""The README shows what the tool prints: each of its console blocks is run and compared, line by line."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app

ROOT = Path(__file__).parents[1]
CONSOLE = re.findall(r"^```console\n\$ decay-audit (.*?)\n(.*?)```$", (ROOT / "README.md").read_text(), re.M | re.S)


def test_the_readme_has_console_blocks() -> None:
    assert len(CONSOLE) >= 3


@pytest.mark.parametrize(("arguments", "shown"), CONSOLE, ids=[arguments for arguments, _ in CONSOLE])
def test_a_console_block_shows_lines_of_the_real_output_in_their_order(
    arguments: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    printed = CliRunner().invoke(app, shlex.split(arguments)).stdout.splitlines()
    places = [printed.index(line) for line in shown.splitlines()]
    assert places
    if len(set(shown.splitlines())) == len(places):
        assert places == sorted(places)


def test_the_readme_quotes_the_zoo_as_it_is_written_down() -> None:
    readme, zoo = ((ROOT / name).read_text() for name in ("README.md", "docs/zoo.md"))
    section = readme.partition("## Why it exists, in numbers")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 5
    assert [row for row in rows if row not in zoo.splitlines()] == []
    figures = re.findall(r"[\d,]+ architectures|[\d,]+ parameters|[\d.]+ %", section)
    assert [figure for figure in figures if figure not in zoo] == []
