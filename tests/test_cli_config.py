"""`[tool.decay-audit]`: the defaults and the audits of pyproject.toml."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import torch
from typer.testing import CliRunner

from decay_audit import reports
from decay_audit.cli import app, config
from tests.test_cli import DECAYED, MODEL, process

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pyproject_holds_defaults_which_the_command_line_beats(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.decay-audit]\nrules = 'torch-default'\nweight-decay = 0.3\n")
    configured = json.loads(runner.invoke(app, ["inspect", "net.py", "-f", "json"]).stdout)
    assert (configured["ruleset"]["name"], configured["ruleset"]["weight_decay"]) == ("torch-default", 0.3)
    overridden = json.loads(runner.invoke(app, ["inspect", "net.py", "-f", "json", "--rules", "no-bias"]).stdout)
    assert (overridden["ruleset"]["name"], overridden["ruleset"]["weight_decay"]) == ("no-bias", 0.3)


def test_a_plain_check_runs_the_audits_of_pyproject_from_any_folder_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(
        "[tool.decay-audit]\nrules = 'no-norm-no-bias'\n"
        "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:good'\n"
        "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\nignore = ['DA5']\n"
    )
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    result = runner.invoke(app, ["check"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-3:] == [
        "ok   net.py:Net (optimizer net.py:good)  no findings in 4 parameters",
        "FAIL net.py:Net (optimizer net.py:bad)   1 error in 4 parameters",
        "2 audits: 1 ok, 1 failed",
    ]
    assert result.stdout.splitlines()[:2] == ["net.py:Net (optimizer net.py:bad)", DECAYED]


def test_the_fix_of_an_audit_can_be_pasted_in_the_folder_below_that_it_ran_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "house.yaml").write_text("schema: 1\nname: house\nextends: timm\nrules: []\n")
    (folder / "pyproject.toml").write_text(
        "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\nrules = 'house.yaml'\noptimizer = 'net.py:bad'\n"
    )
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    text = runner.invoke(app, ["check"]).stdout
    fix = next(line for line in text.splitlines() if "fix: decay-audit emit" in line).partition("decay-audit ")[2]
    assert fix.startswith("emit ../net.py:Net --rules ../house.yaml ")
    assert runner.invoke(app, shlex.split(fix)).exit_code == 0


def test_every_mistake_in_the_table_is_said_at_once_with_its_line_and_the_way_out(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        "[project]\nname = 'x'\n\n[tool.decay-audit]\nweigth-decay = 0.3\nweight-decay = -1\nselect = ['DA1', 3]\n"
        "[[tool.decay-audit.audits]]\ntargett = 'net.py'\nfail-on = 'eror'\n[tool.other]\nrules = 3\n"
        "[[tool.decay-audit.audits]]\ntarget = 'net.py'\nmeasure = 'yes'\nweight-decay = inf\n"
    )
    result = runner.invoke(app, ["inspect", "net.py"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "error: pyproject.toml:5: unknown key `weigth-decay` in [tool.decay-audit]; did you mean `weight-decay`?",
        "pyproject.toml:6: `weight-decay` is `-1`; it must not be negative",
        "pyproject.toml:7: an entry of `select` is `3`; it must be text",
        "pyproject.toml:8: an audit needs a `target`, or a script to `run`",
        "pyproject.toml:9: unknown key `targett` in an entry of `audits`; did you mean `target`?",
        "pyproject.toml:10: `fail-on`: `eror` is not allowed; did you mean `error`?",
        "pyproject.toml:15: `measure` is `yes`; it must be true or false",
        "pyproject.toml:16: `weight-decay` is `inf`, not a finite number",
        "hint: the keys are options of `decay-audit check` without the dashes; "
        "an audit also needs a `target`, or a `run`",
    ]


def test_an_inline_table_and_a_quoted_key_are_found_in_their_lines(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        "[tool.'decay-audit']\n'devise' = 'cpu'\naudits = [\n  {target = 'net.py', trace = 3},\n]\n"
    )
    lines = runner.invoke(app, ["inspect", "net.py"]).stderr.splitlines()
    assert lines[0] == "error: pyproject.toml:2: unknown key `devise` in [tool.decay-audit]; did you mean `device`?"
    assert lines[1] == "pyproject.toml:3: `trace` is `3`; it must be text"


def test_audits_of_one_target_are_told_apart_by_their_names_or_by_what_differs(folder: Path) -> None:
    audit = "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\n"
    (folder / "pyproject.toml").write_text(
        f"{audit}rules = 'timm'\nweight-decay = 0.1\n{audit}rules = 'no-bias'\n{audit}name = 'house rules'\n"
        "[[tool.decay-audit.audits]]\ntarget = 'torch.nn:Linear(2, 3)'\nrules = 'timm'\n"
    )
    result = runner.invoke(app, ["check", "-f", "json"])
    titles = [
        "net.py:Net (rules timm, weight_decay 0.1)",
        "net.py:Net (rules no-bias)",
        "net.py:Net (house rules)",
        "torch.nn:Linear(2, 3)",
    ]
    verdicts = result.stderr.splitlines()[-5:-1]
    assert [line.removeprefix("ok ").partition("  ")[0] for line in verdicts] == titles
    assert [report["target"] for report in json.loads(result.stdout)] == titles


def test_audits_of_pyproject_are_a_list_in_json_even_when_there_is_one(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[[tool.decay-audit.audits]]\ntarget = 'net.py'\n")
    (configured,) = json.loads(runner.invoke(app, ["check", "-f", "json"]).stdout)
    assert configured == json.loads(runner.invoke(app, ["check", "net.py", "-f", "json"]).stdout)


def test_names_of_files_count_from_the_folder_of_pyproject(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "house.yaml").write_text("schema: 1\nname: house\nextends: no-bias\n")
    (folder / "pyproject.toml").write_text("[tool.decay-audit]\nrules = 'house.yaml'\nselect = ['DA1,DA4', 'DA5']\n")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert "ruleset house" in runner.invoke(app, ["inspect", "../net.py"]).stdout
    assert runner.invoke(app, ["check", "../net.py", "--optimizer", "../net.py:bad"]).exit_code == 1


def test_an_audit_of_pyproject_has_its_own_verdict(folder: Path) -> None:
    audit = "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\n"
    for key, code in (("ignore = ['DA1']\n", 0), ("fail-on = 'error'\n", 1)):
        (folder / "pyproject.toml").write_text(audit + key)
        assert runner.invoke(app, ["check"]).exit_code == code


def test_an_option_on_the_command_line_beats_the_same_one_of_an_audit(folder: Path) -> None:
    audit = "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\nrules = 'torch-default'\n"
    (folder / "pyproject.toml").write_text(f"{audit}ignore = ['DA3']\n")
    assert runner.invoke(app, ["check"]).exit_code == 0
    assert runner.invoke(app, ["check", "--rules", "no-norm-no-bias"]).exit_code == 1


def test_defaults_reach_every_command_that_has_the_option(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.'decay-audit']\nrules = 'timm'\noptimizer = 'net.py:bad'\n")
    assert runner.invoke(app, ["rules", "which", "net.py"]).stdout.startswith(
        "these presets decide exactly as the optimizer does"
    )
    compared = runner.invoke(app, ["diff", "net.py", "-r", "no-bias", "-r", "torch-default", "-f", "json"])
    assert json.loads(compared.stdout)["rulesets"] == ["no-bias", "torch-default"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[tool]\ndecay-audit = 3\n", 2),
        ("tool = 3  # decay-audit\n", 0),
        ("[tool.decay-audit]\naudits = 3\n", 2),
        ("[tool.decay-audit\n", 2),
        ("[project]\ndependencies = ['decay-audit']\n", 0),
    ],
)
def test_no_pyproject_is_taken_for_a_bug_of_ours(folder: Path, text: str, code: int) -> None:
    (folder / "pyproject.toml").write_text(text)
    assert runner.invoke(app, ["rules", "list"]).exit_code == code


BROKEN = (
    "[[tool.decay-audit.audits]]\ntarget = 'gone.py'\nname = 'gone'\n"
    "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\nname = 'one group'\n"
    "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:good'\n"
    "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\nrules = 'missing.yaml'\n"
)


def test_a_broken_audit_hides_no_other_and_the_worst_code_wins(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(BROKEN)
    result = runner.invoke(app, ["check"])
    assert result.exit_code == 2
    assert DECAYED in result.stdout
    lines = result.stderr.splitlines()
    assert "error: gone.py (gone): no such file: gone.py" in lines
    assert any(line.startswith("error: net.py:Net (rules missing.yaml): ") for line in lines)
    verdicts = [(line.split()[0], line.split()[1]) for line in lines[-5:-1]]
    assert verdicts == [("ERROR", "gone.py"), ("FAIL", "net.py:Net"), ("ok", "net.py:Net"), ("ERROR", "net.py:Net")]
    assert lines[-1] == "4 audits: 1 ok, 1 failed, 2 could not be run"
    assert runner.invoke(app, ["check", "--exit-zero"]).exit_code == 2


def test_an_audit_that_could_not_be_run_is_named_in_every_document_of_ci(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary"))
    (folder / "pyproject.toml").write_text(BROKEN)
    names = ["x.sarif", "x.xml", "x.md", "x.gitlab.json", "x.csv", "x.html"]
    words = [word for name in names for word in ("-o", name)]
    result = runner.invoke(app, ["check", "-f", "github", "-o", "-", *words])
    assert result.exit_code == 2
    assert "::error title=gone.py (gone) could not be run::no such file: gone.py%0Ahint: " in result.stdout
    texts = {name: (folder / name).read_text() for name in [*names, "summary"]}
    broken, *_ = json.loads(texts["x.sarif"])["runs"]
    assert broken["invocations"][0]["executionSuccessful"] is False
    assert broken["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].startswith("no such file")
    suites = ElementTree.fromstring(texts["x.xml"])
    assert [suite.get("errors") for suite in suites] == ["1", "0", "0", "1"]
    assert next(error.get("message") for error in suites.iter("error")) == "no such file: gone.py"
    assert (
        "### gone.py (gone)\n\n**could not be run**: no such file: gone.py  \nhint: the current folder has net.py\n"
        in texts["x.md"]
    )
    assert texts["summary"] == texts["x.md"]
    assert json.loads(texts["x.gitlab.json"])[0]["description"].startswith("gone.py (gone) could not be run: no such")
    assert [line.partition(",")[0] for line in texts["x.csv"].splitlines()[:2]] == ["name", "fc.weight"]
    assert ">gone.py (gone)</span> could not be run: no such file: gone.py" in texts["x.html"]


@pytest.mark.parametrize(
    ("names", "code"), [(["one group"], 1), (["net.py:Net"], 2), (["gone"], 2), (["one group", "gone"], 2)]
)
def test_an_audit_is_chosen_by_its_name_or_its_target(folder: Path, names: list[str], code: int) -> None:
    (folder / "pyproject.toml").write_text(BROKEN)
    options = [word for name in names for word in ("--audit", name)]
    assert runner.invoke(app, ["check", *options]).exit_code == code


def test_an_audit_that_is_not_there_is_an_error_that_names_the_others(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(BROKEN)
    result = runner.invoke(app, ["check", "--audit", "one grop"])
    assert result.exit_code == 2
    assert "did you mean `one group`? audits: gone, one group, " in result.stderr


def test_audits_of_one_target_build_it_once(folder: Path) -> None:
    (folder / "counted.py").write_text(f"{MODEL}\n\n\ndef net():\n    print('built')\n    return Net()\n")
    audit = "[[tool.decay-audit.audits]]\ntarget = 'counted.py:net'\n"
    (folder / "pyproject.toml").write_text("".join(f"{audit}weight-decay = 0.{number}\n" for number in range(10)))
    result = process("check")
    assert (result.returncode, result.stderr.count("built")) == (0, 1)
    assert "10 audits: 10 ok" in result.stderr


def test_a_check_without_an_optimizer_says_so_and_one_with_it_does_not(folder: Path) -> None:
    ruleset_alone = runner.invoke(app, ["check", "net.py:Net"]).stderr
    assert ruleset_alone == "ok net.py:Net  no findings in 4 parameters; only the ruleset was checked, no optimizer\n"
    compared = runner.invoke(app, ["check", "net.py:Net", "--optimizer", "net.py:bad"]).stderr
    assert compared == "FAIL net.py:Net  1 error in 4 parameters\n"


def test_each_output_has_the_format_of_its_suffix_and_the_model_is_built_once(folder: Path) -> None:
    (folder / "counted.py").write_text(f"{MODEL}\n\ndef net():\n    print('built')\n    return Net()\n")
    names = ["-", "out.json", "out.sarif", "out.md", "out.csv", "out.xml", "out.gitlab.json", "out.txt"]
    result = process(
        "check", "counted.py:net", *(word for name in names for word in ("-o", name)), "--optimizer", "counted.py:bad"
    )
    assert (result.returncode, result.stderr.count("built")) == (1, 1)
    assert result.stdout.startswith(DECAYED)
    texts = {name: (folder / name).read_text() for name in names[1:]}
    assert texts["out.txt"] == result.stdout
    assert json.loads(texts["out.json"])["findings"][0]["code"] == "DA101"
    assert json.loads(texts["out.sarif"])["version"] == "2.1.0"
    assert json.loads(texts["out.gitlab.json"])[0]["check_name"] == "DA101"
    assert texts["out.md"].startswith("### counted.py:net")
    assert texts["out.csv"].startswith("name,")
    assert texts["out.xml"].startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-f", "csv", "-o", "out.json"], 2),
        (["-f", "json", "-o", "out.md"], 2),
        (["-f", "sarif", "-o", "out.json"], 0),
        (["-f", "csv", "-o", "out.data"], 0),
    ],
)
def test_a_suffix_that_contradicts_the_format_is_an_error_before_anything_is_read(
    folder: Path, options: list[str], code: int
) -> None:
    result = runner.invoke(app, ["inspect", "net.py:Net" if code == 0 else "missing.py", *options])
    assert result.exit_code == code
    assert code == 0 or "by its suffix, and --format says" in result.stderr


@pytest.mark.parametrize(("output", "code"), [("x.foo", 2), ("x.yaml", 2), ("x.txt", 0), ("x", 0), ("x.SARIF", 0)])
def test_a_suffix_of_no_format_is_an_error_that_names_the_suffixes(folder: Path, output: str, code: int) -> None:
    result = runner.invoke(app, ["inspect", "net.py:Net", "-o", output])
    assert (result.exit_code, (folder / output).exists()) == (code, code == 0)
    assert code == 0 or ".gitlab.json, .json, .sarif" in result.stderr


def test_github_annotations_come_with_the_summary_of_the_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = folder / "summary"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    check = ["check", "net.py:Net", "--optimizer", "net.py:bad"]
    runner.invoke(app, check)
    assert summary.read_text() == "before\n"
    assert runner.invoke(app, [*check, "-f", "github"]).stdout.startswith("::error file=net.py,line=19,title=DA101")
    assert summary.read_text().startswith("before\n### net.py:Net\n")


def test_in_json_an_error_is_a_document_too(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(BROKEN)
    documents = json.loads(runner.invoke(app, ["check", "-f", "json"]).stdout)
    jsonschema.validate(documents, reports.schema())
    assert [document["error"]["message"] if "error" in document else "" for document in documents][0::3] == [
        "no such file: gone.py",
        documents[3]["error"]["message"],
    ]
    for verb in ("check", "inspect"):
        alone = runner.invoke(app, [verb, "gone.py", "-f", "json"])
        assert (alone.exit_code, json.loads(alone.stdout)["error"]["message"]) == (2, "no such file: gone.py")
        assert "error: no such file: gone.py" in alone.stderr


def test_the_settings_are_shown_with_where_they_come_from_and_nothing_is_checked(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        "[tool.decay-audit]\nrules = 'timm'\nfail-on = 'note'\n"
        "[[tool.decay-audit.audits]]\ntarget = 'gone.py'\nweight-decay = 0.05\nselect = ['DA1', 'DA2']\n"
    )
    result = runner.invoke(app, ["check", "--show-settings", "--fail-on", "error"])
    assert result.exit_code == 0
    title, *rows = result.stdout.splitlines()
    assert title == "gone.py"
    cells = (re.split(r" {2,}", row.strip()) for row in rows)
    shown = {name: (value, origin) for name, value, origin in cells}
    assert shown["rules"] == ("timm", "[tool.decay-audit]")
    assert shown["weight-decay"] == ("0.05", "[[tool.decay-audit.audits]]")
    assert shown["select"] == ("DA1, DA2", "[[tool.decay-audit.audits]]")
    assert shown["fail-on"] == ("error", "command line")
    assert shown["device"] == ("auto", "default")


def test_the_schema_of_the_table_is_printed() -> None:
    assert json.loads(runner.invoke(app, ["config"]).stdout) == json.loads(json.dumps(config.schema()))


def test_a_default_optimizer_or_trace_is_not_for_checkpoints_without_a_model(folder: Path) -> None:
    torch.save({"a.weight": torch.zeros(2, 3)}, folder / "model.pt")
    (folder / "pyproject.toml").write_text('[tool.decay-audit]\noptimizer = "net.py:bad"\ntrace = "1x4"\n')
    assert runner.invoke(app, ["inspect", "model.pt"]).exit_code == 0
    assert runner.invoke(app, ["check", "model.pt"]).exit_code == 0
    assert runner.invoke(app, ["check", "net.py"]).exit_code == 1
    assert runner.invoke(app, ["check", "model.pt", "--optimizer", "net.py:bad"]).exit_code == 2


COMPLETED = [
    ("check net.py --select DA70", ["DA701", "DA702", "DA703", "DA704", "DA705", "DA706"]),
    ("explain DA30", ["DA301", "DA302", "DA303", "DA304", "DA305", "DA306", "DA307"]),
    ("inspect net.py --role norm", ["norm", "norm_weight", "norm_bias"]),
    ("inspect net.py --rules no-n", ["no-norm-no-bias"]),
    ("rules show no-n", ["no-norm-no-bias"]),
    ("check --audit on", ["one group"]),
    ("emit net.py --optimizer Adam", ["Adam", "AdamW", "Adamax"]),
    ("rules import x --from mm", ["mmengine"]),
    ("inspect net.py --format js", ["json"]),
    ("check net.py --fail-on w", ["warning"]),
    ("chec", ["check"]),
]


def completed(shell: str, line: str) -> list[str]:
    """The words that the program offers to a shell for what was typed so far."""
    typed = f"decay-audit {line}"
    variables = {
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))},
        "fish": {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    result = runner.invoke(
        app, [], prog_name="decay-audit", env={"_DECAY_AUDIT_COMPLETE": f"complete_{shell}", **variables}
    )
    return [line.partition("\t")[0] for line in result.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(("line", "words"), COMPLETED)
def test_a_shell_completes_what_the_program_knows(folder: Path, shell: str, line: str, words: list[str]) -> None:
    (folder / "pyproject.toml").write_text(BROKEN)
    assert completed(shell, line) == words


@pytest.mark.parametrize(("line", "words"), COMPLETED)
def test_zsh_gets_the_same_words_as_a_list(folder: Path, line: str, words: list[str]) -> None:
    (folder / "pyproject.toml").write_text(BROKEN)
    result = runner.invoke(
        app,
        [],
        prog_name="decay-audit",
        env={"_DECAY_AUDIT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"decay-audit {line}"},
    )
    assert all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", result.stdout) for word in words)


def test_the_script_for_bash_completes_in_a_real_bash(folder: Path) -> None:
    program = folder / "decay-audit"
    program.write_text(f"#!{sys.executable}\nfrom decay_audit.__main__ import main\nmain()\n")
    program.chmod(0o755)
    script = (
        'eval "$(_DECAY_AUDIT_COMPLETE=source_bash decay-audit)"; COMP_WORDS=(decay-audit check --select DA705); '
        "COMP_CWORD=3; _decay_audit_completion decay-audit; echo ${COMPREPLY[@]}"
    )
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(config.__file__).parents[2])}
    result = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert result.stdout == "DA705\n", result.stderr


AUDIT = "[[audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\n"


def test_decay_audit_toml_is_the_table_by_itself_and_wins_over_pyproject(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text("[tool.decay-audit]\nrules = 'timm'\n")
    (folder / "decay-audit.toml").write_text(f"rules = 'torch-default'\nweigth-decay = 3\n{AUDIT}devise = 'cpu'\n")
    assert runner.invoke(app, ["check"]).stderr.splitlines()[:2] == [
        "error: decay-audit.toml:2: unknown key `weigth-decay` in decay-audit.toml; did you mean `weight-decay`?",
        "decay-audit.toml:6: unknown key `devise` in an entry of `audits`; did you mean `device`?",
    ]
    (folder / "decay-audit.toml").write_text(f"rules = 'torch-default'\n{AUDIT}")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert runner.invoke(app, ["check"]).exit_code == 0
    assert runner.invoke(app, ["check", "--rules", "no-norm-no-bias"]).exit_code == 1
    settings = runner.invoke(app, ["check", "--show-settings"]).stdout
    assert re.search(r"rules +torch-default +\.\./decay-audit\.toml\n", settings)
    assert re.search(r"optimizer +\.\./net\.py:bad +\[\[audits\]\] in \.\./decay-audit\.toml\n", settings)


def test_settings_extend_another_file_whose_paths_count_from_its_folder(folder: Path) -> None:
    (folder / "policy").mkdir()
    (folder / "policy/house.yaml").write_text("schema: 1\nname: house\nextends: no-bias\n")
    (folder / "policy/base.toml").write_text(
        "rules = 'house.yaml'\nfail-on = 'note'\n[[exceptions]]\ncode = 'DA101'\nreason = 'the house says so'\n"
        "parameters = '*'\n"
    )
    (folder / "pyproject.toml").write_text(
        "[tool.decay-audit]\nextends = 'policy/base.toml'\nfail-on = 'error'\n"
        "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\n"
    )
    result = runner.invoke(app, ["check", "--show-exceptions"])
    assert (result.exit_code, "the house says so" in result.stdout) == (0, True)
    settings = runner.invoke(app, ["check", "--show-settings"]).stdout
    assert re.search(r"rules +policy/house\.yaml +policy/base\.toml\n", settings)
    assert re.search(r"fail-on +error +\[tool\.decay-audit\]\n", settings)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (None, "`extends` names base.toml, which has no settings of decay-audit"),
        ("extends = 'decay-audit.toml'\n", "`extends` goes round in a circle: decay-audit.toml -> base.toml -> "),
        ("extends = 'base.toml'\n", "`extends` goes round in a circle: "),
        ("rulez = 'timm'\n", "base.toml:1: unknown key `rulez` in base.toml"),
    ],
)
def test_a_file_that_cannot_be_extended_is_an_error(folder: Path, base: str | None, message: str) -> None:
    (folder / "decay-audit.toml").write_text("extends = 'base.toml'\n")
    if base is not None:
        (folder / "base.toml").write_text(base)
    result = runner.invoke(app, ["inspect", "net.py:Net"])
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_a_baseline_is_written_in_the_form_of_the_file_of_settings(folder: Path) -> None:
    (folder / "decay-audit.toml").write_text(AUDIT)
    assert runner.invoke(app, ["check", "--write-baseline"]).exit_code == 0
    assert "[[exceptions]]\n" in (folder / "decay-audit.toml").read_text()
    assert runner.invoke(app, ["check"]).exit_code == 0


def test_audits_of_one_target_with_and_without_a_trace_do_not_share_its_roles(folder: Path) -> None:
    (folder / "gain.py").write_text(
        "import torch\n\n\nclass Gain(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.lin = torch.nn.Linear(4, 4)\n"
        "        self.rho = torch.nn.Parameter(torch.ones(4))\n\n"
        "    def forward(self, x):\n        return self.lin(x) * self.rho\n"
    )
    audit = "[[tool.decay-audit.audits]]\ntarget = 'gain.py:Gain'\n"
    (folder / "pyproject.toml").write_text(f"{audit}{audit}no-trace = true\n")
    reports = json.loads(runner.invoke(app, ["check", "-f", "json"]).stdout)
    roles = [{row["name"]: row["role"] for row in report["parameters"]}["rho"] for report in reports]
    assert roles == ["scale", "unclassified"]
