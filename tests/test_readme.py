"""The README shows what the tool prints: each console block is run and compared by line. Its figures are true."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app
from tests.docs.pages import first_difference

ROOT = Path(__file__).parents[1]
CONSOLE = re.findall(r"^```console\n\$ decay-audit (.*?)\n(.*?)```$", (ROOT / "README.md").read_text(), re.M | re.S)


def test_the_readme_has_console_blocks() -> None:
    assert len(CONSOLE) >= 3


@pytest.mark.parametrize(("arguments", "shown"), CONSOLE, ids=[arguments for arguments, _ in CONSOLE])
def test_a_console_block_shows_the_real_output_to_the_letter_but_for_lines_marked_as_left_out(
    arguments: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    printed = CliRunner().invoke(app, shlex.split(arguments)).output.splitlines()
    assert first_difference(shown.splitlines(), printed) == ""


@pytest.mark.parametrize(
    ("shown", "is_right"),
    [
        ("abc", True),
        ("a.c", True),
        ("a.", True),
        (".c", True),
        ("ab", False),
        ("ac", False),
        ("bc", False),
        ("ax", False),
    ],
)
def test_a_line_that_is_changed_or_left_out_without_a_mark_is_a_difference(shown: str, *, is_right: bool) -> None:
    lines = ["..." if letter == "." else letter for letter in shown]
    assert (first_difference(lines, ["a", "b", "c"]) == "") is is_right


def test_the_readme_shows_what_it_is_then_how_to_install_it_then_a_result_then_the_cure_then_the_thread() -> None:
    text = (ROOT / "README.md").read_text()
    order = [
        "which parameters of a PyTorch model get weight decay",
        "pip install decay-audit",
        "DA101 error",
        "param_groups(model",
        "$ decay-audit emit",
        "forum thread asked",
        "```sh",
    ]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_the_readme_counts_the_presets_by_what_they_are_compared_with() -> None:
    readme, presets = ((ROOT / name).read_text() for name in ("README.md", "rules/README.md"))
    compared = Counter(re.findall(r"^\| `[^`]+` \|.*\| (called|reimplemented|-) \|$", presets, re.M))
    assert compared.total() == len(list((ROOT / "rules").glob("*.yaml")))
    words = " ".join(readme.split())
    assert f"has {compared.total()} presets. {compared['called']} of them are compared with the function" in words
    assert f"{compared['reimplemented']} only with our own reimplementation" in words
    assert f"{compared['-']} reproduce no function" in words


def test_the_readme_quotes_the_zoo_as_it_is_written_down() -> None:
    readme, zoo = ((ROOT / name).read_text() for name in ("README.md", "docs/zoo.md"))
    section = readme.partition("## Why it exists, in numbers")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 5
    assert [row for row in rows if row not in zoo.splitlines()] == []
    figures = re.findall(r"[\d,]+ architectures|[\d,]+ parameters|[\d.]+ %", section)
    only_measured = zoo.partition("### Only measured")[2].partition("| by default |")[2].partition("\n")[0]
    held_out = re.findall(r"\d+ of \d+ \([\d.]+ %\)", section)
    assert len(held_out) == 2
    assert [figure for figure in held_out if figure not in only_measured] == []
    assert [figure for figure in figures if figure not in zoo] == []
