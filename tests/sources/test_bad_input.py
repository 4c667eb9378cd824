"""What goes wrong in the user's code: one message with their file, their line and their exception."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from decay_audit.errors import TargetError
from decay_audit.sources.module import build
from decay_audit.sources.target import CheckpointTarget, parse

Told = Callable[[str, str], tuple[str, str]]
BOTH = """"model.py:both()['model']\""""
GIVE = "give them in the target, for example:"
TRACE = "--verbose shows the whole trace"
HEAD = "import torch\nfrom torch import nn\n"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.chdir(tmp_path)

    def told(text: str, target: str) -> tuple[str, str]:
        Path("model.py").write_text(text)
        spec = parse(target)
        assert not isinstance(spec, CheckpointTarget)
        with pytest.raises(TargetError) as caught:
            build(spec)
        return caught.value.message, caught.value.hint

    return told


def test_a_syntax_error_is_shown_with_its_line(told: Told) -> None:
    assert told("x = 1\ndef f(:\n", "model.py") == ("model.py:2: SyntaxError: invalid syntax", "def f(:")


def test_a_file_that_is_no_utf8_is_called_so(told: Told) -> None:
    message, hint = told("x = 1\0", "model.py")
    assert (message.startswith("model.py: SyntaxError"), hint) == (True, "Python is text in UTF-8: save it as that")


def test_code_that_needs_a_gpu_is_told_that_there_is_none(told: Told) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    message, hint = told("import torch\ntorch.cuda.set_device(0)\n", "model.py")
    assert (message.startswith("model.py:2: "), "torch.cuda.is_available()" in hint) == (True, True)


def test_an_exception_while_the_file_loads_is_shown_with_its_place(told: Told) -> None:
    assert told("x = 1\ny = x / 0\n", "model.py") == ("model.py:2: ZeroDivisionError: division by zero", TRACE)


def test_an_exception_of_a_neighbour_is_shown_at_the_neighbour(told: Told) -> None:
    Path("layers.py").write_text("\n\nWIDTH = {}['width']")
    assert told("import layers", "model.py") == ("layers.py:3: KeyError: 'width'", TRACE)


def test_an_exception_inside_torch_is_shown_where_the_user_called_it(told: Told) -> None:
    message, hint = told(HEAD + "def make():\n    return nn.Conv2d(3, 4, 1, groups=2)\n", "model.py:make")
    assert (message, hint) == ("model.py:4: ValueError: in_channels must be divisible by groups", TRACE)


def test_an_exception_of_a_constructor_is_never_blamed_on_the_meta_device(told: Told) -> None:
    text = HEAD + "class Net(nn.Module):\n    def __init__(self):\n        self.lin = nn.Linear(2, 2)\n"
    message, _ = told(text, "model.py")
    assert message == "model.py:5: AttributeError: cannot assign module before Module.__init__() call"


def test_only_the_first_line_of_a_long_exception_is_shown(told: Told) -> None:
    message, _ = told("raise ValueError('first\\nsecond\\nthird')", "model.py")
    assert message == "model.py:1: ValueError: first"
    message, _ = told("raise ValueError('x' * 1000)", "model.py")
    assert len(message) < 400


def test_the_cause_of_an_exception_is_shown_beside_it(told: Told) -> None:
    text = "try:\n    {}['a']\nexcept KeyError as error:\n    raise RuntimeError('no luck') from error\n"
    assert told(text, "model.py")[0] == "model.py:4: RuntimeError: no luck (from KeyError: 'a')"


def test_a_missing_import_names_the_module(told: Told) -> None:
    assert told("import torch\nimport not_there.at_all\n", "model.py") == (
        "model.py:2: there is no module `not_there`",
        "install what provides it, or run from the folder that holds it",
    )


def test_a_file_that_ends_the_program_is_told_how_not_to(told: Told) -> None:
    message, hint = told(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\np.parse_args()", "model.py"
    )
    assert message == "model.py:4: the code ends the program instead of giving a model (SystemExit: 2)"
    assert "__main__" in hint


def test_ctrl_c_goes_through(told: Told) -> None:
    with pytest.raises(KeyboardInterrupt):
        told("raise KeyboardInterrupt", "model.py")


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("model.py:Nte", "model.py has no `Nte`", "did you mean `Net`?"),
        ("model.py:Net(wdith=3)", None, TRACE),
        ("model.py:nn.Liner(2, 2)", "torch.nn has no `Liner`", "did you mean `Linear`?"),
        ("model.py:Net(", "`Net(` is not a Python expression: '(' was never closed", None),
        ("model.py:import os", "`import os` is not a Python expression: invalid syntax", None),
        ("model.py:WIDTH", "model.py:WIDTH is of type int, not a torch.nn.Module", None),
        ("model.py:Config", "model.py:Config is the class Config, not a torch.nn.Module", None),
        ("model.py:pair", "model.py:pair is of type tuple, not a torch.nn.Module", "try: RUN 'model.py:pair[1]'"),
        ("model.py:both()", "model.py:both() is of type dict, not a torch.nn.Module", f"try: RUN {BOTH}"),
        ("model.py:both", "model.py:both() is of type dict, not a torch.nn.Module", f"try: RUN {BOTH}"),
        ("model.py:H()", "model.py:H() is of type H, not a torch.nn.Module", "try: RUN 'model.py:H().net'"),
        ("model.py:Net", "model.py:Net needs arguments: Net(width)", f"{GIVE} RUN 'model.py:Net(width=10)'"),
        ("model.py:nn.ReLU()", "model.py:nn.ReLU() has no parameters", None),
        ("model:Nte", "model has no `Nte`", "did you mean `Net`?"),
        ("model.Nte", "model has no `Nte`", "did you mean `Net`?"),
        ("modle:Net", "there is neither a file nor a module `modle`", "did you mean `model`?"),
        ("modle", "there is neither a file nor a module `modle`", "did you mean `model`?"),
        ("model.deeper.still:Net", "there is no module `model.deeper`", None),
    ],
)  # fmt: skip
def test_a_target_that_leads_nowhere_says_the_way_out(told: Told, target: str, message: str, hint: str | None) -> None:
    text = HEAD + (
        "WIDTH = 3\nclass Config: pass\n"
        "class Net(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        "pair = (WIDTH, nn.Linear(2, 2))\n"
        "def both(): return {'step': 1, 'model': nn.Linear(2, 2)}\n"
        "class H:\n    def __init__(self): self.net = nn.Linear(2, 2)\n"
    )
    said, way = told(text, target)
    assert said == (message or f"{target}: TypeError: Net.__init__() got an unexpected keyword argument 'wdith'")
    assert way == (hint or way).replace("RUN", "decay-audit inspect")
    assert way


def test_the_users_exception_stays_chained(told: Told, tmp_path: Path) -> None:
    Path("model.py").write_text("raise ValueError('mine')")
    with pytest.raises(TargetError) as caught:
        build(parse("model.py"))  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, ValueError)
