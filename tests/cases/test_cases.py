"""Each broken script gives its finding, and its repair gives none."""

import importlib
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

from decay_audit import api
from decay_audit.checks.codes import Finding
from decay_audit.cli import app

CASES = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith(("_", "test_")))

OF_RULES = ("DA301", "DA302")
"""Findings about the preset's own rules: expected on models as small as these."""

pytestmark = pytest.mark.filterwarnings("ignore:FSDP is switching to use:UserWarning")


def _module(case: Path) -> ModuleType:
    return importlib.import_module(f"tests.cases.{case.stem}")


def _findings(case: Path, factory: str, folder: Path, *, measure: bool | None = None) -> tuple[Finding, ...]:
    request = api.Request(
        target=f"{case}:model",
        rules=_module(case).RULES,
        optimizer=f"{case}:{factory}",
        checkpoint=_saved(case, folder),
        measure=measure,
    )
    found = api.run(request).findings
    return tuple(finding for finding in found if finding.code not in OF_RULES)


def _saved(case: Path, folder: Path) -> str | None:
    """The file that a run with the case's `saved` optimizer leaves after one step; None where it has none."""
    if not hasattr(_module(case), "saved"):
        return None
    model = _module(case).model()
    optimizer = _module(case).saved(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    file = folder / "last.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    return str(file)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_bug_is_found(case: Path, tmp_path: Path) -> None:
    assert _module(case).CODE in [finding.code for finding in _findings(case, "broken", tmp_path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_repair_is_clean(case: Path, tmp_path: Path) -> None:
    assert [(finding.code, finding.message) for finding in _findings(case, "repaired", tmp_path)] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_measured_step_agrees_with_both(case: Path, tmp_path: Path) -> None:
    code = getattr(_module(case), "MEASURED", _module(case).CODE)
    assert code in [finding.code for finding in _findings(case, "broken", tmp_path, measure=True)]
    repaired = _findings(case, "repaired", tmp_path, measure=True)
    assert [(finding.code, finding.message) for finding in repaired] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_command_that_a_finding_offers_runs_and_mends_it(case: Path, tmp_path: Path) -> None:
    findings = _findings(case, "broken", tmp_path)
    commands = {finding.fix: finding.code for finding in findings if "decay-audit emit " in finding.fix}
    for command, code in commands.items():
        words = shlex.split(command.partition("decay-audit ")[2])
        result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "groups.py")])
        assert result.exit_code == 0, f"{command}: {result.stderr}"
        text = (tmp_path / "groups.py").read_text()
        if "make_optimizer" in text and case.stem not in text.partition("import")[2]:  # this process has it already
            request = api.Request(
                target=f"{case}:model", rules=_module(case).RULES, optimizer=f"{tmp_path / 'groups.py'}:make_optimizer"
            )
            assert code not in [finding.code for finding in api.run(request).findings]


def test_every_case_names_its_thread() -> None:
    for case in CASES:
        assert re.search(r"[\w.-]+#\d+", case.read_text(encoding="utf-8").splitlines()[0]), case.name
