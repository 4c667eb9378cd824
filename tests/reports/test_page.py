"""The page of HTML: it carries the report, names in it are data, and it needs no network."""

import base64
import gzip
import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from decay_audit import api, reports
from decay_audit.api import Request
from decay_audit.cli.main import app
from decay_audit.model.choices import Format
from decay_audit.reports.folding.patterns import spell_numbers
from decay_audit.reports.formats import html
from decay_audit.reports.report import Report
from tests.checkpoint.write_forms import save_safetensors

VENDORED = Path(html.__file__).parent / "vendor"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

ATTACKS = {
    "<img src=x onerror=alert(1)>.weight": torch.ones(4),
    "a</script><script>alert(2)</script>.weight": torch.ones(4, 4),
    "{{ 7 * 7 }}.bias": torch.ones(3),
    "\"'onload=alert(3) .weight": torch.ones(2, 2),
    "__proto__.weight": torch.ones(2, 2),
    "constructor.bias": torch.ones(2),
    "&lt;b&gt;.weight": torch.ones(2, 2),
    "x\u202ey.bias": torch.ones(3),
    "x\x1b[31m.bias": torch.ones(2),
}

MODEL = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 8)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(8, 2)
"""
AUDIT = ["check", "net.py", "--optimizer", "net.py:torch.optim.AdamW(model.parameters(), weight_decay=0.1)"]


class _Elements(HTMLParser):
    """Collects the elements of a page, the text of its scripts, and its other text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.texts: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = (dict(attrs).get("id") or tag) if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data
        else:
            self.texts.append(data)


@pytest.fixture
def attacked(tmp_path: Path) -> Report:
    save_safetensors(ATTACKS, tmp_path / "net.safetensors")
    return api.run(Request(target=str(tmp_path / "net.safetensors")))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _audit(arguments: Sequence[str]) -> None:
    assert CliRunner().invoke(app, [*arguments]).exit_code in (0, 1)


def test_the_page_carries_the_json_report(attacked: Report) -> None:
    page = _Elements(reports.render(attacked, Format.HTML))
    assert json.loads(page.scripts["report"]) == [json.loads(reports.render(attacked, Format.JSON))]


def test_names_of_a_model_add_no_element_to_the_page(attacked: Report) -> None:
    page = _Elements(reports.render(attacked, Format.HTML))
    assert "img" not in {tag for tag, _ in page.elements}
    assert sum(tag == "script" for tag, _ in page.elements) == 5  # report, extras, two libraries, the page's own
    assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
    assert "<img src=x onerror=alert(1)>.weight" in "".join(page.texts)  # shown as text


def test_names_reach_the_page_without_characters_that_reorder_or_hide_text(attacked: Report) -> None:
    assert not re.search("[\u202e\x1b]", reports.render(attacked, Format.HTML))


def test_the_page_asks_for_nothing_from_a_network(attacked: Report) -> None:
    page = _Elements(reports.render(attacked, Format.HTML))
    assert not [tag for tag, attributes in page.elements if {"src", "href", "srcset"} & attributes.keys()]
    policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "@import" not in page.scripts["style"]


def test_a_large_report_is_compressed_and_comes_back_whole(attacked: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("decay_audit.reports.formats.html.environment"), "_LONGEST_PLAIN_DATA", 100)
    page = _Elements(reports.render(attacked, Format.HTML))
    unpacked = gzip.decompress(base64.b64decode(page.scripts["report"]))
    assert json.loads(unpacked) == [json.loads(reports.render(attacked, Format.JSON))]


