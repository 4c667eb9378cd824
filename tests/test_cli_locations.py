"""The files and lines that SARIF, GitHub and GitLab get: of the cause, from the root of the repository."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app

NET = '''
import torch
from torch import nn


class Odd(nn.Module):
    """An odd module."""

    def __init__(self):
        super().__init__()
        self.strange = nn.Parameter(torch.zeros(3, 3, 3, 3, 3))


class Net(nn.Module):
    """A network."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.odd = Odd()


def one_group(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)
'''
RULES = """schema: 1
name: ours
extends: no-norm-no-bias
rules:
- {name: dead, when: {name: nothing}, decay: false}
"""
PYPROJECT = """
[[tool.decay-audit.audits]]
target = "models/net.py:Net"
optimizer = "models/net.py:one_group"
rules = "policy/ours.yaml"

[[tool.decay-audit.exceptions]]
code = "DA402"
reason = "it covers nothing"
"""
runner = CliRunner()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in (".git", "models", "policy", "below"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models/net.py").write_text(NET)
    (tmp_path / "policy/ours.yaml").write_text(RULES)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def results(*arguments: str) -> dict[str, tuple[str, int | None, str]]:
    """The file, the line and the fingerprint of each code."""
    (run,) = json.loads(runner.invoke(app, [*(arguments or ["check"]), "-f", "sarif", "-q"]).stdout)["runs"]
    found = {}
    for result in run["results"]:
        place = result["locations"][0].get("physicalLocation", {"artifactLocation": {"uri": ""}})
        line = place.get("region", {}).get("startLine")
        found[result["ruleId"]] = (
            place["artifactLocation"]["uri"],
            line,
            result["partialFingerprints"]["decayAudit/v1"],
        )
    return found


def line_of(text: str, words: str) -> int:
    return text[: text.index(words)].count("\n") + 1


@pytest.mark.parametrize("folder", ["", "below"])
def test_each_finding_points_at_its_cause_from_any_folder(
    repository: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / folder)
    expected = {
        "DA101": ("models/net.py", line_of(NET, "torch.optim.AdamW")),
        "DA501": ("models/net.py", line_of(NET, "torch.optim.AdamW")),
        "DA301": ("policy/ours.yaml", line_of(RULES, "- {name: dead")),
        "DA304": ("models/net.py", line_of(NET, "class Odd")),
        "DA704": ("pyproject.toml", line_of(PYPROJECT, "[[tool.decay-audit.exceptions]]")),
    }
    assert {code: place[:2] for code, place in results().items()} == expected
    annotations = runner.invoke(app, ["check", "-f", "github", "-q"]).stdout
    places = re.findall(r"file=([^,]+),line=(\d+),title=(DA\d+)", annotations)
    assert {code: (file, int(line)) for file, line, code in places} == expected


def test_an_optimizer_that_a_library_makes_is_located_where_the_repository_calls_it(repository: Path) -> None:
    (repository / "train.py").write_text(
        "import functools, torch\n\n\ndef make(model):\n    return functools.partial(\n"
        "        torch.optim.SGD, lr=0.1, weight_decay=0.1\n    )(model.parameters())\n"
    )
    found = results("check", "models/net.py:Net", "--optimizer", "train.py:make")
    assert found["DA101"][0] == "train.py"
    assert found["DA101"][1] in (5, 7)
    expression = "torch.optim:SGD(model.parameters(), lr=0.1, weight_decay=0.1)"
    typed = results("check", "models/net.py:Net", "--optimizer", expression)
    assert typed["DA101"][:2] == ("models/net.py", line_of(NET, "class Net")), "no line of the repository makes it"


def test_a_model_outside_of_the_repository_has_no_file(repository: Path) -> None:
    found = results("check", "torch.nn:LayerNorm(3)", "--optimizer", "torch.optim:AdamW(model.parameters())")
    assert {place[:2] for place in found.values()} == {("", None)}


def test_fingerprints_survive_an_edited_docstring(repository: Path) -> None:
    before = results()
    (repository / "models/net.py").write_text(
        NET.replace("An odd module.", "An odd module.\n\n    More.\n").replace("A network.", "Another.\n\n    Line.\n")
    )
    (repository / "policy/ours.yaml").write_text("# a comment\n" + RULES)
    after = results()
    assert {code: place[1] for code, place in before.items()} != {code: place[1] for code, place in after.items()}
    assert {code: place[2] for code, place in before.items()} == {code: place[2] for code, place in after.items()}
