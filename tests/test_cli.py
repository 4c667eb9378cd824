"""The command line at its edges: exit codes, streams, bad input, configuration."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decay_audit.checks.codes import CODES
from decay_audit.cli import app
from decay_audit.model.choices import Format

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "resnext29.py")
SINGLE_GROUP = f"{EXAMPLE}:make_optimizer"
LINEAR = "torch.nn:Linear(2, 3)"
MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.norm = nn.LayerNorm(2)


def good(model):
    weights, rest = [model.fc.weight], [model.fc.bias, *model.norm.parameters()]
    return torch.optim.AdamW([{"params": weights, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3)


def bad(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
"""

DECAYED = "DA101 error   2 norm parameters and 1 bias are decayed; no-norm-no-bias spares them"

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(*arguments: str, encoding: str = "utf-8", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "decay_audit", *arguments],
        capture_output=True,
        encoding=encoding,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_inspect_exits_0_even_where_there_is_something_to_find(folder: Path) -> None:
    result = runner.invoke(app, ["inspect", "net.py", "--optimizer", "net.py:bad"])
    assert result.exit_code == 0
    assert "DA101" in result.stdout


def test_check_exits_1_for_an_optimizer_that_decays_norms_and_0_for_one_that_does_not(folder: Path) -> None:
    bad = runner.invoke(app, ["check", "net.py", "--optimizer", "net.py:bad"])
    assert bad.exit_code == 1
    assert "DA101 error   2 norm parameters and 1 bias are decayed" in bad.stdout
    assert "1 error in 4 parameters" in bad.stderr
    good = runner.invoke(app, ["check", "net.py", "--optimizer", "net.py:good"])
    assert good.exit_code == 0
    assert "no findings in 4 parameters" in good.stderr


@pytest.mark.parametrize("format_", [form for form in Format if form is not Format.HTML])
def test_a_format_never_changes_the_exit_code(folder: Path, format_: str) -> None:
    result = runner.invoke(app, ["check", "net.py", "--optimizer", "net.py:bad", "--format", format_])
    assert result.exit_code == 1


def test_in_machine_formats_standard_output_is_the_document_alone(folder: Path) -> None:
    (folder / "loud.py").write_text(f"print('hello from the user')\n{MODEL}")
    result = process("inspect", "loud.py", "--format", "json")
    assert json.loads(result.stdout)["totals"]["parameters"] == 4
    assert "hello from the user" in result.stderr


def test_a_filter_says_in_json_how_many_it_hides(folder: Path) -> None:
    shown = json.loads(runner.invoke(app, ["inspect", "net.py", "--role", "bias", "-f", "json"]).stdout)
    assert (shown["totals"]["parameters"], shown["totals"]["hidden"]) == (1, 3)


