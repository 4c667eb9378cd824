"""Without `--trace`, the forward pass runs by itself where classes and names leave a role uncertain."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from decay_audit import classify, read
from decay_audit.cli import app
from decay_audit.sources.trace import trace_automatically

MODEL = """
import sys
import torch
from torch import nn

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(12, 6)
        self.theta = nn.Parameter(torch.zeros(6, 4))
        self.zeta = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        print("printed by the forward pass")
        open("ran", "w").close()
        return self.lin(x) @ self.theta + self.zeta
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL)
    plain = MODEL.replace("self.theta = nn.Parameter", "torch.Tensor").replace(
        "self.zeta = nn.Parameter", "torch.Tensor"
    )
    (tmp_path / "plain.py").write_text(plain)
    return tmp_path


def inspect(*arguments: str) -> tuple[dict[str, str], list[str]]:
    result = CliRunner().invoke(app, ["inspect", *arguments, "--format", "json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    return {record["name"]: record["role"] for record in report["parameters"]}, report["notes"]


def test_use_tells_a_role_that_names_do_not_and_a_note_says_so(folder: Path) -> None:
    roles, notes = inspect("net.py")
    assert (roles["theta"], roles["zeta"]) == ("linear_weight", "bias")
    assert len(notes) == 1
    assert "2 parameters" in notes[0]
    assert "--no-trace" in notes[0]


def test_no_trace_runs_no_forward_pass(folder: Path) -> None:
    roles, notes = inspect("net.py", "--no-trace")
    assert (roles["theta"], roles["zeta"], notes) == ("unclassified", "unclassified", [])
    assert not (folder / "ran").exists()


def test_a_model_whose_roles_are_certain_is_not_traced(folder: Path) -> None:
    assert set(inspect("plain.py")[0].values()) == {"linear_weight", "bias"}
    assert not (folder / "ran").exists()


def test_a_trace_on_request_prints_nothing_into_the_report(folder: Path) -> None:
    assert inspect("net.py", "--trace", "2x12")[0]["zeta"] == "bias"


class Endless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.p = nn.Linear(4, 4), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.lin(x) + self.p
        while True:
            x = x.sin()


class Leaves(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        raise SystemExit


class Refuses(nn.Linear):
    @property
    def pretrained_cfg(self) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("model", [Endless(), Leaves(4, 4), Refuses(4, 4), nn.ParameterList([torch.zeros(3, 3)])])
def test_a_model_that_cannot_be_traced_is_left_to_its_structure(model: nn.Module) -> None:
    assert trace_automatically(model, 1).failure
    assert [parameter.name for parameter in read(model).parameters] == [name for name, _ in model.named_parameters()]


def test_what_a_stopped_pass_saw_counts() -> None:
    assert {item.parameter.name: item.role for item in classify(read(Endless()))}["p"] == "bias"


def test_a_parameter_that_the_pass_does_not_use_is_not_said_to_be_unused() -> None:
    class Idle(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 4)
            self.idle = nn.Parameter(torch.zeros(3))

    assert [parameter.uses for parameter in read(Idle()).parameters] == [None, None, None]


class ByHand(nn.Module):
    """No layer of torch.nn tells what it takes."""

    def __init__(self, features_last: bool, *shape: int) -> None:
        super().__init__()
        self.features_last = features_last
        self.theta, self.zeta = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape[-1]))

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == (3 if self.features_last else 4)
        x = x if self.features_last else x.permute(0, 2, 3, 1)
        return x @ self.theta + self.zeta


@pytest.mark.parametrize("model", [ByHand(True, 6, 5), ByHand(False, 6, 5), ByHand(True, 6, 5).double(),
                                   ByHand(True, 6, 5).bfloat16()])  # fmt: skip
def test_the_first_matrix_gives_the_size_of_sequences_and_images(model: nn.Module) -> None:
    assert trace_automatically(model, 2).failure == ""
    assert [item.role for item in classify(read(model))] == ["linear_weight", "bias"]


class Patches(nn.Module):
    """Cuts an image into patches itself, so that its first layer is a linear one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed, self.theta = nn.Linear(channels * 64, 12), nn.Parameter(torch.zeros(1, 16, 12))

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        return self.embed(patches) + self.theta  # type: ignore[no-any-return]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_size_of_flattened_patches_gives_images(channels: int) -> None:
    model = Patches(channels)
    assert trace_automatically(model, 2).failure == ""
    assert {item.parameter.name: item.role for item in classify(read(model))}["theta"] == "position_embedding"


class ByIds(nn.Module):
    """Indexes a table that is no nn.Embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.zeta = nn.Parameter(torch.zeros(20, 6)), nn.Parameter(torch.zeros(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta[x] @ self.zeta


class ByNumber(nn.Module):
    """Has numbers only."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.zeta = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1) * self.theta * self.zeta


@pytest.mark.parametrize("model", [ByIds(), ByNumber()])
def test_token_ids_and_any_features_are_tried_last(model: nn.Module) -> None:
    assert trace_automatically(model, 2).failure == ""
    assert all(parameter.uses for parameter in read(model).parameters)


class LowRank(nn.Module):
    """Its first parameter meets only the second before data comes, so that a wrong input reaches both."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.zeta = nn.Parameter(torch.zeros(6, 2)), nn.Parameter(torch.zeros(2, 5))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.theta @ self.zeta)


class PerEntry(nn.Module):
    """Takes a batch of entries, each with its own matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.zeta = nn.Parameter(torch.zeros(3, 6, 5)), nn.Parameter(torch.zeros(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bei,eio->beo", x, self.theta) + self.zeta


@pytest.mark.parametrize(("model", "second"), [(LowRank(), "linear_weight"), (PerEntry(), "bias")])
def test_an_input_is_looked_for_until_every_parameter_has_met_data(model: nn.Module, second: str) -> None:
    assert trace_automatically(model, 2).failure == ""
    assert [item.role for item in classify(read(model))] == ["linear_weight", second]


class Picks(nn.Module):
    """Takes one path for each value of an integer input."""

    def __init__(self) -> None:
        super().__init__()
        self.paths = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x: Tensor, path: Tensor) -> Tensor:
        for number in path.tolist():
            x = self.paths[number](x)
        return x


def test_a_small_integer_tensor_of_an_expression_keeps_its_values(folder: Path) -> None:
    from decay_audit.sources.trace import make_example_inputs, trace

    result = trace(Picks(), make_example_inputs(Picks(), "(torch.zeros(2, 4), torch.tensor([0, 2]))", {}))
    assert result.complete
    assert set(result.uses) == {"paths.0.weight", "paths.0.bias", "paths.2.weight", "paths.2.bias"}


def test_token_ids_with_values_are_data() -> None:
    from tests.trace.traced import roles

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p, self.q = nn.Embedding(9, 4), nn.Parameter(torch.zeros(4))

        def forward(self, ids: Tensor) -> Tensor:
            return nn.functional.linear(self.p(ids), torch.ones(4, 4)) * 2 + self.q.view(1, 1, 4)

    ids = torch.tensor([[1, 2, 3], [3, 4, 5]])
    assert roles(Tokens(), ids)["p.weight"] == "embedding certain"
    assert roles(Tokens(), ids)["q"].startswith("bias")
