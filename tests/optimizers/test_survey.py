"""The table of what weight_decay means, compared with every optimizer class that is installed."""

import importlib.util
from pathlib import Path

import pytest

from decay_audit.optimizers.table.classes import CLASSES
from tests.optimizers.page import COLUMNS, COUNTED, count, declared_cells, lines
from tests.optimizers.survey import EXCEPTIONS, LIBRARIES, NOT_RUN, Measurement, agrees, classes, survey

PAGE = Path(__file__).parents[2] / "docs" / "optimizers.md"
INSTALLED = [library for library in LIBRARIES if importlib.util.find_spec(library)]
ALWAYS = [library for library in INSTALLED if library != "torchao"]  # torchao compiles each step: half a minute


Measured = dict[str, list[Measurement]]


@pytest.fixture(scope="module")
def measured() -> Measured:
    return {library: list(survey(library)) for library in ALWAYS}


def test_every_class_moves_as_the_table_declares_or_is_listed_with_a_reason(
    measured: Measured,
) -> None:
    differ = {
        (f"{measurement.library}.{measurement.name}", measurement.switch)
        for measurements in measured.values()
        for measurement in measurements
        if not agrees(measurement) and f"{measurement.library}.{measurement.name}" not in NOT_RUN
    }
    expected = {key for key in EXCEPTIONS if key[0].partition(".")[0] in ALWAYS}
    assert differ == expected


def test_the_classes_that_cannot_step_are_those_that_are_listed(measured: Measured) -> None:
    failed = {
        f"{measurement.library}.{measurement.name}"
        for measurements in measured.values()
        for measurement in measurements
        if not measurement.observations
    }
    assert failed == {name for name in NOT_RUN if name.partition(".")[0] in ALWAYS}


@pytest.mark.parametrize("library", [library for library in COUNTED if library in INSTALLED])
def test_the_survey_reaches_every_class_of_a_library(library: str, measured: Measured) -> None:
    """Base classes are not optimizers."""
    assert {measurement.name for measurement in measured[library]} == CLASSES[library].keys()
    assert classes(library).keys() - CLASSES[library].keys() <= {"BaseOptimizer", "MuonBase"}


@pytest.mark.skipif(not set(COUNTED) <= set(INSTALLED), reason="pytorch-optimizer is not installed")
def test_the_page_says_how_many_were_measured(measured: Measured) -> None:
    assert count(measured) in " ".join(PAGE.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("library", CLASSES)
def test_the_page_lists_what_the_table_says(library: str) -> None:
    section = _section(library)
    for name, facts in CLASSES[library].items():
        assert any(line.startswith(declared_cells(name, facts)) for line in section), name


@pytest.mark.parametrize("library", ALWAYS)
def test_the_page_lists_what_was_measured(library: str, measured: Measured) -> None:
    assert _section(library) == list(lines(library, measured[library]))


def _section(library: str) -> list[str]:
    after = PAGE.read_text(encoding="utf-8").partition(f"\n## {library}\n")[2].partition("\n## ")[0]
    return after.partition(COLUMNS)[2].strip().splitlines()
