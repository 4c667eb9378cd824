"""`decay-audit find`: where optimizers are made, read from the text alone, with the command that audits each."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.sources.run import find_optimizers

FILES = {
    "train.py": "import torch\nfrom model import make\nif __name__ == '__main__':\n    make(1)\n",
    "model.py": "from torch.optim import AdamW as Optim\ndef make(model, lr):\n    return Optim(groups(model), lr)\n",
    "flat.py": "import torch.optim as optim\noptimizer = optim.SGD(model.parameters(), lr=0.1)\n",
    "factory.py": "from torch import optim\ndef build(model):\n"
    "    return optim.Adam(filter(f, model.parameters()), weight_decay=wd)\n",
    "other.py": "from lion import Lion\nimport torch.optim\n"
    "Lion(model.parameters())\ntorch.optim.lr_scheduler.StepLR(optimizer)\n",
    "broken.py": "import torch.optim\nthis is not Python\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_each_optimizer_is_listed_with_its_coefficient_and_the_command_that_audits_it(folder: Path) -> None:
    made = CliRunner().invoke(app, ["find", str(folder)])
    assert [" ".join(line.split()) for line in made.stdout.splitlines()] == [
        "factory.py:3 Adam(filter(f, model.parameters())) weight_decay=wd "
        "decay-audit check MODEL --optimizer factory.py:build",
        "flat.py:2 SGD(model.parameters()) weight_decay is the default decay-audit run flat.py",
        "model.py:3 AdamW(groups(model)) weight_decay may be set in the groups decay-audit run train.py",
    ]
    assert made.exit_code == 0
    assert "3 places make an optimizer in 6 Python files" in made.stderr


def test_a_model_that_no_other_model_holds_is_listed_and_fills_in_the_command(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn, optim\nclass Block(nn.Module):\n    pass\n"
        "class Base(nn.Module):\n    def __init__(self):\n        self.block = nn.Sequential(Block(1))\n"
        "class Net(Base):\n    pass\n"
        "def build(model):\n    return optim.SGD(model.parameters(), lr=0.1)\n"
    )
    result = CliRunner().invoke(app, ["find", str(tmp_path)])
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "net.py:10 SGD(model.parameters()) weight_decay is the default "
        "decay-audit check net.py:Net --optimizer net.py:build",
        "",
        "model classes:",
        "net.py:7 Net decay-audit inspect net.py:Net",
    ]


def test_a_script_is_named_that_imports_the_optimizer_through_other_files(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import engine\nif __name__ == '__main__':\n    engine.fit()\n")
    (tmp_path / "engine.py").write_text("from solver import Solver\ndef fit():\n    Solver(1, 2)\n")
    (tmp_path / "solver.py").write_text(
        "import torch\nclass Solver:\n    def __init__(self, model, lr):\n"
        "        self.optimizer = torch.optim.SGD(model.parameters(), lr)\n"
    )
    assert "decay-audit run train.py" in CliRunner().invoke(app, ["find", str(tmp_path)]).stdout


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from torch.optim import (\n    Adam,  # first\n    SGD as S,\n)\nS(p)", 1),
        ("from torch.optim import Adam, \\\n    SGD\nSGD (p)", 1),
        ("from torch.optim import adamw\nadamw.AdamW(p)", 1),
        ("import torch.optim as o\no.Adam(p)", 1),
        ("import torch.optim.adam as a\na.Adam(p)", 1),
        ("from torch import optim as o\no.Adam(p)", 1),
        ("from torch.optim.optimizer import Optimizer\nOptimizer(p)", 0),
        ("from torch.optim import Adam\nfactory = Adam", 0),
        ("from torch.optim import lr_scheduler\nlr_scheduler.StepLR(o)", 0),
    ],
)
def test_every_way_to_import_an_optimizer_is_read(text: str, count: int) -> None:
    assert len(find_optimizers.find({"a.py": text}).calls) == count


@pytest.mark.parametrize(
    ("name", "message"), [("notes.md", "is not a Python file"), ("empty", "there is no Python file in")]
)
def test_what_is_not_python_is_said(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "notes.md").write_text("# Notes\n")
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(app, ["find", str(tmp_path / name)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["find", str(tmp_path / "nowhere")]).exit_code == 2
