"""The table of what weight_decay means, held against every optimizer class that is installed."""

import importlib.util
from pathlib import Path

import pytest

from decay_audit.optimizers.table.classes import CLASSES
from tests.optimizers.page import COLUMNS, COUNTED, count, declared_cells, lines
from tests.optimizers.survey import EXCEPTIONS, LIBRARIES, NOT_RUN, Form, agrees, classes, survey

PAGE = Path(__file__).parents[2] / "docs" / "optimizers.md"
INSTALLED = [library for library in LIBRARIES if importlib.util.find_spec(library)]
ALWAYS = [library for library in INSTALLED if library != "torchao"]  # torchao compiles each step: half a minute


@pytest.fixture(scope="module")
def measured() -> dict[str, list[Form]]:
    return {library: list(survey(library)) for library in ALWAYS}


def test_every_class_moves_as_the_table_declares_or_is_listed_with_a_reason(measured: dict[str, list[Form]]) -> None:
    differ = {
        (f"{form.library}.{form.name}", form.switch)
        for forms in measured.values()
        for form in forms
        if not agrees(form) and f"{form.library}.{form.name}" not in NOT_RUN
    }
    expected = {key for key in EXCEPTIONS if key[0].partition(".")[0] in ALWAYS}
    assert differ == expected


def test_every_class_that_is_said_not_to_run_does_not(measured: dict[str, list[Form]]) -> None:
    failed = {f"{form.library}.{form.name}" for forms in measured.values() for form in forms if not form.observations}
    assert failed == {name for name in NOT_RUN if name.partition(".")[0] in ALWAYS}


@pytest.mark.parametrize("library", [library for library in COUNTED if library in INSTALLED])
def test_the_survey_reaches_every_class_of_a_library(library: str, measured: dict[str, list[Form]]) -> None:
    """Bases that others derive from are no optimizers."""
    assert {form.name for form in measured[library]} == CLASSES[library].keys()
    assert classes(library).keys() - CLASSES[library].keys() <= {"BaseOptimizer", "MuonBase"}


@pytest.mark.skipif(not set(COUNTED) <= set(INSTALLED), reason="pytorch-optimizer is not installed")
def test_the_page_says_how_many_were_measured(measured: dict[str, list[Form]]) -> None:
    assert count(measured) in " ".join(PAGE.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("library", CLASSES)
def test_the_page_lists_what_the_table_says(library: str) -> None:
    section = _section(library)
    for name, row in CLASSES[library].items():
        assert any(line.startswith(declared_cells(name, row)) for line in section), name


@pytest.mark.parametrize("library", ALWAYS)
def test_the_page_lists_what_was_measured(library: str, measured: dict[str, list[Form]]) -> None:
    assert _section(library) == list(lines(library, measured[library]))


def _section(library: str) -> list[str]:
    after = PAGE.read_text(encoding="utf-8").partition(f"\n## {library}\n")[2].partition("\n## ")[0]
    return after.partition(COLUMNS)[2].strip().splitlines()
