"""A script is stopped where its training starts: its model and optimizer are taken, and nothing is trained."""

from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

from decay_audit.cli import app
from decay_audit.sources.module import BuiltModel, build
from decay_audit.sources.target import FileTarget, ModuleTarget, parse

HEAD = """
import torch
from torch import nn
def count(word, file):
    with open(file, "a") as counted:
        counted.write(word)
def trained(): count("step ", "steps.txt")
count("run ", "runs.txt")
model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=5e-4)
"""
BODIES = {
    "a loop": """
        for step in range(1000):
            loss = model(torch.randn(8, 4)).square().mean()
            optimizer.zero_grad(); loss.backward(); optimizer.step(); trained()
        torch.save(model.state_dict(), "out.pt")
    """,
    "epochs of a loader": """
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(64, 4)), batch_size=8)
        for epoch in range(3):
            for (x,) in data:
                trained()
                model(x).square().mean().backward()
                optimizer.step()
        torch.save(model.state_dict(), "out.pt")
    """,
    "a function with epochs": """
        def train(model, optimizer):
            model.train()
            loss = model(torch.randn(8, 4)).square().mean()
            loss.backward(); optimizer.step(); trained()
        for epoch in range(3):
            train(model, optimizer)
        torch.save(model.state_dict(), "out.pt")
    """,
    "one step outside a loop": """
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step(); trained()
        torch.save(model.state_dict(), "out.pt")
    """,
    "torch.autograd.backward": """
        for step in range(9):
            torch.autograd.backward(model(torch.randn(8, 4)).square().mean())
            optimizer.step(); trained()
        torch.save(model.state_dict(), "out.pt")
    """,
    "a closure": """
        def closure():
            loss = model(torch.randn(8, 4)).square().mean()
            loss.backward()
            trained()
            return loss
        while True:
            optimizer.step(closure)
    """,
    "exceptions caught": """
        for step in range(1000):
            try:
                model(torch.randn(8, 4)).square().mean().backward()
                optimizer.step(); trained()
            except Exception:
                trained()
        torch.save(model.state_dict(), "out.pt")
    """,
    "everything caught": """
        for step in range(10):
            try:
                model(torch.randn(8, 4)).square().mean().backward()
                trained()
            except:
                pass
        torch.save(model.state_dict(), "out.pt")
        model(torch.randn(8, 4)).mean().backward()
    """,
    "a save at the end": """
        try:
            for step in range(1000):
                model(torch.randn(8, 4)).square().mean().backward()
                optimizer.step(); trained()
        finally:
            torch.save(model.state_dict(), "out.pt")
    """,
    "gradients set by hand": """
        for step in range(9):
            for each in model.parameters():
                each.grad = torch.zeros_like(each)
            optimizer.step(); trained()
        torch.save(model.state_dict(), "out.pt")
    """,
}

runner = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(body: str, head: str = HEAD, name: str = "train.py") -> None:
    Path(name).write_text(head + dedent(body))


def built(text: str) -> BuiltModel:
    target = parse(text)
    assert isinstance(target, FileTarget | ModuleTarget)
    return build(target)


def assert_untrained() -> None:
    assert not Path("steps.txt").exists()
    assert not Path("out.pt").exists()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_script_is_stopped_before_its_first_step(body: str) -> None:
    write(body)
    result = built("train.py")
    assert [parameter.name for parameter in result.inventory.parameters] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert any(note.startswith("the script was stopped at train.py:") for note in result.inventory.notes)
    assert_untrained()


@pytest.mark.parametrize("name", ["a loop", "epochs of a loader", "a function with epochs", "a closure"])
def test_a_script_that_is_stopped_has_run_once(name: str) -> None:
    write(BODIES[name])
    built("train.py")
    assert Path("runs.txt").read_text() == "run "


def test_code_that_needs_numbers_before_it_trains_runs_once() -> None:
    write("start = model(torch.randn(8, 4)).mean().item()" + dedent(BODIES["a loop"]))
    result = built("train.py")
    assert result.inventory.built_on == "cpu"
    assert Path("runs.txt").read_text() == "run "
    assert_untrained()


