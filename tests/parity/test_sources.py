"""The script on the presets' sources: what was read, what is current, and what the source's own function does."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from torch import nn

from benchmarks.preset_sources import __main__ as script
from benchmarks.preset_sources.extract import fingerprint, namespace_of, text_of
from benchmarks.preset_sources.functions import Names, from_groups
from benchmarks.preset_sources.table import SOURCES, Source
from decay_audit import rulesets
from tests.parity.peers import CALLED, HOUSE, Answers

PAGE = Path(__file__).parents[2] / "docs" / "preset-sources.md"
RULE = """
import a_package_that_is_not_installed


class Utilities:
    @a_package_that_is_not_installed.decorator
    def split(model: a_package_that_is_not_installed.Model):
        with_decay, without = [], []
        for name, tensor in model.named_parameters():
            if tensor.requires_grad:
                spared = name.endswith(".bias") or tensor.ndim == 1
                (without if spared else with_decay).append(tensor)
        return [{"params": with_decay}, {"params": without, "weight_decay": 0.0}]
"""


def dino(names: Names, model: nn.Module, base: float) -> Answers:
    return from_groups(model, names["split"](model), base)


HERE = Source(
    repository="someone/rules",
    path="rules.py",
    definitions=("Utilities.split",),
    revision="read",
    text=fingerprint(text_of(RULE, ["Utilities.split"])),
    ask=dino,
)


def commit(folder: Path, text: str, tag: str = "") -> None:
    """Commit a file in a repository of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.py").write_text(text, encoding="utf-8")
    settings = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "."], [*settings, "commit", "-qm", "a"], ["tag", tag] if tag else []):
        if command:
            subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)


def state(source: Source, clones: Path, models: Sequence[str] = ()) -> script.Row:
    return script.row("dino", source, clones, models)


def test_every_preset_has_a_source() -> None:
    assert {*SOURCES, *HOUSE, "torch-default"} == set(rulesets.presets())


def test_a_preset_names_the_revision_that_was_read() -> None:
    noted = {preset: source.revision.removeprefix("v") for preset, source in SOURCES.items() if source.revision}
    named = {preset: rulesets.load(preset).source for preset in noted}
    assert {preset for preset in noted if noted[preset] not in named[preset]} == set()


def test_a_preset_that_is_compared_with_an_installed_function_names_its_package() -> None:
    assert {preset for preset in CALLED if not SOURCES[preset].package} == set()


def test_the_page_has_every_source_as_the_table_has_it() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert [(row[0], row[2]) for row in rows] == [
        (f"`{preset}`", source.revision or "not noted") for preset, source in SOURCES.items()
    ]
    assert not [row for row in rows if "differ" in row[5] or row[4].startswith("not the text")]


def test_a_text_that_nobody_changed_is_as_read(tmp_path: Path) -> None:
    commit(tmp_path / "rules", RULE, "read")
    commit(tmp_path / "rules", RULE + "\n\nVERSION = 2\n")
    row = state(HERE, tmp_path)
    assert (row.cells[4], row.outdated, row.failed) == ("as read, unchanged", False, False)


def test_a_text_that_changed_afterwards_is_outdated_unless_the_preset_is_of_that_release(tmp_path: Path) -> None:
    commit(tmp_path / "rules", RULE, "read")
    commit(tmp_path / "rules", RULE.replace("ndim == 1", "ndim <= 1"))
    row = state(HERE, tmp_path)
    assert (row.cells[4], row.outdated, row.failed) == ("as read; changed since", True, False)
    assert not state(replace(HERE, pinned=True), tmp_path).outdated


def test_a_definition_that_is_gone_is_outdated(tmp_path: Path) -> None:
    commit(tmp_path / "rules", RULE, "read")
    commit(tmp_path / "rules", RULE.replace("def split", "def divide"))
    assert state(HERE, tmp_path).outdated


def test_another_text_at_the_revision_fails(tmp_path: Path) -> None:
    commit(tmp_path / "rules", RULE.replace("ndim == 1", "ndim <= 1"), "read")
    row = state(HERE, tmp_path)
    assert row.failed
    assert row.cells[4].startswith("not the text that was read")


@pytest.mark.parametrize(("changed", "expected"), [("ndim == 1", "equal"), ("ndim == 4", "differ on")])
def test_the_function_of_the_source_runs_and_is_compared(changed: str, expected: str, tmp_path: Path) -> None:
    text = RULE.replace("ndim == 1", changed)
    commit(tmp_path / "rules", text, "read")
    row = state(replace(HERE, text=""), tmp_path, ["language", "chat", "only-a-norm"])
    assert expected in row.cells[5]
    assert row.failed is (expected != "equal")


def test_a_function_runs_without_the_imports_of_its_file() -> None:
    assert "split" in namespace_of(RULE, ["Utilities.split"])


def test_without_an_answer_from_anywhere_the_script_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "none")
    monkeypatch.setenv("https_proxy", "http://[::1]:9")
    assert script.main(["--only", "dino"]) == 2
    captured = capsys.readouterr()
    assert "| not known |" in captured.out
    assert "github.com/facebookresearch/dino" in captured.err
    assert captured.err.endswith("No source could be reached: is there a network, or a folder for --clones?\n")
