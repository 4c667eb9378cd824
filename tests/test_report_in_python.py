"""A report in Python and in a notebook: what printing, a cell and the methods give."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import nn

import decay_audit
from decay_audit import reports
from decay_audit.api.functions.page_parts import page_parts


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(3)), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def failing(model: nn.Module) -> decay_audit.AuditReport:
    return decay_audit.audit(model, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1))


class _Cell(HTMLParser):
    """Checks that each element is closed in order, and collects their names and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.open.append(tag)
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_printing_shows_the_findings_and_without_any_the_table(
    model: nn.Module, failing: decay_audit.AuditReport
) -> None:
    assert str(failing) == reports.render_findings(failing)
    sound = decay_audit.audit(model, torch.optim.AdamW(decay_audit.param_groups(model, weight_decay=0.1), lr=1e-3))
    assert str(sound) == reports.render(sound)


def test_a_cell_folds_blocks_without_a_script(failing: decay_audit.AuditReport) -> None:
    cell = _Cell(failing._repr_html_())
    assert cell.names == {"div", "b", "details", "summary", "code", "span"}
    assert "{0-2}" in cell.text
    assert "DA101" in cell.text


def test_names_of_a_model_are_text_in_a_cell() -> None:
    model = nn.Module()
    model.register_parameter("<img src=x onerror=alert(1)>", nn.Parameter(torch.ones(2)))
    model.register_parameter("a\u202eb", nn.Parameter(torch.ones(2)))
    cell = _Cell(decay_audit.audit(model)._repr_html_())
    assert "img" not in cell.names
    assert "<img src=x onerror=alert(1)>" in cell.text
    assert "\u202e" not in cell.text


def test_the_values_that_python_shows_stay_short_however_large_the_model_is() -> None:
    report = decay_audit.audit(nn.Sequential(*(nn.Linear(2, 2) for _ in range(300))))
    for value in (report, report.plan, report.inventory, report.plan.ruleset):
        assert len(repr(value)) < 120


def test_the_dict_is_the_json_report(failing: decay_audit.AuditReport) -> None:
    assert failing.to_dict() == json.loads(reports.render(failing, "json"))
    assert failing.to_markdown() == reports.render(failing, "markdown")


def test_the_page_is_written_whole(failing: decay_audit.AuditReport, tmp_path: Path) -> None:
    failing.to_html(tmp_path / "decay.html")
    assert (tmp_path / "decay.html").read_text() == reports.render(
        failing, "html", reports.Options(page=page_parts(failing))
    )


def test_rows_have_a_row_for_each_parameter_with_numbers_as_numbers(failing: decay_audit.AuditReport) -> None:
    rows = failing.rows()
    assert [row["name"] for row in rows] == [decision.name for decision in failing.plan.decisions]
    assert {type(row["weight_decay"]) for row in rows} == {float}


def test_scalars_are_shares_and_counts_of_findings(failing: decay_audit.AuditReport) -> None:
    scalars = failing.scalars()
    assert scalars["decay/parameters"] == 4 / 14  # the matrices; 4 biases and 3 norms of two tensors are spared
    assert scalars["decay/elements"] == (3 * 16 + 8) / (3 * 28 + 10)
    assert scalars["decay/parameters/norm_weight"] == 0.0
    assert scalars["findings/error"] == 1.0


def test_the_pytest_fixture_fails_in_a_few_lines_that_show_the_test_and_the_findings(tmp_path: Path) -> None:
    (tmp_path / "test_decay.py").write_text(
        "import torch\n\n\ndef test_groups(decay_audit):\n    model = torch.nn.Sequential(torch.nn.Linear(2, 2))\n"
        "    decay_audit(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1))\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", "/dev/null"]
    plugin = [] if _is_installed() else ["-p", "decay_audit.integrations.pytest_plugin"]
    run = subprocess.run([*command, *plugin], cwd=tmp_path, capture_output=True, text=True, check=False)
    failure = run.stdout.partition("= FAILURES =")[2].partition("= short test summary")[0]
    assert "decay_audit(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1))" in failure
    assert "DA101" in failure
    assert len(failure.splitlines()) <= 20, failure


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return "decay_audit" in entry_points(group="pytest11").names
