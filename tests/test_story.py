"""A small repository through six commits: what CI says at each, and the lines of the lock that a reviewer reads."""

import difflib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app

NET = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(8, 4)


def net():
    return Net()


def make_optimizer(model):
    named = list(model.named_parameters())
    spared = [p for name, p in named if "norm" in name or name.endswith("bias")]
    decayed = [p for name, p in named if not ("norm" in name or name.endswith("bias"))]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)
"""
PYPROJECT = """
[[tool.decay-audit.audits]]
target = "net.py:net"
optimizer = "net.py:make_optimizer"
rules = "RULES"
lock = "decay.lock"
"""
runner = CliRunner()


class Repository:
    """The files of the repository, and what CI runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(NET)

    def write(self, net: str, rules: str = "no-norm-no-bias") -> None:
        (self.folder / "net.py").write_text(net)
        (self.folder / "pyproject.toml").write_text(PYPROJECT.replace("RULES", rules))

    def check(self) -> tuple[int, list[tuple[str, str]]]:
        """The exit code, and the code and severity of each finding."""
        result = runner.invoke(app, ["check"])
        rows = [line.split() for line in result.stdout.splitlines() if line.startswith("DA")]
        return result.exit_code, [(row[0], row[1]) for row in rows]

    def lock(self) -> list[str]:
        """Write the lock, and return the lines that change in it."""
        file = self.folder / "decay.lock"
        before = file.read_text().splitlines() if file.exists() else []
        assert runner.invoke(app, ["lock"]).exit_code == 0
        after = file.read_text().splitlines()
        return sorted(line for line in difflib.ndiff(before, after) if line[0] in "+-")


def test_what_ci_says_through_six_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path)
    repository.lock()
    assert repository.check() == (0, [])

    # 1. a refactoring that moves no decision
    refactored = NET.replace("class Net(nn.Module):", "class Base(nn.Module):\n    pass\n\n\nclass Net(Base):")
    repository.write(refactored)
    assert repository.check() == (0, [])
    assert repository.lock() == []

    # 2. a renamed norm: the ruleset goes by roles and still spares it, and the optimizer goes by names and does not
    renamed = refactored.replace("self.norm1", "self.ln1")
    repository.write(renamed)
    code, findings = repository.check()
    assert (code, findings[:2]) == (1, [("DA101", "error"), ("DA701", "error")])
    mended = renamed.replace('"norm" in name', '"ln" in name')
    repository.write(mended)
    assert repository.check() == (0, [("DA703", "warning")])
    assert repository.lock() == [
        "+ blocks.{0-2}.ln1.bias  8  norm_bias  weight_decay=0  rule=norms  observed=AdamW:0",
        "+ blocks.{0-2}.ln1.weight  8  norm_weight  weight_decay=0  rule=norms  observed=AdamW:0",
        "- blocks.{0-2}.norm1.bias  8  norm_bias  weight_decay=0  rule=norms  observed=AdamW:0",
        "- blocks.{0-2}.norm1.weight  8  norm_weight  weight_decay=0  rule=norms  observed=AdamW:0",
    ]

    # 3. a new head
    with_head = mended.replace("nn.Linear(8, 4)", "nn.Linear(8, 4)\n        self.aux = nn.Linear(8, 2)")
    repository.write(with_head)
    assert repository.check() == (1, [("DA702", "error"), ("DA702", "error")])
    assert repository.lock() == [
        "+ aux.bias  2  bias  weight_decay=0  rule=biases  observed=AdamW:0",
        "+ aux.weight  2x8  linear_weight  weight_decay=0.05  rule=weights  observed=AdamW:0.05",
    ]

    # 4. another preset: biases are decided by another rule, and nothing moves
    repository.write(with_head, rules="timm")
    code, findings = repository.check()
    assert (code, {severity for _, severity in findings}) == (0, {"note"})
    assert repository.lock()

    # 5. wrapped in compile
    repository.write(with_head.replace("return Net()", "return torch.compile(Net())"), rules="timm")
    assert repository.check() == (0, [])
    assert repository.lock() == []

    # 6. the optimizer loses a group
    repository.write(with_head.replace(', {"params": spared, "weight_decay": 0.0}]', "]"), rules="timm")
    code, findings = repository.check()
    assert code == 1
    assert {("DA201", "error"), ("DA701", "error")} <= set(findings)
    changed = repository.lock()
    assert "+ head.bias  4  bias  weight_decay=0  rule=vectors  observed=none" in changed


def test_what_ci_says_of_what_moved_around_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path)
    repository.lock()
    lock = (tmp_path / "decay.lock").read_text()

    # a submodule that moved, with parts renamed and in another order
    moved = NET.replace(
        "self.blocks = nn.ModuleList", "self.body = nn.Module()\n        self.body.layers = nn.ModuleList"
    )
    first, second = "        self.norm1 = nn.LayerNorm(8)\n", "        self.fc = nn.Linear(8, 8)\n"
    moved = moved.replace(first + second, second + first.replace("norm1", "pre_norm"))
    repository.write(moved)
    assert repository.check() == (0, [("DA703", "warning")])

    # a head of another size without its bias
    repository.write(NET.replace("nn.Linear(8, 4)", "nn.Linear(8, 6, bias=False)"))
    assert repository.check() == (1, [("DA703", "error"), ("DA701", "note")])
    repository.write(NET)

    # a merge conflict, and a lock that is whole again
    (tmp_path / "decay.lock").write_text(f"{lock}<<<<<<< ours\n=======\n>>>>>>> theirs\n")
    conflict = runner.invoke(app, ["check"])
    assert (conflict.exit_code, "a merge conflict is not resolved" in conflict.stderr) == (2, True)
    repository.lock()
    assert (tmp_path / "decay.lock").read_text() == lock

    # exceptions: one expired, one that covers more than it did, one for nothing
    entries = (
        ('"DA101"', '"head.*"', 'until = "2020-01-01"'),
        ('"DA101"', '"*norm1.weight"', "covers = 2"),
        ('"DA201"', '"x"', ""),
    )
    exceptions = "".join(
        f'[[tool.decay-audit.exceptions]]\ncode = {code}\nparameters = {names}\nreason = "r"\n{more}\n'
        for code, names, more in entries
    )
    repository.write(NET.replace('"norm" in name', '"norm1.bias" in name'))
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + exceptions)
    expected = [("DA701", "error"), ("DA705", "error"), ("DA704", "warning"), ("DA706", "warning")]
    assert repository.check() == (1, expected)
