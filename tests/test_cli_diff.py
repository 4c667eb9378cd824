"""`decay-audit diff` of two targets, of a lock and a target, and of git revisions."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from decay_audit import reports
from decay_audit.cli import app
from tests.test_cli_lock import NET, OURS, RULES, WITH_OPTIMIZER

runner = CliRunner()


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "ours.yaml").write_text(RULES)
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    git("init", "--quiet", "--initial-branch=main")
    git("add", "-A")
    git("commit", "--quiet", "-m", "one")
    return tmp_path


def test_a_revision_is_compared_with_the_files_of_now_and_the_reasons_are_said(repository: Path) -> None:
    (repository / "net.py").write_text(NET.replace("self.norm1", "self.ln1"))
    result = runner.invoke(app, ["diff", "net.py:Net", "--from", "main", *WITH_OPTIMIZER])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "net.py:Net at main -> net.py:Net   6 -> 6 parameters   ruleset ours",
        "",
        "  1 norm weight renamed, decided differently and treated differently by the optimizer",
        "    before  spared by rule norms, spared in AdamW, norm weight (owner: torch.nn.LayerNorm)",
        "    after   weight_decay 0.05 by the default, weight_decay 0.05 in AdamW, "
        "norm weight (owner: torch.nn.LayerNorm)",
        "    norm1.weight -> ln1.weight",
        "",
        "  1 norm bias renamed and decided by another rule",
        "    before  spared by rule norms, norm bias (owner: torch.nn.LayerNorm)",
        "    after   spared by rule biases, norm bias (owner: torch.nn.LayerNorm)",
        "    norm1.bias -> ln1.bias",
    ]
    assert git("worktree", "list").count("\n") == 1
    assert git("status", "--short") == " M net.py\n"


def test_two_revisions_are_compared_from_a_folder_that_the_first_does_not_have(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "more").mkdir()
    (repository / "more" / "other.py").write_text(NET)
    (repository / "net.py").write_text(NET.replace("nn.Linear(4, 2)", "nn.Linear(4, 3)"))
    git("add", "-A")
    git("commit", "--quiet", "-m", "two")
    (repository / "net.py").write_text("nothing")
    monkeypatch.chdir(repository / "more")
    result = runner.invoke(app, ["diff", "../net.py:Net", "--from", "main~1", "--to", "main", "--exit-code"])
    assert result.exit_code == 1
    assert "1 linear weight with another shape\n    before  2x4\n    after   3x4\n    head.weight\n" in result.stdout
    missing = runner.invoke(app, ["diff", "other.py:Net", "--from", "main~1"])
    assert (missing.exit_code, "at main~1: no such file: other.py" in missing.stderr) == (2, True)


SETTINGS = "[tool.decay-audit]\nrules = 'ours.yaml'\n"


def test_the_ruleset_of_the_settings_decides_both_sides(repository: Path) -> None:
    (repository / "pyproject.toml").write_text(SETTINGS)
    git("add", "-A")
    git("commit", "--quiet", "-m", "two")
    (repository / "net.py").write_text(NET.replace("self.norm1", "self.ln1"))
    text = runner.invoke(app, ["diff", "net.py:Net", "--from", "main"]).stdout
    assert "1 norm weight renamed and decided differently\n    before  spared by rule norms" in text
    assert text.splitlines()[0].endswith("   ruleset ours")


@pytest.mark.parametrize(
    ("settings", "rules", "rulesets", "name", "coefficients"),
    [
        (f"{SETTINGS}weight-decay = 0.3\n", RULES, "ruleset ours", "fc.weight", ("0.05", "0.3")),
        ("", RULES, "ruleset ours -> no-norm-no-bias", "fc.weight", ("0.05", "1e-4")),
        (SETTINGS, RULES.replace("*norm*", "*nrm*"), "ruleset ours, which changed", "norm1.weight", ("0", "0.05")),
    ],
    ids=["the coefficient is new", "the settings are gone", "the ruleset was edited"],
)
def test_each_side_is_decided_by_its_own_settings(
    repository: Path, settings: str, rules: str, rulesets: str, name: str, coefficients: tuple[str, str]
) -> None:
    (repository / "pyproject.toml").write_text(SETTINGS)
    git("add", "-A")
    git("commit", "--quiet", "-m", "settings")
    (repository / "pyproject.toml").write_text(settings)
    (repository / "ours.yaml").write_text(rules)
    result = runner.invoke(app, ["diff", "net.py:Net", "--from", "main", "-o", "-", "-o", "changes.json"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].endswith(f"   {rulesets}")
    changes = {change["name"]: change for change in json.loads((repository / "changes.json").read_text())["changed"]}
    sides = (changes[name]["before"], changes[name]["after"])
    assert tuple(side["weight_decay"] for side in sides) == coefficients


def test_two_targets_and_a_lock_are_compared(repository: Path) -> None:
    (repository / "wide.py").write_text(
        NET.replace("self.fc =", "self.scale = nn.Parameter(torch.ones(())); self.fc =")
    )
    runner.invoke(app, ["lock", "net.py:Net", *OURS])
    for before in ("net.py:Net", "decay.lock"):
        result = runner.invoke(app, ["diff", before, "wide.py:Net", *OURS, "--exit-code"])
        assert (
            result.exit_code,
            "  1 scale added: weight_decay 0.05 by the default\n    scale\n" in result.stdout,
        ) == (1, True)
        same = runner.invoke(app, ["diff", before, "net.py:Net", *OURS, "--exit-code"])
        assert (same.exit_code, "no decision differs" in same.stdout) == (0, True)


def test_two_checkpoints_are_compared(repository: Path) -> None:
    script = "import torch, net; n = net.Net(); torch.save(n.state_dict(), 'a.pt'); n.head = torch.nn.Linear(4, 9)"
    subprocess.run(["python", "-c", f"{script}; torch.save(n.state_dict(), 'b.pt')"], check=True)
    result = runner.invoke(app, ["diff", "a.pt", "b.pt"])
    assert (result.exit_code, "before  2x4\n    after   9x4" in result.stdout) == (0, True)


def test_the_json_has_both_sides_with_their_evidence(repository: Path) -> None:
    (repository / "wide.py").write_text(NET.replace("nn.LayerNorm(4)", "nn.Linear(4, 1)"))
    document = json.loads(runner.invoke(app, ["diff", "net.py:Net", "wide.py:Net", "-f", "json"]).stdout)
    changed = {change["name"]: change for change in document["changed"]}
    assert document["schema_version"] == 2
    assert changed["norm1.weight"]["before"]["evidence"] == "owner: torch.nn.LayerNorm"
    assert changed["norm1.weight"]["after"]["role"] == "linear_weight"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.py:Net"], "diff needs something to compare with"),
        (["net.py:Net", "net.py:Net", "--from", "main"], "one thing at a time, not OTHER and --from"),
        (["net.py:Net", "--to", "main"], "--to needs --from"),
        (["net.py:Net", "--from", "nowhere"], "no such revision: nowhere"),
        (["net.py:Net", "--from=--all"], "no such revision: --all"),
        (["net.py:Nett", "--from", "main"], "at main: "),
    ],
)
def test_what_cannot_be_compared_is_said_with_a_way_out(repository: Path, arguments: list[str], message: str) -> None:
    result = runner.invoke(app, ["diff", *arguments])
    assert (result.exit_code, message in result.stderr) == (2, True)
    assert "hint: " in result.stderr
    assert git("worktree", "list").count("\n") == 1


def test_outside_of_a_repository_a_revision_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    result = runner.invoke(app, ["diff", "torch.nn:Linear(2, 2)", "--from", "main"])
    assert (result.exit_code, "not a git repository" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "net.py:Net", "wide.py:Net"],
        ["diff", "net.py:Net", "-r", "timm", "-r", "no-bias"],
        ["rules", "which", "net.py:Net", "--optimizer", "torch.optim:AdamW(model.parameters())"],
        ["diff", "gone.py", "net.py:Net"],
        ["rules", "which", "gone.py"],
    ],
    ids=["models", "rulesets", "which", "an error of diff", "an error of which"],
)
def test_the_json_of_comparisons_has_its_version_and_is_in_the_schema(repository: Path, arguments: list[str]) -> None:
    (repository / "wide.py").write_text(NET.replace("nn.LayerNorm(4)", "nn.Linear(4, 1)") + "\nextra = 1\n")
    document = json.loads(runner.invoke(app, [*arguments, "-f", "json"]).stdout)
    assert document["schema_version"] == 2
    jsonschema.validate(document, reports.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "schema_version": 1}, reports.schema())


def test_the_format_of_a_comparison_follows_the_suffix(repository: Path) -> None:
    diff = ["diff", "net.py:Net", "-r", "timm", "-r", "no-bias"]
    assert runner.invoke(app, [*diff, "-o", "d.json", "-o", "d.txt"]).exit_code == 0
    assert json.loads((repository / "d.json").read_text())["rulesets"] == ["timm", "no-bias"]
    assert (repository / "d.txt").read_text() == runner.invoke(app, diff).stdout
    refused = runner.invoke(app, [*diff, "-o", "d.csv"])
    assert (refused.exit_code, "a comparison comes as text, JSON or HTML, not as csv" in refused.stderr) == (2, True)
