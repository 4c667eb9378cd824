"""The install without torch that the README describes: what it installs, and what works and does not work with it."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import save_file

from tests.docs.pages import DOCS

ROOT = DOCS.parent
NO_TORCH = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
RUN = """
import json, sys
from typer.testing import CliRunner
from decay_audit.cli import app
results = [CliRunner().invoke(app, command) for command in json.load(sys.stdin)]
print(json.dumps([[result.exit_code, result.stdout, result.stderr, repr(result.exception)] for result in results]))
"""
WORKS = {
    "inspect": ["inspect", "net.safetensors"],
    "inspect, as a page": ["inspect", "net.safetensors", "-o", "net.html"],
    "check": ["check", "net.safetensors", "-f", "sarif"],
    "check, with a saved optimizer": ["check", "last.pt", "--exit-zero"],
    "explain": ["explain", "net.safetensors", "norm.weight"],
    "lock": ["lock", "net.safetensors"],
    "diff": ["diff", "net.safetensors", "last.pt"],
    "diff of rulesets": ["diff", "net.safetensors", "--rules", "timm", "--rules", "hf-trainer"],
    "rules which": ["rules", "which", "last.pt"],
}
NEEDS_TORCH = {
    "inspect of code": ["inspect", "net.py"],
    "inspect of a library": ["inspect", "timm:create_model('resnet18')"],
    "check with an optimizer": ["check", "net.py", "--optimizer", "net.py:make_optimizer"],
    "emit": ["emit", "net.safetensors"],
    "migrate": ["migrate", "last.pt", "--model", "net.py", "--to", "net.py:make_optimizer", "-o", "new.pt"],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    folder = tmp_path_factory.mktemp("slim")
    model = torch.nn.Sequential()
    model.add_module("fc", torch.nn.Linear(3, 3))
    model.add_module("norm", torch.nn.LayerNorm(3))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_file(model.state_dict(), folder / "net.safetensors")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
    (folder / "net.py").write_text("import torch\nnet = torch.nn.Linear(2, 2)\n")
    (folder / "without").mkdir()
    (folder / "without" / "torch.py").write_text(NO_TORCH)
    commands = {**WORKS, **NEEDS_TORCH}
    ran = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder / "without"), str(ROOT)))},
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert (folder / "net.html").exists()
    return dict(zip(commands, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("name", WORKS)
def test_a_command_on_a_checkpoint_works_without_torch(name: str, results: dict[str, list[object]]) -> None:
    assert results[name][0] == 0, results[name]


@pytest.mark.parametrize("name", NEEDS_TORCH)
def test_a_command_that_needs_torch_says_so_in_one_line_with_the_way_to_get_it(
    name: str, results: dict[str, list[object]]
) -> None:
    code, printed, message, _ = results[name]
    assert (code, printed) == (2, "")
    error, hint = str(message).splitlines()
    assert error == f"error: this needs torch, which is not installed for {sys.executable}"
    assert hint.startswith(f"hint: {sys.executable} -m pip install torch; ")


def test_the_readme_names_all_dependencies_but_torch() -> None:
    (command,) = re.findall(
        r"^pip install --no-deps decay-audit && pip install (.*)$", (ROOT / "README.md").read_text(), re.M
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"torch", *command.split()} == {Requirement(text).name for text in project["dependencies"]}
