"""`emit --diff FILE [--write]`: the optimizer of a file takes param groups, and all else in the file stays."""

import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from decay_audit.cli import app

FILE = '''"""Train a small net."""

import torch
from torch.optim import AdamW, SGD as Sgd

WEIGHT_DECAY = 0.3


class Gain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(3))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin  =  torch.nn.Linear(3, 3)  # odd spaces stay
        self.norm = torch.nn.LayerNorm(3)
        self.gain = Gain()


def make_optimizer(model):
    return CALL
'''
SPARED = {"lin.bias", "norm.weight", "norm.bias", "gain.gain"}


def write(folder: Path, call: str, file: str = FILE) -> Path:
    path = folder / "train.py"
    path.write_text(file.replace("CALL", call))
    return path


def edit(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["emit", f"{path}:Net", "--diff", str(path), *arguments])


def coefficients(path: Path) -> dict[str, float]:
    """Execute the file, make its optimizer, and read the coefficient of each parameter."""
    namespace: dict[str, Any] = runpy.run_path(str(path))
    model = namespace["Net"]()
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizer = namespace["make_optimizer"](model)
    return {names[p]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize(
    ("call", "coefficient", "new_call"),
    [
        (
            "AdamW(model.parameters(), lr=1e-3, weight_decay=0.2)",
            0.2,
            "AdamW(param_groups(model, weight_decay=0.2), lr=1e-3)",
        ),
        (
            "AdamW(model.parameters(), weight_decay=WEIGHT_DECAY, lr=1e-3)",
            0.3,
            "AdamW(param_groups(model, weight_decay=WEIGHT_DECAY), lr=1e-3)",
        ),
        ("AdamW(model.parameters(), lr=1e-3)", 0.01, "AdamW(param_groups(model), lr=1e-3)"),
        (
            "Sgd(params=model.parameters(), lr=.1, weight_decay=(1e-2))",
            0.01,
            "Sgd(params=param_groups(model, weight_decay=1e-2), lr=.1)",
        ),
        (
            "torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), 1e-3, weight_decay=1e-2,)",
            0.01,
            "torch.optim.Adam(param_groups(model, weight_decay=1e-2), 1e-3, )",
        ),
        ("AdamW(p for p in model.parameters() if p.requires_grad)", 0.01, "AdamW(param_groups(model))"),
        (
            "AdamW(\n        model.parameters(),  # all\n        weight_decay=0.2,\n        lr=1e-3,\n    )",
            0.2,
            "AdamW(\n        param_groups(model, weight_decay=0.2),  # all\n        lr=1e-3,\n    )",
        ),
        (
            "AdamW(\n        model.parameters(),\n        weight_decay=0.2,  # tuned\n    )",
            0.2,
            "AdamW(\n        param_groups(model, weight_decay=0.2),\n        weight_decay=0.2,  # tuned\n    )",
        ),
    ],
)
def test_the_changed_file_runs_and_its_optimizer_has_the_planned_groups(
    call: str, coefficient: float, new_call: str, tmp_path: Path
) -> None:
    path = write(tmp_path, call)
    result = edit(path, "--write")
    assert (result.exit_code, result.stdout) == (0, "")
    actual = coefficients(path)
    assert {name for name, value in actual.items() if value == 0.0} == SPARED
    assert {name: value for name, value in actual.items() if name not in SPARED} == {"lin.weight": coefficient}
    text = path.read_text()
    assert f"    return {new_call}\n" in text
    assert text.count("from typing import Any\n") == text.count("from torch import nn\n") == 1
    untouched = [line for line in FILE.splitlines() if "CALL" not in line]
    assert [line for line in text.splitlines() if line in untouched and line] == [line for line in untouched if line]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "imports", ["import torch\nfrom torch import optim\n", "import torch\n", "import torch; import sys\n"]
)
def test_code_right_after_the_imports_runs_with_the_new_imports_above_the_function(
    imports: str, newline: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.py"
    lines = (
        "model = torch.nn.Sequential(torch.nn.Linear(2, 2))\nmade = torch.optim.AdamW(model.parameters(), lr=1e-3)\n"
    )
    path.write_bytes(f"{imports}{lines}".replace("\n", newline).encode())
    result = CliRunner().invoke(app, ["emit", "torch.nn:Linear(2, 2)", "--diff", str(path), "--write"])
    assert result.exit_code == 0, result.stderr
    namespace: dict[str, Any] = {}
    exec(path.read_bytes(), namespace)
    sizes = [[p.ndim for p in group["params"]] for group in namespace["made"].param_groups]
    assert sizes == [[2], [1]]
    text = path.read_bytes()
    assert text.count(b"\n") == text.count(newline.encode())


def test_the_diff_writes_nothing_and_patch_applies_it(tmp_path: Path) -> None:
    path = write(tmp_path, "AdamW(model.parameters(), lr=1e-3)")
    before = path.read_bytes()
    diff = edit(path).stdout
    assert path.read_bytes() == before
    assert [*tmp_path.glob("*.py")] == [path]
    copy = tmp_path / "copy.py"
    shutil.copy(path, copy)
    assert edit(path, "--write").exit_code == 0
    if (patch := shutil.which("patch")) is None:
        pytest.skip("patch is not installed")
    subprocess.run([patch, str(copy)], input=diff, text=True, check=True, capture_output=True)
    assert copy.read_bytes() == path.read_bytes()


def test_line_endings_encoding_permissions_and_a_missing_last_newline_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "AdamW(model.parameters(), lr=1e-3)")
    content = "# -*- coding: latin-1 -*-\n# caf\xe9\n" + path.read_text().rstrip("\n")
    path.write_bytes(content.replace("\n", "\r\n").encode("latin-1"))
    path.chmod(0o754)
    assert edit(path, "--write").exit_code == 0
    changed = path.read_bytes()
    assert changed.startswith(b"# -*- coding: latin-1 -*-\r\n# caf\xe9\r\n")
    assert changed.count(b"\n") == changed.count(b"\r\n")
    assert changed.endswith(b"return AdamW(param_groups(model), lr=1e-3)")
    assert path.stat().st_mode & 0o777 == 0o754
    assert coefficients(path)["lin.bias"] == 0.0


