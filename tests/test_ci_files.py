"""The files for CI: the action, the hooks of pre-commit, and the examples. Their commands are run as they stand."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from decay_audit.cli import app
from tests.test_cli import MODEL

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PYPROJECT = (
    "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:bad'\nname = 'one group'\n"
    "[[tool.decay-audit.audits]]\ntarget = 'net.py:Net'\noptimizer = 'net.py:good'\nname = 'two groups'\n"
)
EXPRESSION = re.compile(r"\$\{\{ (?P<name>[\w.-]+) \}\}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with two audits, and a `python` whose pip only notes down what it is asked to install."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "net.py").write_text(MODEL)
    (project / "pyproject.toml").write_text(PYPROJECT)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(
        f'#!/bin/sh\nif [ "$1 $2" = "-m pip" ]; then shift 2; printf "%s\\n" "$@" >> {tmp_path}/pip; echo {tmp_path};\n'
        f'else exec {sys.executable} "$@"; fi\n'
    )
    (programs / "decay-audit").write_text(f'#!/bin/sh\nexec {sys.executable} -m decay_audit "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return project


def shell(script: str, project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as CI does."""
    path = f"{project.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=project, env=variables, capture_output=True, text=True
    )


class Job:
    """A job that runs the steps of the action in a shell, with the environment that GitHub gives them."""

    def __init__(self, project: Path, **inputs: str) -> None:
        self.project = project
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        defaults = {name: entry["default"] for name, entry in ACTION["inputs"].items()}
        assert given.keys() <= defaults.keys()
        self.values = {f"inputs.{name}": value for name, value in {**defaults, **given}.items()}
        self.values |= {"github.action_path": str(ROOT), "runner.temp": str(project.parent), "runner.os": "Linux"}
        self.summary = project.parent / "summary"
        self.log = ""
        self.codes = [self.step(step) for step in ACTION["runs"]["steps"] if "run" in step]

    def step(self, step: dict[str, Any]) -> int:
        output = self.project.parent / "output"
        output.write_text("")
        environment = {name: self.fill(value) for name, value in step.get("env", {}).items()}
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_ACTIONS": "true"}
        result = shell(step["run"], self.project, **environment, **files)
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.values[f"steps.{step['id']}.outputs.{name}"] = value
        self.log += result.stdout
        return result.returncode

    def fill(self, text: str) -> str:
        return EXPRESSION.sub(lambda match: self.values.get(match["name"], ""), text)

    def output(self, name: str) -> str:
        return self.fill(ACTION["outputs"][name]["value"])


def test_the_action_reports_in_every_way_and_fails_at_its_end(project: Path) -> None:
    job = Job(project, requirements="-r requirements.txt 'torch >= 2'")
    assert (project.parent / "pip").read_text().splitlines() == [
        *("cache", "dir"),
        *("install", str(ROOT), "-r", "requirements.txt", "torch >= 2"),
    ]
    assert (job.codes, job.output("exit-code")) == ([0, 0, 0, 1], "1")
    assert "::error file=net.py,line=" in job.log
    runs = json.loads(Path(job.output("sarif")).read_text())["runs"]
    assert [len(run["results"]) > 0 for run in runs] == [True, False]
    assert job.summary.read_text().startswith("### net.py:Net")


def test_the_action_passes_its_inputs_as_words_and_may_let_findings_pass(project: Path) -> None:
    hostile = "net.py:Net; touch hacked $(touch hacked)"
    arguments = "--optimizer 'torch.optim:SGD(model.parameters(), weight_decay=0.1)' --rules no-norm-no-bias"
    assert Job(project, target="net.py:Net", arguments=arguments, fail="false").codes == [0, 0, 0, 0]
    broken = Job(project, target=hostile, fail="false")
    assert (broken.codes, broken.output("sarif")) == ([0, 0, 0, 2], "")
    assert not (project / "hacked").exists()


def test_the_action_takes_no_expression_into_a_script() -> None:
    steps = ACTION["runs"]["steps"]
    assert not [step["name"] for step in steps if "${{" in step.get("run", "")]
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
    assert all(step["shell"] == "bash" for step in steps if "run" in step)
    conditions = " ".join(step.get("if", "") for step in steps)
    names = {f"inputs.{name}" for name in ACTION["inputs"]}
    used = set(re.findall(r"inputs\.[\w-]+", conditions + json.dumps(ACTION["runs"])))
    assert used == names


def test_the_template_of_gitlab_writes_the_reports_that_it_names(project: Path) -> None:
    (job,) = yaml.safe_load((ROOT / "examples/ci/decay-audit.gitlab-ci.yml").read_text()).values()
    variables = {name: str(value) for name, value in job["variables"].items()}
    result = shell("\n".join(job["script"]), project, **variables)
    assert result.returncode == 1, result.stderr
    written = [project / path for path in job["artifacts"]["reports"].values()]
    assert all(path.stat().st_size for path in written)
    assert (project.parent / "pip").read_text().split() == ["install", "decay-audit", "-r", "requirements.txt"]


