"""Each regression case gives its finding, and its repaired twin none at all."""

import re
from pathlib import Path

import pytest

from decay_audit import api
from decay_audit.findings import Finding

CASES = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith(("_", "test_")))

OF_RULES = ("DA301", "DA302")
"""What a preset says of its own rules on a model as small as these is beside the point."""


def _constant(case: Path, name: str) -> str:
    found = re.search(rf'^{name} = "(.+)"$', case.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def _findings(case: Path, factory: str, *, measure: bool = False) -> tuple[Finding, ...]:
    request = api.Request(
        target=f"{case}:model",
        rules=_constant(case, "RULES"),
        optimizer=f"{case}:{factory}",
        measure=measure,
    )
    found = api.report(api.load(request), request).findings
    return tuple(finding for finding in found if finding.code not in OF_RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_bug_is_found(case: Path) -> None:
    codes = [finding.code for finding in _findings(case, "broken")]
    assert _constant(case, "CODE") in codes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_repair_is_clean(case: Path) -> None:
    assert [(finding.code, finding.message) for finding in _findings(case, "repaired")] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_measured_step_agrees_with_both(case: Path) -> None:
    assert _constant(case, "CODE") in [finding.code for finding in _findings(case, "broken", measure=True)]
    assert [(finding.code, finding.message) for finding in _findings(case, "repaired", measure=True)] == []


def test_every_case_names_its_thread() -> None:
    for case in CASES:
        assert re.search(r"[\w.-]+#\d+", case.read_text(encoding="utf-8").splitlines()[0]), case.name