def test_a_class_of_a_stopped_script_is_built_without_another_run() -> None:
    net = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, int(torch.ones(1).item()) + 2)
    """
    write(dedent(net) + dedent(BODIES["a loop"]))
    assert built("train.py:Net").inventory.built_on == "streamed"  # meta does not work, and is tried first
    assert Path("runs.txt").read_text() == "run "


def test_check_judges_the_optimizer_of_a_script() -> None:
    write(BODIES["a loop"])
    result = runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:optimizer"])
    assert result.exit_code == 1
    assert "DA101 error   2 norm parameters and 1 bias are decayed" in result.stdout
    assert "note: the script was stopped at train.py:13, where training starts" in result.stderr
    assert_untrained()
    groups = "[{'params': [model[0].weight]}, {'params': [model[0].bias, *model[1].parameters()], 'weight_decay': 0}]"
    write(BODIES["a loop"], HEAD.replace("model.parameters()", groups))
    assert runner.invoke(app, ["check", "train.py", "--optimizer", "optimizer"]).exit_code == 0


def test_the_optimizer_of_a_script_is_known_to_use_a_default_coefficient() -> None:
    head = HEAD.replace("torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=5e-4)", "torch.optim.AdamW([{'params'"
        ": [model[0].weight]}, {'params': [model[0].bias, *model[1].parameters()], 'weight_decay': 0}])")  # fmt: skip
    write(BODIES["a loop"], head)
    assert "DA501" in runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:optimizer"]).stdout


def test_a_model_that_a_function_of_the_script_was_training_is_found() -> None:
    main = """
    def main():
        net = nn.Linear(4, 2)
        opt = torch.optim.AdamW(net.parameters(), weight_decay=0.1)
        for step in range(9):
            net(torch.randn(8, 4)).mean().backward()
            opt.step(); trained()
    main()
    """
    write(main, HEAD.partition("model =")[0])
    result = runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:opt"])
    assert "DA101 error   1 bias is decayed" in result.stdout
    assert_untrained()


@pytest.mark.parametrize("target", ["pkg/train.py", "pkg.train", "pkg.train:model"])
def test_a_script_inside_a_package_is_stopped_too(target: str) -> None:
    Path("pkg").mkdir()
    Path("pkg/__init__.py").touch()
    Path("pkg/sizes.py").touch()
    write(BODIES["a loop"], f"from . import sizes\n{HEAD}", "pkg/train.py")
    assert len(built(target).inventory.parameters) == 4
    assert_untrained()


def test_a_script_that_another_file_imports_is_stopped_too() -> None:
    write(BODIES["a loop"])
    Path("net.py").write_text("from torch import nn\nmodel = nn.Linear(3, 1)\nimport train\n")
    assert built("net.py").inventory.parameters[0].shape == (1, 3)
    assert_untrained()


def test_a_model_file_that_tries_its_model_out_is_not_stopped() -> None:
    write("""
        with torch.no_grad():
            assert model(torch.randn(8, 4)).shape == (8, 4)
        optimizer.step()  # without gradients: torch's schedulers ask for it
        features = [each for each in torch.utils.data.DataLoader(torch.arange(4))]
        other = nn.Linear(4, 4)
        for x in torch.randn(3, 8, 4):
            other(x)
        class Late(nn.Linear):
            def __init__(self):
                super().__init__(2, 2)
    """)  # fmt: skip
    result = built("train.py:Late()")
    assert not any("stopped" in note for note in result.inventory.notes)
    assert len(result.inventory.parameters) == 2


def test_what_a_script_prints_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    write("print('before')" + dedent(BODIES["a loop"]) + "print('after')")
    built("train.py")
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "before\n")


def test_training_works_as_before_when_a_script_was_stopped() -> None:
    names = (
        (torch.optim.Optimizer, "__init__"),
        (torch.autograd, "backward"),
        (DataLoader, "__iter__"),
        (torch, "save"),
    )
    before = [getattr(owner, name) for owner, name in names]
    write("from torch.autograd import backward\nfrom torch import save" + dedent(BODIES["a loop"]))
    namespace = built("train.py").namespace
    assert [getattr(owner, name) for owner, name in names] == before
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for (x,) in DataLoader(TensorDataset(torch.ones(1, 2))):
        namespace["backward"](model(x).sum())  # type: ignore[operator]
        namespace["save"](model.state_dict(), "kept.pt")  # type: ignore[operator]
        start = torch.load("kept.pt")["weight"]
        optimizer.step()
        assert torch.equal(model.weight, start - 1)


SWALLOWS = """
import torch
from torch import nn


def write(name):
    open(name, "w").close()


def main(model=None):
    model = model or nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=5e-4)
    try:
        for step in range(10):
            try:
                model(torch.randn(8, 4)).square().mean().backward()
                optimizer.step()
            except {handler}:
                write("swallowed.txt")
    except (ValueError, BaseException):
        write("swallowed_again.txt")
    write("finished.txt")
    return model


def only_trains(model):
    model(torch.randn(8, 4)).square().mean().backward()