def commands_of_examples() -> list[str]:
    """The decay-audit commands of nox, tox and pre-commit."""
    tox = configparser.ConfigParser()
    tox.read(ROOT / "examples/ci/tox.ini")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (nox,) = re.findall(r'session\.run\("decay-audit", "(\w+)"', (ROOT / "examples/ci/noxfile.py").read_text())
    return [
        tox["testenv:decay"]["commands"].removesuffix(" {posargs}"),
        f"decay-audit {nox}",
        *(hook["entry"] for hook in hooks),
    ]


def test_the_commands_of_the_examples_are_commands_of_decay_audit() -> None:
    from typer.testing import CliRunner

    for command in commands_of_examples():
        _, *words = command.split()
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0, command


def test_the_example_of_pre_commit_names_hooks_that_there_are() -> None:
    (repository,) = yaml.safe_load((ROOT / "examples/ci/pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert {hook["id"] for hook in repository["hooks"]} == hooks


@pytest.mark.skipif(not shutil.which("pre-commit"), reason="pre-commit is not installed")
def test_the_hooks_run_under_the_real_pre_commit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRE_COMMIT_HOME", str(project.parent / "cache"))
    hooks = project.parent / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git = "git -c user.name=a -c user.email=a@b -c commit.gpgsign=false"
    make = f"git init -q . && git add -A && {git} commit -q -m one"
    assert shell(make, hooks).returncode == 0
    revision = shell("git rev-parse HEAD", hooks).stdout.strip()
    text = (ROOT / "examples/ci/pre-commit-config.yaml").read_text()
    text = text.replace("https://github.com/OWNER/decay-audit", str(hooks)).replace("v0.1.0", revision)
    (project / ".pre-commit-config.yaml").write_text(text)
    (project / "rules").mkdir()
    (project / "rules/ours.yaml").write_text("schema: 1\nname: ours\nextends: timm\nrulez: []\n")
    (project / "unrelated.yaml").write_text("a: 1\n")
    (project / "pyproject.toml").write_text(PYPROJECT.replace("name = 'two groups'", "name = 'b'\nlock = 'b.lock'"))
    assert shell("decay-audit lock", project).returncode == 0
    assert shell(make, project).returncode == 0
    first = shell("pre-commit run --all-files", project)
    verdicts = re.findall(r"^(decay-audit [\w -]+?)\.+(Passed|Failed)$", first.stdout, re.MULTILINE)
    assert dict(verdicts) == {
        "decay-audit check": "Failed",
        "decay-audit lock --check": "Passed",
        "decay-audit rules validate": "Failed",
    }, first.stdout + first.stderr
    assert "unknown key `rulez`" in first.stdout
    (project / "rules/ours.yaml").write_text("schema: 1\nname: ours\nextends: timm\n")
    (project / "pyproject.toml").write_text(PYPROJECT.replace("net.py:bad", "net.py:good"))
    assert shell("git add -A && pre-commit run --all-files decay-audit", project).returncode == 0


def test_the_place_of_the_repository_is_that_of_pyproject_wherever_it_stands() -> None:
    """`[project.urls]` declares the place; until the repository has one, OWNER stands for it in these files."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    repository = urls["Repository"]
    owner = repository.removeprefix("https://github.com/").removesuffix("/decay-audit")
    assert all(url == repository or url.startswith(f"{repository}/") for url in urls.values())
    patterns = ("*.yml", "*.toml", "*.md", "docs/*.md", "examples/ci/*", "decay_audit/**/*.py", "rules/*.md", ".*.yaml")
    files = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    owners = {
        path.relative_to(ROOT).as_posix(): set(re.findall(r"([\w.-]+)/decay-audit(?![\w.-]*[\w-])", path.read_text()))
        for path in files
    }
    assert {file for file, found in owners.items() if owner in found} == {
        "README.md",
        "decay_audit/reports/formats/sarif.py",
        "docs/ci.md",
        "examples/ci/github-workflow.yml",
        "examples/ci/pre-commit-config.yaml",
        "mkdocs.yml",
        "pyproject.toml",
    }
    assert {owner for found in owners.values() for owner in found} == {owner}


def test_every_link_of_the_readme_works_on_a_package_index_and_names_a_file_of_the_repository() -> None:
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert links
    ours = [link for link in links if link.startswith(repository)]
    assert [link for link in links if not link.startswith("https://")] == []
    paths = [link.removeprefix(f"{repository}/blob/main/").partition("#")[0] for link in ours]
    assert [path for path in paths if not (ROOT / path).is_file()] == []