def test_each_library_in_the_page_is_the_published_file_and_has_its_licence() -> None:
    libraries: list[dict[str, Any]] = json.loads((VENDORED / "vendored.json").read_text())
    listed = {"vendored.json"}
    for library in libraries:
        assert library["licence"] in ("MIT", "ISC")
        assert (VENDORED / library["licence_file"]).stat().st_size > 500
        for name, digest in library["files"].items():
            content = (VENDORED / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, name
            assert name.endswith(".css") or library["version"].encode() in content[:200], name
        listed |= {library["licence_file"], *library["files"]}
    assert {path.name for path in VENDORED.iterdir()} == listed


def test_the_suffix_html_gives_a_page_with_code_that_was_proven(project: Path) -> None:
    _audit([*AUDIT, "-o", "decay.html"])
    page = (project / "decay.html").read_text()
    assert "def param_groups(" in page
    assert "DA101" in page


def test_audits_of_one_run_share_a_page(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        "[[tool.decay-audit.audits]]\ntarget = 'net.py'\n"
        "[[tool.decay-audit.audits]]\ntarget = 'net.py'\nrules = 'timm'\n"
    )
    _audit(["check", "-o", "decay.html"])
    page = _Elements((project / "decay.html").read_text())
    assert [report["ruleset"]["name"] for report in json.loads(page.scripts["report"])] == ["no-norm-no-bias", "timm"]


def test_a_page_of_broken_audits_alone_says_why_and_draws_nothing(project: Path) -> None:
    (project / "pyproject.toml").write_text("[[tool.decay-audit.audits]]\ntarget = 'gone<b>.py'\n")
    CliRunner().invoke(app, ["check", "-o", "decay.html"])
    document = (project / "decay.html").read_text()
    page = _Elements(document)
    assert any("could not be run: no such file: gone<b>.py" in text for text in page.texts)
    assert "b" not in {tag for tag, _ in page.elements}
    assert "d3.treemap" not in document  # the script that draws is left out


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_page_spells_numbers_of_blocks_as_the_tables_do() -> None:
    script = (Path(html.__file__).parent / "templates/page.js").read_text()
    functions = script[script.index("function spellNumbers") : script.index("function measure(")]
    draw = random.Random(0).sample
    samples = [[0], [3, 4], range(3), range(3, 400, 4), range(0, 97, 2), [n for n in range(400) if n % 4 != 3]]
    samples += [sorted(draw(range(size), count)) for size in (6, 12, 40) for count in (2, 3, 5) for _ in range(20)]
    command = f"{functions}; console.log(JSON.stringify({json.dumps([*map(list, samples)])}.map(spellNumbers)))"
    result = subprocess.run(["node", "-e", command], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [*map(spell_numbers, samples)]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
class TestInABrowser:
    """The page as Chromium draws it; its address says which view is shown."""

    @staticmethod
    def draw(page: Path, view: str = "") -> _Elements:
        assert CHROMIUM
        flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
        command = [CHROMIUM, *flags.split(), f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=8000"]
        drawn = subprocess.run(
            [*command, "--window-size=1400,1000", "--dump-dom", f"file://{page}#{view}"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        return _Elements(drawn.stdout)

    @staticmethod
    def rows(page: _Elements) -> int:
        return sum("tabulator-row" in (attributes.get("class") or "").split() for _, attributes in page.elements)

    @staticmethod
    def cells(page: _Elements) -> list[str]:
        labels = (attributes.get("aria-label") for _, attributes in page.elements if attributes.get("role") == "button")
        return [label for label in labels if label]

    def test_blocks_are_folded_in_the_map_and_in_the_table(self, project: Path) -> None:
        _audit([*AUDIT, "-o", "decay.html"])
        page = self.draw(project / "decay.html", "diff=0")
        assert any(label.startswith("blocks.{0-2}") for label in self.cells(page))
        assert "blocks.{0-2}" in page.texts

    def test_the_address_filters_by_search(self, project: Path) -> None:
        _audit([*AUDIT, "-o", "decay.html"])
        page = self.draw(project / "decay.html", "diff=0&q=head+bias")
        assert "1 of 14 parameters" in page.texts
        assert self.cells(page) == ["head.bias: 1 parameter, 2 elements: 1 differs"]

    def test_only_differences_are_shown_first(self, project: Path) -> None:
        _audit([*AUDIT, "-o", "decay.html"])
        assert "10 of 14 parameters" in self.draw(project / "decay.html").texts  # biases and norms

    def test_another_ruleset_recolours_the_map(self, project: Path) -> None:
        _audit(["inspect", "net.py", "-o", "decay.html"])
        page = self.draw(project / "decay.html", "preset=torch-default")  # it decays everything
        assert any(label.endswith("10 differs, 4 decays") for label in self.cells(page)) or any(
            "10 differs, 4 decays" in text for text in page.texts
        )

    def test_a_parameter_opens_with_its_evidence_and_rules(self, project: Path) -> None:
        _audit([*AUDIT, "-o", "decay.html"])
        page = self.draw(project / "decay.html", "open=blocks.1.norm.weight")
        assert "owner: torch.nn.LayerNorm" in page.texts
        assert "yes: decides" in page.texts

    def test_names_that_attack_html_stay_text_in_every_view(self, tmp_path: Path, attacked: Report) -> None:
        page = tmp_path / "decay.html"
        page.write_text(reports.render(attacked, Format.HTML))
        for view in ("", "open=a%3C/script%3E%3Cscript%3Ealert(2)%3C/script%3E.weight", "q=%3Cimg"):
            drawn = self.draw(page, view)
            assert "img" not in {tag for tag, _ in drawn.elements}
            assert sum(tag == "script" for tag, _ in drawn.elements) == 5
            assert not [attributes for _, attributes in drawn.elements if "onerror" in attributes]
            assert any("<img src=x onerror=alert(1)>.weight" in text for text in drawn.texts)
