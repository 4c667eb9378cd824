"""The wheel: built as a user's pip builds it, installed alone, and run."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRESETS = sorted(path.name for path in (ROOT / "rules").glob("*.yaml"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the backend in this environment: no index is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    _pip("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


def test_the_wheel_carries_everything_that_is_read_at_run_time(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"decay_audit/rules/{preset}" for preset in PRESETS} <= names
    assert "decay_audit/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / "decay_audit").rglob("*") if _is_source(path)}
    assert data <= names


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    roots = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert roots == {"decay_audit", wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"}


def test_the_installed_wheel_says_its_version(installed: Path, tmp_path: Path) -> None:
    [metadata] = installed.glob("decay_audit-*.dist-info")
    version = metadata.name.removeprefix("decay_audit-").removesuffix(".dist-info")
    assert _run(installed, tmp_path, "--version") == f"decay-audit {version}\n"


def test_the_installed_wheel_lists_the_presets_it_ships(installed: Path, tmp_path: Path) -> None:
    stdout = _run(installed, tmp_path, "rules", "list")
    assert PRESETS
    assert [preset for preset in PRESETS if preset.removesuffix(".yaml") not in stdout] == []


def test_the_installed_wheel_does_the_main_job(installed: Path, tmp_path: Path) -> None:
    stdout = _run(installed, tmp_path, "inspect", str(ROOT / "examples/resnext29.py"))
    assert "34.43 M elements in 95 parameters" in stdout
    assert "32 parameters" in stdout
    assert "63 parameters" in stdout


def test_the_installed_wheel_gives_pytest_its_fixture(installed: Path, tmp_path: Path) -> None:
    """Nobody names the plugin: pytest finds its entry point."""
    (tmp_path / "test_mine.py").write_text(
        "import torch\n"
        "def test_mine(decay_audit):\n"
        "    model = torch.nn.Linear(2, 2)\n"
        "    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)\n"
        "    assert not decay_audit(model, optimizer, rules='torch-default').findings\n"
    )
    assert "1 passed" in _python(installed, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_the_installed_wheel_imports_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import decay_audit; print(decay_audit.__file__)"
    assert Path(_python(installed, tmp_path, "-c", code).strip()).is_relative_to(installed)


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def _run(installed: Path, folder: Path, *arguments: str) -> str:
    return _python(installed, folder, "-m", "decay_audit", *arguments)


def _python(installed: Path, folder: Path, *arguments: str) -> str:
    """Run Python where only the installed wheel, not the checkout, can be imported as decay_audit."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "NO_COLOR": "1", "COLUMNS": "120"}
    completed = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout
