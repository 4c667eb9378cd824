"""`decay-audit emit` as a user runs it: what it writes audits clean, and what fails writes nothing."""

import runpy
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from decay_audit.cli import app
from tests.menagerie import MENAGERIE

EXAMPLE = str(Path(__file__).parents[2] / "examples/resnext29.py")
SGD = ("--optimizer", "SGD", "--lr", "0.1", "--set", "momentum=0.9")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_is_emitted_audits_clean_where_one_group_does_not(tmp_path: Path) -> None:
    groups = tmp_path / "groups.py"
    common = ("--weight-decay", "5e-4")
    one_group = run("check", EXAMPLE, *common, "--optimizer", f"{EXAMPLE}:make_optimizer")
    assert (one_group.exit_code, "DA101" in one_group.stdout) == (1, True)
    assert run("emit", EXAMPLE, *common, *SGD, "--output", groups).exit_code == 0
    split = run("check", EXAMPLE, *common, "--optimizer", f"{groups}:make_optimizer")
    assert (split.exit_code, split.stdout.strip()) == (0, "")


def test_stdout_is_the_code_and_nothing_else(tmp_path: Path) -> None:
    written = tmp_path / "groups.py"
    assert run("emit", EXAMPLE, *SGD, "--output", written).exit_code == 0
    assert run("emit", EXAMPLE, *SGD).stdout == written.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--optimizer", "adamw"), "did you mean AdamW?"),
        (("--optimizer", "Muon"), "Muon only supports 2D parameters"),
        (("--optimizer", "SGD", "--set", "betas=0.9"), "unexpected keyword argument 'betas'"),
        (("--set", "momentum=0.9"), "--optimizer AdamW"),
        (("--optimizer", "SGD", "--set", "momentum"), "name=value"),
    ],
)
def test_what_cannot_be_emitted_exits_2_and_writes_nothing(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    output = tmp_path / "groups.py"
    output.write_text("# mine\n")
    result = run("emit", EXAMPLE, *arguments, "--output", output)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert output.read_text() == "# mine\n"


def test_a_class_of_a_file_beside_the_model_is_emitted_and_executed(tmp_path: Path) -> None:
    script = "import torch\n\n\nclass Mine(torch.optim.AdamW):\n    pass\n\n\nmodel = torch.nn.Linear(2, 2)\n"
    (tmp_path / "own.py").write_text(script)
    for path in ("own.Mine", "own:Mine", "own.py:Mine"):
        result = run("emit", tmp_path / "own.py", "--optimizer", path, "--lr", "0.1")
        assert (result.exit_code, "return own.Mine(param_groups(model, weight_decay), lr=lr)" in result.stdout) == (
            0,
            True,
        ), result.stderr
    assert "AttributeError" in run("emit", tmp_path / "own.py", "--optimizer", "own.Nope").stderr


@pytest.mark.parametrize(
    ("optimizer", "made"),
    [
        ("timm.optim:AdamP(model.parameters(), lr=0.1, weight_decay=0.1)", "timm.optim.AdamP(param_groups("),
        ("torch.optim:AdamW(model.parameters(), lr=0.1, weight_decay=0.1)", "optim.AdamW(param_groups("),
    ],
)
def test_the_command_of_a_fix_makes_classes_of_libraries(
    optimizer: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("import torch\n\n\nmodel = torch.nn.Linear(2, 2)\n")
    report = run("check", "own.py", "--optimizer", optimizer).stdout
    fix = shlex.split(report.partition("fix: decay-audit ")[2].splitlines()[0])
    assert run(*fix, "--output", "groups.py").exit_code == 0
    assert f"return {made}model, weight_decay), lr=lr)" in Path("groups.py").read_text()
    assert run("check", "own.py", "--optimizer", "groups.py:make_optimizer").exit_code == 0


def test_a_ruleset_with_several_optimizers_says_on_standard_error_what_to_pass() -> None:
    result = run("emit", "torch.nn:Linear(2, 2)", "--rules", "moonlight-muon")
    assert (result.exit_code, "--optimizer AdamW" in result.stderr, "note" in result.stdout) == (0, True, False)
    assert run("emit", "torch.nn:Linear(2, 2)", "--rules", "moonlight-muon", "--quiet").stderr == ""
    both = run("emit", "torch.nn:Linear(2, 2)", "-r", "moonlight-muon", "--optimizer", "AdamW", "--set", "muon.lr=0.5")
    assert "optim.Muon(" in both.stdout
    assert ", lr=0.5" in both.stdout


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_code_from_a_checkpoint_splits_the_model_that_was_saved(suffix: str, tmp_path: Path) -> None:
    model = MENAGERIE["small"]()
    weights, groups = tmp_path / f"weights.{suffix}", tmp_path / "groups.py"
    save = save_file if suffix == "safetensors" else torch.save
    save(model.state_dict(), weights)
    assert run("emit", weights, "--optimizer", "AdamW", "--output", groups).exit_code == 0
    optimizer = runpy.run_path(str(groups))["make_optimizer"](model)
    decayed, spared = optimizer.param_groups
    assert {id(tensor) for tensor in decayed["params"]} == {
        id(model.get_parameter(name)) for name in ("0.weight", "4.weight")
    }
    assert {id(tensor) for tensor in (*decayed["params"], *spared["params"])} == set(map(id, model.parameters()))


NET = """
import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(width, width))


class Net(nn.Sequential):
    def __init__(self, depth=2, gate=False):
        blocks = [nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(depth)]
        super().__init__(*blocks, *([Gate(4)] if gate else []))


def scripted():
    return torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)))
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return Path("net.py")


def test_the_header_names_every_model_on_which_the_code_was_checked(net: Path) -> None:
    result = run("emit", f"{net}:Net()", "--also", f"{net}:Net(depth=7)")
    assert result.exit_code == 0, result.stderr
    assert "# checked on  net.py:Net(): 2 decayed, 6 not\n" in result.stdout
    assert "# checked on  net.py:Net(depth=7): 7 decayed, 21 not\n" in result.stdout


def test_a_condition_that_one_size_needs_is_written_when_also_names_that_size(net: Path) -> None:
    alone = run("emit", f"{net}:Net()").stdout
    both = run("emit", f"{net}:Net()", "--also", f"{net}:Net(gate=True)").stdout
    assert ("Gate" in alone or "mix" in alone, "Gate" in both or "mix" in both) == (False, True)


def test_code_refuses_a_new_class_with_the_name_of_its_parameter_unless_it_is_open(net: Path) -> None:
    model = runpy.run_path(str(net))["Net"](gate=True)
    for arguments, refused in (((), True), (("--open",), False)):
        assert run("emit", f"{net}:Net()", *arguments, "--output", "groups.py").exit_code == 0
        param_groups = runpy.run_path("groups.py")["param_groups"]
        if refused:
            with pytest.raises((TypeError, ValueError), match=r"no param group for 2\.mix of Gate"):
                param_groups(model)
        else:
            assert sum(len(group["params"]) for group in param_groups(model)) == len(list(model.parameters()))


def test_a_scripted_model_which_has_lost_its_classes_is_selected_by_names(net: Path) -> None:
    result = run("emit", f"{net}:scripted", "--output", "groups.py")
    assert result.exit_code == 0, result.stderr
    assert "isinstance" not in Path("groups.py").read_text()


def test_the_library_style_calls_the_ruleset_that_the_command_named(net: Path) -> None:
    Path("house.yaml").write_text("schema: 1\nname: house\nweight_decay: 0.5\nrules: []\ndefault: {decay: true}\n")
    result = run("emit", f"{net}:Net()", "--style", "library", "--rules", "house.yaml")
    assert result.exit_code == 0, result.stderr
    assert 'return decay_audit.param_groups(model, "house.yaml", weight_decay)' in result.stdout


def test_a_library_call_that_needs_an_input_is_refused_with_what_works_instead(tmp_path: Path) -> None:
    model = tmp_path / "gain.py"
    model.write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class Gain(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.g = nn.Parameter(torch.ones(3))\n\n"
        "    def forward(self, x):\n        assert x.shape == (5, 3, 1, 3), 'not an input that is guessed'\n"
        "        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.g\n"
    )
    arguments = (f"{model}:Gain", "--trace", "5x3x1x3", "--optimizer", "AdamW")
    library = run("emit", *arguments, "--style", "library")
    assert (library.exit_code, library.stdout) == (2, "")
    assert "param_groups traces by itself, without an input" in " ".join(library.stderr.split())
    assert run("emit", *arguments, "--style", "names").exit_code == 0
