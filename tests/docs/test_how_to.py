"""docs/how-to.md: the files of each recipe are written to a folder, and its commands are run there, in their order."""

import importlib.util
import io
import os
import re
import runpy
import shlex
import socket
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app
from tests.docs.pages import DOCS, first_difference

ROOT = DOCS.parent
NEEDS = {
    "Use the Trainer of transformers": ("transformers",),
    "Use timm": ("timm",),
}
FILE = re.compile(r'^```\w+ title="(.*?)"\n(.*?)^```$', re.M | re.S)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
SHARED, *SECTIONS = (DOCS / "how-to.md").read_text().split("\n## ")
RECIPES = {section.partition("\n")[0]: section for section in SECTIONS}


def commands(section: str) -> list[tuple[str, list[str]]]:
    """List the commands of a recipe, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in CONSOLE.findall(section):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def printed_by(command: str, folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Run a command of a recipe; return the lines of both streams."""
    program, *arguments = shlex.split(command)
    if program == "decay-audit":
        return CliRunner().invoke(app, arguments).output.splitlines()
    if program == "pytest":
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        # pytest shortens its summary to 80 columns, unless it finds that it runs in CI
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "CI": "", "BUILD_NUMBER": ""}
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True).stdout.splitlines()
    if program == "torchrun":  # with one process, it only sets these variables
        assert arguments[:2] == ["--nproc-per-node", "1"]
        for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "localhost", "MASTER_PORT": free_port()}.items():
            patch.setenv(name, str(value))
    patch.syspath_prepend(folder)
    printed = io.StringIO()
    with redirect_stdout(printed):
        runpy.run_path(arguments[-1], run_name="__main__")
    patch.delitem(sys.modules, "net")
    return printed.getvalue().splitlines()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def test_there_are_ten_recipes() -> None:
    assert len(RECIPES) == 10
    assert set(NEEDS) <= set(RECIPES)
    assert all(commands(section) for section in RECIPES.values())


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_prints_what_it_shows(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [package for package in NEEDS.get(title, ()) if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    for name, text in (*FILE.findall(SHARED), *FILE.findall(RECIPES[title])):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    for command, shown in commands(RECIPES[title]):
        difference = first_difference(shown, printed_by(command, tmp_path, monkeypatch))
        assert not difference, f"$ {command}\n{difference}"
