"""Exceptions in user code become one message with the file, the line and the exception; wrong targets get a hint."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from decay_audit.errors import TargetError
from decay_audit.sources.module import build
from decay_audit.sources.target import CheckpointTarget, parse

BuildError = Callable[[str, str], tuple[str, str]]
INSIDE = """"model.py:both()['model']\""""
GIVE_ARGUMENTS = "give them in the target, for example:"
TRACEBACK = "--verbose shows the traceback"
HEAD = "import torch\nfrom torch import nn\n"


@pytest.fixture
def build_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildError:
    monkeypatch.chdir(tmp_path)

    def build_error(text: str, target: str) -> tuple[str, str]:
        Path("model.py").write_text(text)
        parsed = parse(target)
        assert not isinstance(parsed, CheckpointTarget)
        with pytest.raises(TargetError) as caught:
            build(parsed)
        return caught.value.message, caught.value.hint

    return build_error


def test_a_syntax_error_is_shown_with_its_line(build_error: BuildError) -> None:
    assert build_error("x = 1\ndef f(:\n", "model.py") == ("model.py:2: SyntaxError: invalid syntax", "def f(:")


def test_a_file_that_is_not_text_gets_the_hint_to_save_it_as_utf8(build_error: BuildError) -> None:
    message, hint = build_error("x = 1\0", "model.py")
    assert (message.startswith("model.py: SyntaxError"), hint) == (True, "save the file as text in UTF-8")


def test_code_that_needs_a_gpu_gets_a_hint_to_guard_it(build_error: BuildError) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is available")
    message, hint = build_error("import torch\ntorch.cuda.set_device(0)\n", "model.py")
    assert (message.startswith("model.py:2: "), "torch.cuda.is_available()" in hint) == (True, True)


def test_an_exception_while_the_file_loads_is_shown_with_its_location(build_error: BuildError) -> None:
    assert build_error("x = 1\ny = x / 0\n", "model.py") == (
        "model.py:2: ZeroDivisionError: division by zero",
        TRACEBACK,
    )


def test_an_exception_of_an_imported_file_is_shown_in_that_file(build_error: BuildError) -> None:
    Path("layers.py").write_text("\n\nWIDTH = {}['width']")
    assert build_error("import layers", "model.py") == ("layers.py:3: KeyError: 'width'", TRACEBACK)


def test_an_exception_inside_torch_is_shown_where_the_user_called_it(build_error: BuildError) -> None:
    message, hint = build_error(HEAD + "def make():\n    return nn.Conv2d(3, 4, 1, groups=2)\n", "model.py:make")
    assert (message, hint) == ("model.py:4: ValueError: in_channels must be divisible by groups", TRACEBACK)


def test_an_exception_of_a_constructor_is_never_blamed_on_the_meta_device(build_error: BuildError) -> None:
    text = HEAD + "class Net(nn.Module):\n    def __init__(self):\n        self.lin = nn.Linear(2, 2)\n"
    message, _ = build_error(text, "model.py")
    assert message == "model.py:5: AttributeError: cannot assign module before Module.__init__() call"


def test_only_the_first_line_of_a_long_exception_is_shown(build_error: BuildError) -> None:
    message, _ = build_error("raise ValueError('first\\nsecond\\nthird')", "model.py")
    assert message == "model.py:1: ValueError: first"
    message, _ = build_error("raise ValueError('x' * 1000)", "model.py")
    assert len(message) < 400


def test_the_cause_of_an_exception_is_shown_after_it(build_error: BuildError) -> None:
    text = "try:\n    {}['a']\nexcept KeyError as error:\n    raise RuntimeError('no luck') from error\n"
    assert build_error(text, "model.py")[0] == "model.py:4: RuntimeError: no luck (from KeyError: 'a')"


def test_a_missing_import_names_the_module(build_error: BuildError) -> None:
    assert build_error("import torch\nimport not_there.at_all\n", "model.py") == (
        "model.py:2: no module named `not_there`",
        f"not_there is not installed for {sys.executable}, which runs decay-audit: install the package that provides "
        "it there, or run decay-audit from the folder that contains it",
    )


