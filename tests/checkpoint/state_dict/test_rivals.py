"""Files in which the state of an optimizer is larger than the model: the model is read, and the state as a state."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from decay_audit.sources.checkpoint import read

SLOTS = ("grad_avg", "sqr_avg")


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 2))


def fastai(net: nn.Module) -> object:
    """As `Learner.save` of fastai 2 writes it: a list with the slots of each parameter."""
    return {"state": [dict.fromkeys(SLOTS, torch.zeros_like(tensor)) for tensor in net.parameters()], "hypers": [{}]}


def of_each_slot(net: nn.Module) -> object:
    return {"exp_avg": {name: torch.zeros(64, 64) for name, _ in net.named_parameters()}}


def flattened(net: nn.Module) -> object:
    """As `get_optimizer_state_dict` of torch.distributed writes it with `flatten_optimizer_state_dict`."""
    flat: dict[str, Any] = {}
    for name, tensor in net.named_parameters():
        flat |= {f"state.{name}.{slot}": torch.zeros_like(tensor) for slot in ("step", "exp_avg", "exp_avg_sq")}
        flat |= {f"param_groups.{name}.weight_decay": 0.0 if tensor.ndim < 2 else 0.1, f"param_groups.{name}.lr": 1e-3}
    return flat


@pytest.mark.parametrize("optimizer", [fastai, of_each_slot, flattened])
def test_the_model_is_read_though_the_slots_have_more_elements(optimizer: Any, tmp_path: Path) -> None:
    net = model()
    torch.save({"opt": optimizer(net), "model": net.state_dict()}, tmp_path / "model.pth")
    inventory = read(tmp_path / "model.pth", target="")
    assert [parameter.name for parameter in inventory.parameters] == [name for name, _ in net.named_parameters()]


def test_a_flattened_state_has_a_group_for_each_set_of_settings(tmp_path: Path) -> None:
    net = model()
    torch.save({"model": net.state_dict(), "optim": flattened(net)}, tmp_path / "model.pth")
    (optimizer,) = read(tmp_path / "model.pth", target="").optimizers
    assert {group.weight_decay: group.parameters for group in optimizer.groups} == {
        0.1: ("0.weight", "2.weight"),
        0.0: ("0.bias", "1.weight", "1.bias", "2.bias"),
    }


def test_a_file_of_slots_alone_is_still_read(tmp_path: Path) -> None:
    torch.save({"layer.exp_avg": torch.zeros(2, 3)}, tmp_path / "slots.pth")
    assert len(read(tmp_path / "slots.pth", target="").parameters) == 1


@pytest.mark.parametrize(
    "rival",
    [
        {"state": {index: {"left": torch.zeros(64, 64), "right": torch.zeros(64, 64)} for index in range(2)}},
        {"state": {"0.weight": {"left": torch.zeros(64, 64), "right": torch.zeros(64, 64)}}},
        {f"0.{leaf}.{slot}": torch.zeros(64, 64) for leaf in ("weight", "bias") for slot in ("left", "right")},
    ],
)
def test_slots_of_an_optimizer_that_nobody_knows_are_not_the_model(rival: dict[str, object], tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    path = tmp_path / "x.pt"
    torch.save({"preconditioner": rival, "net": net.state_dict()}, path)
    inventory = read(path, target="x")
    assert [parameter.name for parameter in inventory.parameters] == ["0.weight", "0.bias"]
    assert inventory.notes == ()