"""


@pytest.mark.parametrize("handler", ["", "BaseException", "(KeyError, BaseException)"])
@pytest.mark.parametrize("call", [True, False])
def test_no_handler_of_a_script_swallows_the_stop(folder: Path, handler: str, call: bool) -> None:
    text = SWALLOWS.replace("{handler}", handler)
    if call:
        text += "\n\nnet = main()\n"
    (folder / "train.py").write_text(text)
    arguments = ["train.py"] if call else ["train.py:main"]
    result = runner.invoke(app, ["inspect", *arguments])
    assert result.exit_code == 0
    assert "28 elements in 4 parameters" in result.stdout
    assert "where training starts: nothing has been trained" in result.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["train.py"]


def test_a_handler_in_a_module_beside_the_script_does_not_swallow_the_stop_either(folder: Path) -> None:
    (folder / "loop.py").write_text(SWALLOWS.replace("{handler}", ""))
    (folder / "train.py").write_text("import loop\nnet = loop.main()\n")
    result = runner.invoke(app, ["inspect", "train.py"])
    assert "train.py" in result.output
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".txt") == []


def test_handlers_of_user_code_still_catch_its_own_exceptions(folder: Path) -> None:
    (folder / "model.py").write_text(
        "from torch import nn\n"
        "try:\n    import a_package_that_is_not_there\nexcept:\n    width = 4\n"
        "try:\n    raise SystemExit\nexcept BaseException as error:\n    name = type(error).__name__\n"
        "net = nn.Linear(width, len(name))\n"
    )
    assert "model.py:net   50 elements" in runner.invoke(app, ["inspect", "model.py"]).stdout


def test_a_factory_that_trains_is_stopped_and_its_optimizer_is_judged(folder: Path) -> None:
    (folder / "train.py").write_text(SWALLOWS.replace("{handler}", ""))
    result = runner.invoke(app, ["check", "torch.nn:BatchNorm1d(4)", "--optimizer", "train.py:main"])
    assert "DA101" in result.stdout
    assert "train.py:main was stopped at train.py:16, where training starts: nothing has been trained" in result.output
    assert sorted(path.name for path in folder.iterdir()) == ["train.py"]


def test_a_factory_that_trains_without_an_optimizer_is_an_error_with_a_way_out(folder: Path) -> None:
    (folder / "train.py").write_text(SWALLOWS.replace("{handler}", ""))
    result = runner.invoke(app, ["check", "torch.nn:Linear(4, 4)", "--optimizer", "train.py:only_trains"])
    assert result.exit_code == 2
    assert "train.py:only_trains starts to train at train.py:27, before it makes an optimizer" in result.output


def test_the_stop_of_another_script_that_holds_the_optimizer_is_said(folder: Path) -> None:
    write("for step in range(9):\n    model(torch.randn(8, 4)).mean().backward()\n", name="other.py")
    (folder / "net.py").write_text("from torch import nn\nnet = nn.Linear(4, 4)\n")
    result = runner.invoke(app, ["check", "net.py:net", "--optimizer", "other.py:optimizer"])
    assert "the script was stopped at other.py:" in result.output


FAILURES = {
    "data missing": ("open('train.bin')", "train.py:11: FileNotFoundError: [Errno 2] No such file or directory"),
    "package missing": ("import a_package_that_is_not_there", "train.py:11: no module named `a_package_that"),
    "ended": ("import sys; sys.exit('no GPU')", "train.py:11: this code ends the program (SystemExit: no GPU)"),
    "no GPU": ("raise RuntimeError('no GPU')", "train.py:11: RuntimeError: no GPU"),
}
SPLIT = "[{'params': [model[0].weight]}, {'params': [model[0].bias, *model[1].parameters()], 'weight_decay': 0}]"


@pytest.mark.parametrize(("body", "message"), FAILURES.values(), ids=FAILURES)
def test_a_script_that_raises_after_its_model_and_optimizer_is_judged_by_them(body: str, message: str) -> None:
    write(body)
    result = runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:optimizer"])
    assert (result.exit_code, "DA101 error   2 norm parameters and 1 bias are decayed" in result.stdout) == (1, True)
    assert f"the script failed after it made its model and optimizer, which are used: {message}" in result.stderr
    assert "needs real values" not in result.stderr
    write(body, HEAD.replace("model.parameters()", SPLIT))
    assert runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:optimizer"]).exit_code == 0
    assert runner.invoke(app, ["inspect", "train.py"]).exit_code == 0


@pytest.mark.parametrize(("body", "message"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("made", ["", "model = nn.Linear(4, 4)\n", "other = torch.optim.SGD([torch.ones(1)])\n"])
def test_a_script_that_raises_before_it_has_a_model_and_its_optimizer_is_an_error(
    made: str, body: str, message: str
) -> None:
    Path("train.py").write_text(f"{HEAD.partition('model =')[0]}{made}{body}\nmodel = nn.Linear(4, 4)\n")
    for verb in (["inspect", "train.py"], ["check", "train.py", "--optimizer", "train.py:optimizer"]):
        result = runner.invoke(app, verb)
        assert result.exit_code == 2
        assert message.partition(": ")[2] in result.output


@pytest.mark.parametrize("target", ["pkg/train.py", "pkg.train", "pkg.train:model"])
def test_a_script_inside_a_package_may_raise_too(target: str) -> None:
    Path("pkg").mkdir()
    Path("pkg/__init__.py").touch()
    Path("pkg/sizes.py").touch()
    write("def main():\n    raise OSError('no data')\nmain()\n", f"from . import sizes\n{HEAD}", "pkg/train.py")
    result = built(target)
    assert len(result.inventory.parameters) == 4
    assert any(note.endswith("OSError: no data") for note in result.inventory.notes)
    assert Path("runs.txt").read_text() == "run "


def test_the_variables_of_a_function_that_raises_are_found() -> None:
    main = """
    def main():
        net = nn.Linear(4, 2)
        opt = torch.optim.AdamW([{"params": [net.weight]}, BIAS], weight_decay=0.1)
        open("train.bin")
    main()
    """
    write(main.replace("BIAS", '{"params": [net.bias]}'), HEAD.partition("model =")[0])
    assert "DA101" in runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:opt"]).stdout
    write(main.replace("BIAS", '{"params": [net.bias], "weight_decay": 0}'), HEAD.partition("model =")[0])
    assert runner.invoke(app, ["check", "train.py", "--optimizer", "train.py:opt"]).exit_code == 0


MAIN = """
    def main():
        with open("runs.txt", "a") as file:
            file.write("run ")
        net = nn.Linear(4, 2)
        start = net.weight.sum().item()
        opt = torch.optim.AdamW(net.parameters(), weight_decay=0.1)
        BEFORE
        for step in range(9):
            net(torch.randn(8, 4)).mean().backward()
            opt.step(); trained()