def test_imports_that_the_file_has_are_not_added_and_its_names_are_not_taken(tmp_path: Path) -> None:
    file = FILE.replace("import torch\n", "from typing import Any, Dict\n\nimport torch\nimport torch.nn as nn\n", 1)
    path = write(tmp_path, "AdamW(model.parameters(), lr=1e-3)", f"{file}\n\ndef param_groups():\n    return 1\n")
    assert edit(path, "--write").exit_code == 0
    text = path.read_text()
    assert "from typing import Any\n" not in text
    assert "from torch import nn\n" not in text
    assert "AdamW(make_param_groups(model), lr=1e-3)" in text
    assert coefficients(path)["lin.weight"] == 0.01


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("AdamW(model.parameters(), lr=1e-3), Sgd(model.parameters(), lr=1e-3)", "several optimizers"),
        ("AdamW(*model)", "unpacked with a star"),
        ("AdamW(model.parameters(), **model.settings)", "takes **keywords"),
        ("model.make(model.parameters(), lr=1e-3)", "which class `model.make` is"),
        ("AdamW([model.lin.weight, model.lin.bias])", "a list of parameters or of param groups"),
        ("AdamW([{'params': model.parameters()}])", "a list of parameters or of param groups"),
        ("AdamW(groups(model))", "may be param groups already"),
        ("AdamW(model.named_parameters())", "pairs of names and parameters"),
        ("AdamW(model)", "does not take all parameters of one model, but `model`"),
        ("Sgd(model.parameters(), .1, .9, 0, 1e-4)", "weight_decay is given by position"),
        ("model", "no call makes an optimizer"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line_and_nothing_is_written(
    call: str, reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path, call)
    before = path.read_bytes()
    result = edit(path, "--write")
    message = " ".join(result.stderr.split())
    assert (result.exit_code, path.read_bytes()) == (2, before)
    assert reason in message
    assert call == "model" or f"{path.name}:{len(before.splitlines())}" in message
    assert "hint: " in message


def test_a_name_that_means_something_else_in_the_file_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path, "AdamW(model.parameters(), lr=1e-3)", FILE.replace("import torch\n", "import torch\nnn = 3\n")
    )
    result = edit(path)
    assert (result.exit_code, "`nn` is something else than `torch.nn`" in " ".join(result.stderr.split())) == (2, True)


def test_the_line_chooses_one_of_several_optimizers(tmp_path: Path) -> None:
    path = write(
        tmp_path, "AdamW(model.parameters(), lr=1e-3)\n\n\ndef other(model):\n    return Sgd(model.parameters())"
    )
    line = 1 + path.read_text().splitlines().index("    return AdamW(model.parameters(), lr=1e-3)")
    arguments = ["emit", f"{path}:Net", "--diff", f"{path}:{line}", "--write"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert "return Sgd(model.parameters())" in path.read_text()
    assert coefficients(path)["lin.weight"] == 0.01


def test_the_coefficient_of_the_option_replaces_that_of_the_call(tmp_path: Path) -> None:
    path = write(tmp_path, "AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)")
    result = edit(path, "--write", "--weight-decay", "0.05")
    assert "--weight-decay replaces the coefficient" in " ".join(result.stderr.split())
    assert coefficients(path)["lin.weight"] == 0.05


def test_learning_rates_of_the_ruleset_take_that_of_the_call(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "schema: 1\nname: scaled\nweight_decay: 0.1\nfrozen: skip\n"
        "rules:\n  - {name: biases, when: {leaf: bias}, decay: false}\n"
        "lr_scale:\n  - {when: {leaf: bias}, times: 2.0}\ndefault: {decay: true}\n"
    )
    path = write(tmp_path, "AdamW(model.parameters(), lr=1e-2)")
    result = edit(path, "--write", "--rules", str(rules))
    assert result.exit_code == 0, result.stderr
    assert "AdamW(param_groups(model, lr=1e-2), lr=1e-2)" in path.read_text()
    without = write(tmp_path, "AdamW(model.parameters())")
    assert "sets no lr" in " ".join(edit(without, "--rules", str(rules)).stderr.split())


@pytest.mark.parametrize("arguments", [("--optimizer", "AdamW"), ("--for", "timm"), ("--lr", "0.1")])
def test_options_that_make_another_optimizer_are_refused_with_diff(arguments: tuple[str, ...], tmp_path: Path) -> None:
    path = write(tmp_path, "AdamW(model.parameters())")
    assert edit(path, *arguments).exit_code == 2


def test_write_without_diff_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "AdamW(model.parameters())")
    result = CliRunner().invoke(app, ["emit", f"{path}:Net", "--write"])
    assert (result.exit_code, "--diff train.py --write" in result.stderr) == (2, True)
