"""What a reader meets first: the two commands of the README, the pins they use, and the example."""

import importlib
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
MUCH_OF_TORCH = re.compile(
    r"nvidia-|cuda-|triton|pytorch-triton"
)  # of some builds of torch only, which pin them themselves


def commands() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_the_first_command_does_the_main_job_and_the_second_runs_the_tests() -> None:
    first, second = commands()[:2]
    assert "decay-audit inspect examples/resnext29.py" in first
    assert second.rstrip().endswith("&& pytest -n auto")
    assert all("-c constraints.txt" in command and command.count("\n") == 1 for command in (first, second))


def test_the_first_screen_has_no_warning_of_torch_where_numpy_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')\n")
    command = [sys.executable, "-m", "decay_audit", "inspect", "examples/resnext29.py"]
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci/run").read_text()
    body = re.search(r"^readme_command\(\) \{\n.*?^\}$", script, re.MULTILINE | re.DOTALL)
    assert body
    made = subprocess.run(
        ["bash", "-c", f"{body[0]}\nreadme_command 2"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout == commands()[1]
    assert 'eval "$tests"' in script
    others = script.replace("*pytest*", "").replace(
        "pytest -q -n auto tests/parity", ""
    )  # in an environment of its own
    assert "pytest" not in others


def test_everything_that_the_extras_install_is_pinned() -> None:
    pinned = pins()
    missing = closure("decay-audit", {"test", "lint"}) - pinned.keys() - {"decay-audit"}
    assert {name for name in missing if not MUCH_OF_TORCH.match(name)} == set()


def test_the_check_for_pins_follows_requirements_of_requirements() -> None:
    assert {"sympy", "mpmath", "markdown-it-py", "mdurl"} <= closure("decay-audit", set())


def test_every_pin_is_one_version() -> None:
    assert all(re.fullmatch(r"\d[\w.]*", version) for version in pins().values())


def closure(package: str, extras: set[str]) -> set[str]:
    """Names of all that is installed because of a package; what is not installed ends the search, but is in it."""
    found: set[str] = set()
    queue = [(package, frozenset(extras))]
    seen = set(queue)
    while queue:
        name, wanted = queue.pop()
        found.add(canonicalize_name(name))
        for needed in requirements(name, wanted):
            step = (needed.name, frozenset(needed.extras))
            if step not in seen:
                seen.add(step)
                queue.append(step)
    return found


def requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return []
    needed = map(Requirement, lines)
    return [
        requirement
        for requirement in needed
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
    ]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.delitem(sys.modules, "resnext29", raising=False)
    model: torch.nn.Module = importlib.import_module("resnext29").resnext29_8x64d()
    return model


def test_the_example_has_the_parameters_that_arithmetic_gives_it(example: torch.nn.Module) -> None:
    total = 3 * 64 * 9 + 2 * 64 + 1024 * 10 + 10
    for inputs, outputs, width in ((64, 256, 512), (256, 512, 1024), (512, 1024, 2048)):
        for block in range(3):
            entering = inputs if block == 0 else outputs
            total += entering * width + width * (width // 8) * 9 + width * outputs + 2 * (width + width + outputs)
            total += inputs * outputs + 2 * outputs if block == 0 else 0
    assert sum(tensor.numel() for tensor in example.parameters()) == total == 34_426_698


def test_the_example_classifies_an_image(example: torch.nn.Module) -> None:
    assert example.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