def test_a_missing_import_names_the_active_environment_if_decay_audit_runs_in_another(
    build_error: BuildError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert "active environment" not in build_error("import not_there\n", "model.py")[1]
    monkeypatch.setenv("VIRTUAL_ENV", "/envs/training")
    _, hint = build_error("import not_there\n", "model.py")
    assert hint.endswith("to run there: /envs/training/bin/python -m pip install decay-audit")


def test_a_module_that_an_installed_package_lacks_is_not_called_a_package_to_install(build_error: BuildError) -> None:
    assert build_error("import torch.not_there\n", "model.py") == (
        "model.py:1: no module named `torch.not_there`",
        "the installed torch has no such module; it may be another version",
    )


def test_a_file_that_ends_the_program_gets_a_hint_to_guard_it(build_error: BuildError) -> None:
    message, hint = build_error(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\np.parse_args()", "model.py"
    )
    assert message == "model.py:4: this code ends the program (SystemExit: 2)"
    assert "__main__" in hint


def test_ctrl_c_goes_through(build_error: BuildError) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_error("raise KeyboardInterrupt", "model.py")


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("model.py:Nte", "model.py has no `Nte`", "did you mean `Net`?"),
        ("torch:RNNCell", "torch has no `RNNCell`", "did you mean this? RUN torch.nn:RNNCell"),
        ("model.py:NET", "model.py has no `NET`", "did you mean `Net`?"),
        ("model.py:nn.linear(2, 2)", "torch.nn has no `linear`", "did you mean `Linear`?"),
        ("model.py:Net(wdith=3)", None, TRACEBACK),
        ("model.py:nn.Liner(2, 2)", "torch.nn has no `Liner`", "did you mean `Linear`?"),
        ("model.py:Net(", "`Net(` is not a Python expression: '(' was never closed", None),
        ("model.py:import os", "`import os` is not a Python expression: invalid syntax", None),
        ("model.py:WIDTH", "model.py:WIDTH is an int, not a torch.nn.Module", None),
        ("model.py:Config", "model.py:Config is the class Config, not a torch.nn.Module", None),
        ("model.py:pair", "model.py:pair is a tuple, not a torch.nn.Module", "try: RUN 'model.py:pair[1]'"),
        ("model.py:both()", "model.py:both() is a dict, not a torch.nn.Module", f"try: RUN {INSIDE}"),
        ("model.py:both", "model.py:both() returned a dict, not a torch.nn.Module", f"try: RUN {INSIDE}"),
        ("model.py:H()", "model.py:H() is a H, not a torch.nn.Module", "try: RUN 'model.py:H().net'"),
        ("model.py:Net", "model.py:Net needs arguments: Net(width)", f"{GIVE_ARGUMENTS} RUN 'model.py:Net(width=10)'"),
        ("model.py:nn.ReLU()", "model.py:nn.ReLU() has no parameters", None),
        ("model.py:ope", "model.py has no `ope`", "it defines Config, Net, both, H"),
        ("model:Nte", "model has no `Nte`", "did you mean `Net`?"),
        ("model.Nte", "model has no `Nte`", "did you mean `Net`?"),
        ("modle:Net", "no file or module named `modle`", "did you mean `model`?"),
        ("modle", "no file or module named `modle`", "did you mean `model`?"),
        ("model.deeper.still:Net", "no module named `model.deeper`", None),
    ],
)  # fmt: skip
def test_a_wrong_target_gets_a_hint(build_error: BuildError, target: str, message: str, hint: str | None) -> None:
    text = HEAD + (
        "WIDTH = 3\nclass Config: pass\n"
        "class Net(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        "pair = (WIDTH, nn.Linear(2, 2))\n"
        "def both(): return {'step': 1, 'model': nn.Linear(2, 2)}\n"
        "class H:\n    def __init__(self): self.net = nn.Linear(2, 2)\n"
    )
    actual_message, actual_hint = build_error(text, target)
    unexpected = f"{target}: TypeError: Net.__init__() got an unexpected keyword argument 'wdith'"
    assert actual_message == (message or unexpected)
    assert actual_hint == (hint or actual_hint).replace("RUN", "decay-audit inspect")
    assert actual_hint


def test_the_users_exception_stays_chained(build_error: BuildError) -> None:
    Path("model.py").write_text("raise ValueError('mine')")
    with pytest.raises(TargetError) as caught:
        build(parse("model.py"))  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("modle.py", "did you mean model.py?"),
        ("other.py", "the current folder has model.py"),
        ("deep.py", "did you mean nets/deep.py?"),
        ("nets/shallow.py:Net", "the folder nets has deep.py"),
        ("x.pt", "the current folder has no file that ends with .pt; a target is"),
    ],
)
def test_a_missing_file_gets_a_hint_with_the_files_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    for name in ("model.py", "nets/deep.py"):
        Path(name).write_text("")
    with pytest.raises(TargetError) as caught:
        parse(target)
    assert caught.value.hint.startswith(hint)
