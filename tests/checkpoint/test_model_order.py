"""The positions of a saved optimizer get their names from the order of the model that is named."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import decay_audit
from decay_audit.api import Request, load, run
from decay_audit.api.migrating import migrate
from decay_audit.errors import DecayAuditError
from decay_audit.model.observations import Optimizer
from decay_audit.sources.checkpoint import read
from decay_audit.sources.checkpoint.onto_model import put_in_model_order
from decay_audit.sources.checkpoint.state_dict.canonical_names import CanonicalNames
from decay_audit.sources.checkpoint.state_dict.merge import MergedModel

BLOCKS = """
from torch import nn, optim


def net():
    return nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(2)), nn.Linear(8, 8))


def groups(model):
    named = list(model.named_parameters())
    return [
        {"params": [parameter for _, parameter in named if parameter.ndim > 1], "weight_decay": 0.1},
        {"params": [parameter for _, parameter in named if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def split(model):
    return optim.AdamW(groups(model), lr=1e-3)


def single(model):
    return optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(BLOCKS, namespace)
    return namespace


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def named(optimizer: Optimizer) -> list[list[str]]:
    return [list(group.parameters) for group in optimizer.groups]


def wanted(model: nn.Module) -> list[list[str]]:
    return [
        [name for name, parameter in model.named_parameters() if (parameter.ndim > 1) == weights]
        for weights in (True, False)
    ]


def test_one_group_of_all_needs_no_order(tmp_path: Path, code: dict[str, Any]) -> None:
    model = code["net"]()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.save(torch.optim.SGD(model.parameters(), weight_decay=0.1).state_dict(), tmp_path / "optimizer.pt")
    (optimizer,) = read(tmp_path, target="run").optimizers
    assert sorted(*named(optimizer)) == sorted(name for name, _ in model.named_parameters())
    assert not optimizer.notes


def test_one_group_of_fewer_than_all_is_not_guessed(tmp_path: Path, code: dict[str, Any]) -> None:
    model = code["net"]()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.save(torch.optim.SGD(model[:2].parameters()).state_dict(), tmp_path / "optimizer.pt")
    (optimizer,) = read(tmp_path, target="run").optimizers
    assert not any(*named(optimizer))


def test_safetensors_with_two_groups_are_mapped_by_the_models_order(tmp_path: Path, code: dict[str, Any]) -> None:
    model = code["net"]()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.save(stepped(model, code["split"](model)), tmp_path / "optimizer.pt")
    (optimizer,) = load(Request(target=str(tmp_path), model="blocks.py:net")).inventory.optimizers
    assert named(optimizer) == wanted(model)
    assert not optimizer.notes


def test_the_order_of_another_model_is_not_taken(tmp_path: Path, code: dict[str, Any]) -> None:
    model = code["net"]()
    torch.save({"model": model.state_dict(), "optimizer": stepped(model, code["split"](model))}, tmp_path / "run.pt")
    other = decay_audit.read(nn.Sequential(*[*model][::-1]))
    (optimizer,) = read(tmp_path / "run.pt", target="", model=other).optimizers
    assert named(optimizer) == wanted(model)


def test_a_model_whose_code_no_longer_ties_two_parameters_gives_no_order() -> None:
    tied = nn.ModuleDict({"head": nn.Linear(4, 4, bias=False), "embed": nn.Linear(4, 4, bias=False)})
    untied = decay_audit.read(copy.deepcopy(tied))
    tied["embed"].weight = tied["head"].weight
    parameters = decay_audit.read(tied).parameters
    saved = MergedModel(
        parameters=parameters,
        excluded=(),
        names_by_address={},
        canonical_names=CanonicalNames(parameter.name for parameter in parameters),
        in_model_order=False,
    )
    assert put_in_model_order(saved, untied) is saved
    assert put_in_model_order(saved, decay_audit.read(tied)).in_model_order


def test_frozen_parameters_of_the_model_are_in_no_group(tmp_path: Path, code: dict[str, Any]) -> None:
    model = code["net"]()
    model[0].requires_grad_(False)
    kept = [parameter for parameter in model.parameters() if parameter.requires_grad]
    state = stepped(model[1:], torch.optim.AdamW(kept))
    torch.save({"model": model.state_dict(), "optimizer": state}, tmp_path / "run.pt")
    (optimizer,) = read(tmp_path / "run.pt", target="", model=decay_audit.read(model)).optimizers
    assert named(optimizer) == [[name for name, parameter in model.named_parameters() if parameter.requires_grad]]


@pytest.mark.parametrize("at_root", [True, False])
def test_a_file_of_an_optimizer_alone_takes_names_and_order_from_the_model(
    at_root: bool, tmp_path: Path, code: dict[str, Any]
) -> None:
    model = code["net"]()
    state = stepped(model, code["single"](model))
    torch.save(state if at_root else {"optimizer": state}, tmp_path / "optimizer.pt")
    for request in (
        Request(target="blocks.py:net", checkpoint="optimizer.pt"),
        Request(target="optimizer.pt", model="blocks.py:net"),
    ):
        report = run(request)
        assert named(report.optimizers[0]) == [[name for name, _ in model.named_parameters()]]
        assert [finding.code for finding in report.findings] == ["DA101"]
    with pytest.raises(DecayAuditError, match="no parameters"):
        load(Request(target="optimizer.pt"))


def test_the_positions_of_an_optimizer_alone_are_told_apart_by_the_models_order_where_shapes_are_equal(
    tmp_path: Path,
) -> None:
    model = nn.Sequential(nn.Linear(8, 4, bias=False), nn.Linear(4, 8, bias=False), nn.Linear(8, 4, bias=False))
    first, middle, last = model.parameters()
    groups = [{"params": [first, middle], "weight_decay": 0.1}, {"params": [last], "weight_decay": 0.0}]
    torch.save(stepped(model, torch.optim.AdamW(groups)), tmp_path / "optimizer.pt")
    (optimizer,) = read(tmp_path / "optimizer.pt", target="", model=decay_audit.read(model)).optimizers
    assert named(optimizer) == [["0.weight", "1.weight"], ["2.weight"]]


def test_an_optimizer_alone_is_migrated_by_the_models_names(tmp_path: Path, code: dict[str, Any]) -> None:
    model = code["net"]()
    state = stepped(model, code["single"](model))
    torch.save(state, tmp_path / "optimizer.pt")
    request = Request(target="blocks.py:net", optimizer="blocks.py:split", checkpoint="optimizer.pt")
    migrate(request, tmp_path / "new.pt")
    fresh = code["split"](model)
    fresh.load_state_dict(torch.load(tmp_path / "new.pt"))
    for index, parameter in enumerate(model.parameters()):
        assert torch.equal(fresh.state[parameter]["exp_avg"], state["state"][index]["exp_avg"])
    assert [len(group["params"]) for group in fresh.param_groups] == [len(names) for names in wanted(model)]
