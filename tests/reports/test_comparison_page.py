"""`diff` as a page: two columns, renames paired, the rule and the evidence of each side, names as text only."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.checks.lock.changes import ComparedSide, ModelComparison, compare
from decay_audit.checks.lock.entries import Entry
from decay_audit.cli import app
from decay_audit.reports.document.comparison_groups import change_groups

NETS = """
from torch import nn

EVIL = "<img src=x onerror=alert(1)>"


class Block(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        setattr(self, norm, nn.LayerNorm(8))


def before():
    return nn.Sequential(*[Block("norm1") for _ in range(12)], nn.Linear(8, 4))


def after():
    model = nn.Sequential(*[Block("ln1") for _ in range(12)], nn.Linear(8, 6))
    model.register_module(EVIL, nn.Embedding(3, 3))
    return model
"""


class Table(HTMLParser):
    """The texts of each row's cells, and the elements of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[list[str]]] = []
        self.elements: set[str] = set()
        self.in_data = False
        self.data = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.add(tag)
        self.in_data = tag == "script"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append([])

    def handle_endtag(self, tag: str) -> None:
        self.in_data = False

    def handle_data(self, data: str) -> None:
        if self.in_data:
            self.data += data
        elif self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1].append(data.strip())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page of two models, and the JSON of the same comparison."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "nets.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = CliRunner().invoke(app, ["diff", "nets.py:before", "nets.py:after", "-o", "d.html", "-o", "d.json"])
    assert ran.exit_code == 0, ran.output
    return (folder / "d.html").read_text(), (folder / "d.json").read_text()


def test_renamed_parameters_stand_beside_each_other(page: tuple[str, str]) -> None:
    renamed = next(row for row in Table(page[0]).rows if "renamed" in row[0])
    assert renamed[0][0] == "12 norm weights and 12 norm biases"
    assert (renamed[1][0], renamed[2][0]) == ("{0-11}.norm1.{weight,bias}", "{0-11}.ln1.{weight,bias}")
    assert (renamed[1][1], renamed[2][1]) == ("0.norm1.weight", "0.ln1.weight")


def test_a_cell_has_what_its_side_says_and_is_empty_if_the_side_has_no_such_parameter(page: tuple[str, str]) -> None:
    rows = {tuple(row[0][:2]): row for row in Table(page[0]).rows}
    assert [cell[0] for cell in rows["1 linear weight", "with another shape"][1:]] == ["4x8", "6x8"]
    added = rows["1 embedding", "added"]
    assert added[1] == ["-"]
    assert added[2][-1] == "weight_decay 1e-4 by rule embedding-tables"


def test_names_are_text_and_the_page_loads_and_runs_nothing(page: tuple[str, str]) -> None:
    table = Table(page[0])
    assert "<img src=x onerror=alert(1)>.weight" in str(table.rows)
    assert not table.elements & {"img", "link", "iframe"}
    assert "default-src 'none'; style-src 'unsafe-inline'\"" in page[0]  # no script may run
    assert re.findall(r"https?://", page[0]) == []


def test_the_page_has_the_json_of_the_comparison(page: tuple[str, str]) -> None:
    assert json.loads(Table(page[0]).data) == json.loads(page[1])


def test_a_spared_side_is_spared_whatever_else_is_decided_for_it() -> None:
    old = {"a": Entry(shape="4x4", role="linear_weight", weight_decay="0.05", rule="default")}
    new = {"a": Entry(shape="4x4", role="linear_weight", weight_decay="0", lr_scale="0.5", rule="heads")}
    before, after = (
        ComparedSide(label=label, entries=entries, ruleset="ours", ruleset_hash="0")
        for label, entries in (("old", old), ("new", new))
    )
    (group,) = change_groups(ModelComparison(before=before, after=after, changes=compare(old, new)))
    assert group.states == ("decays", "spared")


def test_rulesets_are_columns_with_the_rule_that_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    arguments = ["diff", "nets.py:before", "--rules", "timm", "--rules", "torchvision", "-f", "html"]
    head, *rows = Table(CliRunner().invoke(app, arguments).stdout).rows
    assert head == [["parameters"], ["timm"], ["torchvision"]]
    assert [row[0][0] for row in rows] == ["13 biases"]
    assert rows[0][1] == ["spared", "rule vectors (timm.yaml:13)"]
    assert rows[0][2][0] == "weight_decay 1e-5"


def test_two_models_that_are_decided_alike_have_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["diff", "nets.py:before", "nets.py:before", "-f", "html"]).stdout
    assert "no decision differs" in shown
    assert "<table" not in shown