def test_exit_zero_and_ignore_make_a_finding_pass_and_fail_on_makes_a_warning_fail(folder: Path) -> None:
    bad = ["check", "net.py", "--optimizer", "net.py:bad"]
    assert runner.invoke(app, [*bad, "--exit-zero"]).exit_code == 0
    assert runner.invoke(app, [*bad, "--ignore", "DA1"]).exit_code == 0
    assert runner.invoke(app, [*bad, "--ignore", "DA1", "--select", "DA101"]).exit_code == 1
    (folder / "rules.yaml").write_text(
        "schema: 1\nname: mine\nextends: no-norm-no-bias\n"
        "rules:\n- {name: idle, when: {name: nothing.*}, decay: false}\n"
    )
    warned = ["check", "net.py", "--rules", "rules.yaml"]
    assert runner.invoke(app, warned).exit_code == 0
    assert runner.invoke(app, [*warned, "--fail-on", "warning"]).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nett.py"], "did you mean net.py?"),
        (["inspect", "net.py:Ne"], "did you mean `Net`?"),
        (["inspect", LINEAR, "--rules", "tim"], "did you mean `timm`?"),
        (["inspect", LINEAR, "--weight-decay", "nan"], "0 or more"),
        (["inspect", LINEAR, "--weight-decay", "inf"], "finite"),
        (["inspect", LINEAR, "--role", "biass"], "bias"),
        (["inspect", LINEAR, "--role", "norm_wieght"], "did you mean `norm_weight`?"),
        (["inspect", LINEAR, "--grep", "("], "regular expression"),
        (["inspect", LINEAR, "--measure"], "--optimizer"),
        (["inspect", LINEAR, "--model", LINEAR], "--model is for a TARGET that is a checkpoint"),
        (["inspect", LINEAR, "--optimizer", "1 +"], "not a Python expression"),
        (["inspect", LINEAR, "--optimizer", "42"], "optimizer"),
        (["check", LINEAR, "--select", "DA9"], "no code begins with DA9"),
        (["check"], "nothing to check"),
        (["explain", LINEAR], "needs a parameter's name"),
        (["explain", LINEAR, "weigth"], "weight"),
        (["explain", "DA999"], "no code DA999"),
        (["explain"], "explain needs a target and the name of a parameter, or a code"),
        (["emit", LINEAR, "--optimizer", "AdamV"], "AdamW"),
        (["rules", "show", "tim"], "timm"),
        (["diff", LINEAR, "-r", "timm", "-r", "no-bias", "-w", "nan"], "0 or more"),
        (["diff", LINEAR, "-r", "timm", "-r", "no-bias", "-f", "tree"], "'tree' is not one of"),
    ],
)
def test_bad_input_gets_one_message_with_a_way_out_and_exit_2(folder: Path, arguments: list[str], message: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert " ".join(message.split()) in " ".join(result.stderr.replace("│", " ").split())
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_command_that_is_suggested_is_the_one_that_was_typed_with_what_was_meant(folder: Path) -> None:
    (folder / "two.py").write_text(f"{MODEL}\n\none, two = Net(), Net()\nsame = one\n")
    result = runner.invoke(app, ["check", "two.py", "--weight-decay", "0.1"])
    assert result.stderr.splitlines() == [
        "error: two.py has 3 models: name the one that you mean",
        "hint: one of:",
        *(f"  decay-audit check two.py:{name} --weight-decay 0.1" for name in ("one", "two", "Net")),
    ]
    assert runner.invoke(app, ["check", "two.py:one", "--weight-decay", "0.1"]).exit_code == 0
    needy = runner.invoke(app, ["explain", "torch.nn.Linear", "bias"]).stderr
    assert needy.endswith("decay-audit explain 'torch.nn:Linear(in_features=10, out_features=10)' bias\n")
    assert runner.invoke(app, shlex.split(needy.splitlines()[-1].partition(" decay-audit ")[2])).exit_code == 0
    (folder / "pyproject.toml").write_text("[[tool.decay-audit.audits]]\ntarget = 'two.py'\n")
    assert "\n  decay-audit inspect two.py:one\n" in runner.invoke(app, ["check"]).stderr


def test_a_suggested_command_keeps_its_verb_and_its_optimizer_whatever_the_file_is_called(folder: Path) -> None:
    (folder / "checker.py").write_text(f"{MODEL}\n\none, two = Net(), Net()\n")
    (folder / "check.py").write_text((folder / "checker.py").read_text())
    both = runner.invoke(app, ["check", "check.py", "--optimizer", "check.py"]).stderr
    assert "\n  decay-audit check check.py:one --optimizer check.py\n" in both
    for name in ("checker.py", "check.py"):
        (folder / "pyproject.toml").write_text(f"[[tool.decay-audit.audits]]\ntarget = '{name}'\n")
        assert f"\n  decay-audit inspect {name}:one\n" in runner.invoke(app, ["check"]).stderr


def test_verbose_shows_the_trace_of_the_users_exception(folder: Path) -> None:
    (folder / "boom.py").write_text("from torch import nn\nclass B(nn.Module):\n def __init__(self):\n  1 / 0\n")
    quiet = runner.invoke(app, ["inspect", "boom.py"])
    assert "boom.py:4: ZeroDivisionError" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in runner.invoke(app, ["inspect", "boom.py", "--verbose"]).stderr


def test_a_failed_run_leaves_the_output_file_as_it_was(folder: Path) -> None:
    output = folder / "report.json"
    output.write_text("before")
    assert runner.invoke(app, ["inspect", "nett.py", "--output", "report.json"]).exit_code == 2
    assert output.read_text() == "before"
    assert runner.invoke(app, ["inspect", "net.py", "--format", "json", "--output", "report.json"]).exit_code == 0
    assert json.loads(output.read_text())["schema_version"] == 2
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["net.py", "report.json"]


def test_a_broken_pipe_is_quiet(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "decay_audit", "inspect", LINEAR, "--full"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    os.close(writer)
    assert result.stderr == ""
    assert result.returncode == 141


@pytest.mark.usefixtures("default_interrupts")
def test_an_interrupt_exits_130_without_a_trace(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\nprint('started', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "decay_audit", "inspect", "slow.py"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            assert child.stderr.readline() == "started\n"
            time.sleep(0.2)
            child.send_signal(signal.SIGINT)
            _, stderr = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 130
    assert "Traceback" not in stderr


def test_a_bug_of_ours_exits_3_and_asks_to_be_reported(folder: Path) -> None:
    code = (
        "import decay_audit.api, decay_audit.__main__ as main, sys\n"
        "def broken(*_): raise RuntimeError('a bug')\n"
        "decay_audit.api.run = broken\n"
        f"sys.argv = ['decay-audit', 'inspect', {LINEAR!r}]\n"
        "main.main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 3
    assert "please report" in result.stderr


def test_colour_follows_the_option_then_no_color_then_force_color(folder: Path) -> None:
    plain = process("inspect", LINEAR)
    assert "\x1b" not in plain.stdout
    assert "\x1b" in process("inspect", LINEAR, FORCE_COLOR="1").stdout
    assert "\x1b" not in process("inspect", LINEAR, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b" in process("inspect", LINEAR, "--color", "always", NO_COLOR="1").stdout


def test_the_colour_of_messages_follows_the_same_option(folder: Path) -> None:
    assert "\x1b" not in process("inspect", "nett.py").stderr
    assert process("inspect", "nett.py", "--color", "always", NO_COLOR="1").stderr.startswith(
        "\x1b[1;31merror\x1b[0m: "
    )
    assert "\x1b" not in process("inspect", "nett.py", "--color", "never", FORCE_COLOR="1").stderr


def test_a_console_without_the_letters_gets_escapes_and_no_crash(folder: Path) -> None:
    (folder / "odd.py").write_text(
        "from torch import nn\nm = nn.Module()\n"
        "m.register_parameter('gewicht_ß漢', nn.Parameter(nn.Linear(1, 2).weight))\n",
        encoding="utf-8",
    )
    result = process("inspect", "odd.py", encoding="cp1252", PYTHONIOENCODING="cp1252")
    assert result.returncode == 0
    assert "gewicht_ß\\u6f22" in result.stdout


def test_the_same_input_gives_the_same_bytes_without_a_path_of_the_machine(folder: Path) -> None:
    first, second = (process("inspect", str(folder / "net.py"), "-f", "json").stdout for _ in range(2))
    assert first == second
    assert str(folder) not in first


def test_annotations_name_the_file_from_the_folder_that_the_check_runs_in(folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "net.py").rename(folder / "models" / "net.py")
    result = runner.invoke(app, ["check", "models/net.py", "--optimizer", "models/net.py:bad", "-f", "github"])
    assert result.stdout.startswith("::error file=models/net.py")


@pytest.fixture
def resumed(folder: Path) -> Path:
    """A checkpoint of `net.py` as Lightning writes it, with the state of the bad optimizer."""
    script = "import torch, net; model = net.Net(); optimizer = net.bad(model)\n"
    script += "model.norm(model.fc(torch.ones(1, 4))).sum().backward(); optimizer.step()\n"
    script += "state = {f'model.{name}': tensor for name, tensor in model.state_dict().items()}\n"
    script += "torch.save({'state_dict': state, 'optimizer_states': [optimizer.state_dict()]}, 'last.ckpt')\n"
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    return folder / "last.ckpt"


def test_a_checkpoint_with_its_model_gives_the_models_parameters_to_the_optimizer(resumed: Path) -> None:
    arguments = ["check", resumed.name, "--model", "net.py:Net", "--optimizer", "net.py:good", "-f", "json"]
    document = json.loads(runner.invoke(app, arguments).stdout)
    findings = {finding["code"]: finding for finding in document["findings"]}
    assert findings.keys() & {"DA201", "DA203"} == set()
    for parameter in document["parameters"]:
        coefficients = [seen["weight_decay"] for seen in parameter["observed"]]
        assert coefficients == [0.1 if parameter["name"] == "fc.weight" else 0.0, 0.1]


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_a_saved_optimizer_without_names_is_never_called_clean(resumed: Path, form: str) -> None:
    script = "import torch, net; model = net.Net(); optimizer = net.good(model)\n"
    script += "torch.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict()}, 'fresh.pt')\n"
    subprocess.run([sys.executable, "-c", script], cwd=resumed.parent, check=True)
    result = runner.invoke(app, ["check", "fresh.pt", "-f", form])
    assert result.stderr.splitlines() == [
        "note: 4 of 4 parameters in its groups could not be matched to names: their shapes fit in more than one order",
        "ok fresh.pt  no findings in 4 parameters; the saved AdamW could not be compared",
    ]
    assert runner.invoke(app, ["check", "fresh.pt", "-f", form, "--quiet"]).stderr == ""


def test_check_says_what_does_not_fit_the_model_and_refuses_one_that_has_no_name_of_the_file(resumed: Path) -> None:
    (resumed.parent / "more.py").write_text(
        MODEL.replace("self.norm", "self.extra = nn.Linear(2, 2)\n        self.norm")
    )
    partly = runner.invoke(app, ["check", resumed.name, "--model", "more.py:Net"])
    assert "note: 2 parameters in more.py:Net and not in the checkpoint" in partly.stderr
    named = runner.invoke(app, ["check", "more.py:Net", "--checkpoint", resumed.name])
    assert "note: 2 parameters in more.py:Net and not in the checkpoint" in named.stderr
    wrong = runner.invoke(app, ["check", resumed.name, "--model", "torch.nn:LSTM(2, 3)"])
    assert (wrong.exit_code, "is a checkpoint of another model" in wrong.stderr) == (2, True)


def test_a_trace_that_failed_is_said_by_check_too(folder: Path) -> None:
    result = runner.invoke(app, ["check", "net.py:Net", "--trace", "torch.zeros(3, 3)"])
    assert any(line.startswith("note: ") and "trace" in line for line in result.stderr.splitlines()), result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--trace", "net.py:Net"],
        ["net.py:Net", "--trace"],
        ["--trace", "--full", "net.py:Net"],
        ["--trace", "torch.nn:Linear(4, 2)"],
        ["--trace", "2x4", "net.py:Net"],
        ["net.py:Net", "--trace", "int64:2x4"],
        ["net.py:Net", "--trace=torch.zeros(2, 4)"],
    ],
    ids=" ".join,
)
def test_trace_stands_anywhere_with_and_without_a_value(folder: Path, arguments: list[str]) -> None:
    result = runner.invoke(app, ["inspect", *arguments, "-f", "json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["target"] in ("net.py:Net", "torch.nn:Linear(4, 2)")


def test_code_for_a_checkpoint_with_its_model_runs_on_the_model(resumed: Path) -> None:
    result = runner.invoke(app, ["emit", resumed.name, "--model", "net.py:Net"])
    assert (result.exit_code, "def param_groups(" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [["net.py/net.py"], ["net.py:Net", "--checkpoint", "a" * 5000], ["net.py:Net", "--checkpoint", "a\0b"]],
    ids=["below a file", "too long", "no name at all"],
)
def test_what_cannot_be_a_file_is_not_there(folder: Path, arguments: list[str]) -> None:
    result = runner.invoke(app, ["check", *arguments])
    assert (result.exit_code, "no such file" in result.stderr) == (2, True)


def test_a_checkpoint_that_is_named_beside_another_is_the_one_whose_optimizer_is_read(resumed: Path) -> None:
    other = resumed.with_name("other.ckpt")
    script = (
        f"import torch; state = torch.load({resumed.name!r}); group = state['optimizer_states'][0]['param_groups'][0]\n"
    )
    script += f"group['weight_decay'] = 0.7; torch.save(state, {other.name!r})\n"
    subprocess.run([sys.executable, "-c", script], cwd=resumed.parent, check=True)
    result = runner.invoke(app, ["inspect", resumed.name, "--checkpoint", other.name, "-f", "json"])
    (optimizer,) = json.loads(result.stdout)["optimizers"]
    assert [group["weight_decay"] for group in optimizer["groups"]] == [0.7]


@pytest.mark.parametrize(
    "optimizer",
    [
        "torch.optim.SGD([{'params': model.parameters(), 'weight_decay': 0.1}], lr=0.1)",
        "lambda model: torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)",
        "torch.optim:SGD([{'params': model.parameters(), 'weight_decay': 0.1}], lr=0.1)",
        "torch.optim.SGD(list(model.parameters())[:9], lr=0.1, weight_decay=0.1)",
    ],
)
def test_an_optimizer_expression_may_hold_colons_of_its_own(folder: Path, optimizer: str) -> None:
    result = runner.invoke(app, ["check", "net.py", "--optimizer", optimizer])
    assert (result.exit_code, "DA101" in result.stdout) == (1, True)


def test_a_file_whose_name_has_a_blank_still_names_an_optimizer(folder: Path) -> None:
    (folder / "my train.py").write_text(MODEL)
    assert runner.invoke(app, ["check", "net.py", "--optimizer", "my train.py:good"]).exit_code == 0


def test_what_is_raised_and_is_no_exception_is_not_taken_for_findings(folder: Path) -> None:
    (folder / "skips.py").write_text("class Skipped(BaseException):\n    pass\n\n\nraise Skipped\n")
    assert process("check", "skips.py").returncode == 3


def test_a_report_is_written_through_a_link_with_the_permissions_that_the_file_has(folder: Path) -> None:
    real, link = folder / "real.txt", folder / "link.txt"
    real.write_text("before")
    real.chmod(0o640)
    link.symlink_to(real)
    assert runner.invoke(app, ["inspect", "net.py", "-o", "link.txt"]).exit_code == 0
    assert (link.is_symlink(), "fc.weight" in real.read_text(), real.stat().st_mode & 0o777) == (True, True, 0o640)


def test_what_is_no_plain_file_is_written_to_and_never_replaced(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True)
    result = runner.invoke(app, ["inspect", "net.py", "-o", "pipe"])
    assert (result.exit_code, "fc.weight" in reader.communicate(timeout=60)[0]) == (0, True)
    assert (folder / "pipe").is_fifo()


def test_an_output_in_no_folder_is_an_error_and_leaves_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    result = runner.invoke(app, ["rules", "schema", "-o", "net.py/report.json"])
    assert (result.exit_code, "cannot write" in result.stderr) == (2, True)
    assert sorted(folder.rglob("*")) == before


def test_a_name_cannot_begin_a_line_of_its_own_on_standard_error(folder: Path) -> None:
    (folder / "forged.py").write_text(
        "from torch import nn\nnet = nn.Module()\n"
        "net.register_parameter('x\\n::error::forged', nn.Parameter(nn.Linear(1, 2).weight))\n"
    )
    (folder / "strict.yaml").write_text(
        "schema: 1\nname: strict\nweight_decay: 0.1\ndefault: error\n"
        "rules: [{name: none, when: {name: none}, decay: true}]\n"
    )
    for arguments in (["explain", "forged.py", "y"], ["inspect", "forged.py", "--rules", "strict.yaml"]):
        result = runner.invoke(app, arguments)
        assert (result.exit_code, "x\\n::error::forged" in result.stderr) == (2, True)
        assert not any(line.startswith("::") for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message", "command"),
    [
        (["emit", "net.py", "--style", "foo"], "error: invalid value for '--style': 'foo' is not one of", "emit"),
        (["inspect", "net.py", "-w", "x"], "'-w': it must be a valid number", "inspect"),
        (["inspect"], "error: missing argument 'TARGET'", "inspect"),
        (["check", "--selct", "DA1"], "error: no such option: --selct", "check"),
        (["rules", "lst"], "Did you mean 'list'?", "rules"),
        (["--verison"], "error: no such option: --verison", ""),
    ],
)
def test_a_mistake_in_the_command_line_is_a_message_in_plain_words(
    arguments: list[str], message: str, command: str
) -> None:
    result = runner.invoke(app, arguments, prog_name="decay-audit")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Value error" not in result.stderr
    assert result.stderr.splitlines()[-1] == f"hint: {' '.join(filter(None, ['decay-audit', command]))} --help"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ["lock", "--lock", "x"],
            "-o FILE names the lock; --lock is an option of check and run; decay-audit lock --help",
        ),
        (["diff", "--style", "policy"], "--style is an option of emit; decay-audit diff --help"),
    ],
)
def test_an_option_of_another_command_is_said_to_be_one(arguments: list[str], hint: str) -> None:
    result = runner.invoke(app, arguments, prog_name="decay-audit")
    assert (result.exit_code, result.stderr) == (2, f"error: no such option: {arguments[1]}\nhint: {hint}\n")


def test_explain_lists_all_codes_and_those_that_begin_alike() -> None:
    listed = runner.invoke(app, ["explain", "--list"]).stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [[code, entry.severity] for code, entry in CODES.items()]
    assert runner.invoke(app, ["explain", "da70"]).stdout.splitlines() == [
        line for line in listed if line[:4] == "DA70"
    ]
