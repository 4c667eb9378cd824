"""A model gets the same decisions wherever it is decided: on the command line, in Python, in a script, in a test."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import decay_audit
from decay_audit.api.locking import read as read_lock
from decay_audit.cli import app
from tests.process_group import process_group

MODELS = """
import torch
from torch import nn

class Gain(nn.Module):
    '''A gain, a matrix and a shift that neither their names nor their shapes tell.'''
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(12, 6)
        self.theta = nn.Parameter(torch.ones(6))
        self.rho = nn.Parameter(torch.zeros(6, 4))
        self.zeta = nn.Parameter(torch.zeros(1, 4))

    def forward(self, x):
        x = self.lin(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.theta
        return x @ self.rho + self.zeta

class Table(nn.Module):
    '''Positions, in a parameter that is called like nothing.'''
    def __init__(self):
        super().__init__()
        self.lin, self.omega = nn.Linear(12, 6), nn.Parameter(torch.zeros(1, 8, 6))
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        x = self.lin(x.reshape(-1, 8, 12) if x.dim() == 3 and x.shape[1] != 8 else x)
        return self.out(x + self.omega)

class Stack(nn.Module):
    '''Tells no input: the first matrix does.'''
    def __init__(self):
        super().__init__()
        self.psi, self.chi = nn.Parameter(torch.zeros(3, 6, 5)), nn.Parameter(torch.zeros(3, 1, 5))

    def forward(self, x):
        x = x.reshape(-1, 6)
        return torch.baddbmm(self.chi, x.expand(3, *x.shape), self.psi).sum(0)
"""
TRAIN = """
import torch
from nets import Gain, Stack
gain, stack = Gain(), Stack()
of_gain, of_stack = (torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.05) for model in (gain, stack))
(gain(torch.randn(2, 12)).sum() + stack(torch.randn(2, 6)).sum()).backward()
of_gain.step()
"""
DECAYED = {
    "Gain": {"lin.weight", "rho"},
    "Table": {"lin.weight", "out.weight"},
    "Stack": {"psi"},
}
"""What is a factor of a matrix product: by reading the forward pass above."""
Decisions = Mapping[str, bool]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    (folder / "nets.py").write_text(MODELS)
    (folder / "train.py").write_text(TRAIN)
    return folder


@pytest.fixture
def nets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.chdir(folder)
    namespace = ModuleType("nets")
    exec(MODELS, vars(namespace))
    return namespace


def output(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def in_report(report: Mapping[str, object]) -> Decisions:
    records = report["parameters"]
    assert isinstance(records, list)
    return {record["name"]: record["weight_decay"] > 0 for record in records}


def in_groups(model: nn.Module, groups: list[dict[str, object]]) -> Decisions:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(tensor)]: group["weight_decay"] != 0 for group in groups for tensor in group["params"]}  # type: ignore[attr-defined]


def by_inspect(nets: ModuleType, name: str) -> Decisions:
    return in_report(json.loads(output("inspect", f"nets.py:{name}", "--format", "json")))


def by_check(nets: ModuleType, name: str) -> Decisions:
    arguments = ("--optimizer", "torch.optim:AdamW(model.parameters(), weight_decay=0.05)", "--format", "json")
    report = json.loads(output("check", f"nets.py:{name}", *arguments))
    return in_report(report)


def by_lock(nets: ModuleType, name: str) -> Decisions:
    output("lock", f"nets.py:{name}", "--output", f"{name}.lock")
    entries = read_lock(Path(f"{name}.lock")).entries
    return {parameter: entry.weight_decay != "0" for parameter, entry in entries.items()}


def by_explain(nets: ModuleType, name: str) -> Decisions:
    parameters = [parameter for parameter, _ in getattr(nets, name)().named_parameters()]
    texts = {parameter: output("explain", f"nets.py:{name}", parameter) for parameter in parameters}
    return {parameter: text.startswith(f"{parameter} decays with ") for parameter, text in texts.items()}


def by_diff(nets: ModuleType, name: str) -> Decisions:
    """Two rulesets: one that decays every parameter shows what the other spares."""
    rules = ("--rules", "no-norm-no-bias", "--rules", "torch-default")
    differences = json.loads(output("diff", f"nets.py:{name}", *rules, "--format", "json"))["differences"]
    spared = {parameter for difference in differences for parameter in difference["parameters"]}
    return {parameter: parameter not in spared for parameter, _ in getattr(nets, name)().named_parameters()}


def by_emit(style: str) -> Callable[[ModuleType, str], Decisions]:
    def decisions(nets: ModuleType, name: str) -> Decisions:
        namespace: dict[str, object] = {}
        exec(output("emit", f"nets.py:{name}", "--style", style), namespace)
        model = getattr(nets, name)()
        return in_groups(model, namespace["param_groups"](model))  # type: ignore[operator]

    return decisions


def by_param_groups(nets: ModuleType, name: str) -> Decisions:
    model = getattr(nets, name)()
    return in_groups(model, decay_audit.param_groups(model, weight_decay=0.1))


def by_plan(nets: ModuleType, name: str) -> Decisions:
    return {decision.name: decision.decays for decision in decay_audit.plan(getattr(nets, name)()).decisions}


def by_audit(nets: ModuleType, name: str) -> Decisions:
    model = getattr(nets, name)()
    report = decay_audit.audit(model, torch.optim.AdamW(model.parameters()))
    return {decision.name: decision.decays for decision in report.plan.decisions}


def by_assert_decay(nets: ModuleType, name: str) -> Decisions:
    """The pytest fixture is this function."""
    model = getattr(nets, name)()
    groups = [
        {"params": [tensor for own, tensor in model.named_parameters() if own in DECAYED[name]], "weight_decay": 0.1},
        {"params": [tensor for own, tensor in model.named_parameters() if own not in DECAYED[name]], "weight_decay": 0},
    ]
    report = decay_audit.assert_decay(model, torch.optim.AdamW(groups))
    return {decision.name: decision.decays for decision in report.plan.decisions}


ENTRY_POINTS = {
    "inspect": by_inspect,
    "check": by_check,
    "lock": by_lock,
    "explain": by_explain,
    "diff": by_diff,
    "emit --style rule": by_emit("rule"),
    "emit --style names": by_emit("names"),
    "emit --style library": by_emit("library"),
    "param_groups": by_param_groups,
    "plan": by_plan,
    "audit": by_audit,
    "assert_decay": by_assert_decay,
}


@pytest.mark.parametrize("name", DECAYED)
@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_every_entry_point_decides_a_hand_written_module_by_its_use(
    entry_point: str, name: str, nets: ModuleType
) -> None:
    decisions = ENTRY_POINTS[entry_point](nets, name)
    assert {parameter for parameter, decays in decisions.items() if decays} == DECAYED[name]


def test_a_script_that_runs_is_decided_alike(folder: Path) -> None:
    command = [sys.executable, "-m", "decay_audit", "run", "--format", "json", "train.py"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    decisions = {report["target"]: in_report(report) for report in json.loads(result.stdout)}
    decayed = {target: {name for name, decays in chosen.items() if decays} for target, chosen in decisions.items()}
    assert decayed == {"train.py:gain": DECAYED["Gain"], "train.py:stack": DECAYED["Stack"]}


class Collective(nn.Module):
    """Its forward pass talks to other processes."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.zeta = nn.Parameter(torch.zeros(6, 4)), nn.Parameter(torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x @ self.theta + self.zeta
        torch.distributed.all_reduce(x)
        return x


def test_a_pass_of_one_process_does_not_wait_for_others_and_a_sharded_model_is_not_traced() -> None:
    from torch.distributed.fsdp import fully_shard

    with process_group():
        decided = decay_audit.plan(Collective()).decisions
        assert {decision.name: decision.decays for decision in decided} == {"theta": True, "zeta": False}
        sharded = Collective()
        fully_shard(sharded)
        notes = decay_audit.read(sharded).notes
        assert notes == ("not traced: the parameters are sharded (DTensor); roles come from classes and names",)