"""
MAIN_HEAD = HEAD.partition('count("run "')[0]


@pytest.mark.parametrize("optimizer", ["train.py:main", "train.py:main()", "train.py:opt", "opt"])
def test_a_function_that_makes_the_model_and_trains_it_runs_once(optimizer: str) -> None:
    write(MAIN.replace("BEFORE", ""), MAIN_HEAD)
    result = runner.invoke(app, ["check", "train.py:main", "--optimizer", optimizer])
    assert result.exit_code == 1
    assert "DA101 error   1 bias is decayed" in result.stdout
    assert "note: train.py:main was stopped at train.py:" in result.stderr
    assert Path("runs.txt").read_text() == "run "
    assert_untrained()


@pytest.mark.parametrize("optimizer", ["train.py:main", "opt"])
def test_a_function_that_raises_after_it_made_its_optimizer_is_judged(optimizer: str) -> None:
    write(MAIN.replace("BEFORE", "data = open('missing.bin')"), MAIN_HEAD)
    result = runner.invoke(app, ["check", "train.py:main", "--optimizer", optimizer])
    assert result.exit_code == 1
    assert "DA101 error   1 bias is decayed" in result.stdout
    assert "train.py:main failed after it made its model and optimizer, which are used" in result.stderr
    assert Path("runs.txt").read_text() == "run "


def test_a_function_that_raises_before_it_made_an_optimizer_is_an_error_and_runs_once() -> None:
    write(MAIN.replace("start =", "start = open('missing.bin') or"), MAIN_HEAD)
    result = runner.invoke(app, ["check", "train.py:main", "--optimizer", "train.py:main"])
    assert result.exit_code == 2
    assert "FileNotFoundError" in result.stderr
    assert Path("runs.txt").read_text() == "run "


def test_what_makes_the_optimizer_is_judged_though_it_raises_afterwards() -> None:
    net = """
    class Net(nn.Linear):
        def __init__(self):
            super().__init__(4, 2)
    def make(model):
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
        data = open("missing.bin")
        return optimizer
    def fails(model):
        data = open("missing.bin")
        return torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    """
    write(net, MAIN_HEAD)
    result = runner.invoke(app, ["check", "train.py:Net", "--optimizer", "train.py:make"])
    assert "DA101 error   1 bias is decayed" in result.stdout
    assert "train.py:make failed after it made its model and optimizer, which are used" in result.stderr
    assert runner.invoke(app, ["check", "train.py:Net", "--optimizer", "train.py:fails"]).exit_code == 2


def test_a_script_of_a_large_model_keeps_no_values_beyond_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from decay_audit.sources.module import build_devices

    write(BODIES["a loop"])
    limited = partial(build_devices._streamed, 10)
    monkeypatch.setitem(build_devices.BUILD_DEVICES, "kept", limited)
    result = built("train.py")
    assert result.inventory.built_on == "streamed"
    assert [parameter.is_meta for parameter in result.model.parameters()] == [True] * 4
