"""A state dict is found by what it holds, under any key of a training script."""

import argparse
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.sources.checkpoint import read


def model() -> nn.Module:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), head=nn.Linear(4, 2)))


NAMES = [name for name, _ in model().named_parameters()]


def reading(content: object, folder: Path, key: str | None = None) -> Inventory:
    torch.save(content, folder / "run.pt")
    return read(folder / "run.pt", target="run.pt", key=key)


def names(inventory: Inventory) -> list[str]:
    return [parameter.name for parameter in inventory.parameters]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state},
        lambda state: {"state_dict": state, "epoch": 3, "best_acc1": torch.tensor(71.0)},
        lambda state: {"epoch": 1, "model_state": state, "optimizer_state": {}},
        lambda state: {"model": {"state_dict": state}, "loss": [0.1, 0.2]},
        lambda state: {"checkpoint": [{"network": state}]},
        lambda state: {"args": argparse.Namespace(lr=0.1), "model": state},
        lambda state: {"anything at all": {5: {"deep": (state, 1)}}},
        lambda state: argparse.Namespace(weights=state, step=3),
    ],
)
def test_a_state_dict_is_found_at_any_place(wrap: Any, tmp_path: Path) -> None:
    assert names(reading(wrap(model().state_dict()), tmp_path)) == NAMES


def test_the_larger_of_two_state_dicts_is_taken_and_the_other_named(tmp_path: Path) -> None:
    small, large = nn.Linear(2, 3).state_dict(), model().state_dict()
    inventory = reading({"critic": small, "actor": large, "step": 1}, tmp_path)
    assert names(inventory) == NAMES
    assert inventory.notes == (
        "the state dict at 'actor' was read; the file also holds 'critic': choose one with --key",
    )


def test_key_chooses_another_state_dict(tmp_path: Path) -> None:
    content = {"models": {"critic": nn.Linear(2, 3).state_dict(), "actor": model().state_dict()}}
    assert names(reading(content, tmp_path, "models.critic")) == ["weight", "bias"]


def test_key_on_a_node_above_reads_all_below_it(tmp_path: Path) -> None:
    content = {"model": {"embedding": {"word": {"weight": torch.zeros(9, 4)}}, "encoder": nn.Linear(4, 4).state_dict()}}
    inventory = reading(content, tmp_path, "model")
    assert names(inventory) == ["embedding.word.weight", "encoder.weight", "encoder.bias"]


def test_a_wrong_key_names_the_nearest_and_the_others(tmp_path: Path) -> None:
    content = {"actor": model().state_dict(), "critic": model().state_dict()}
    with pytest.raises(TargetError, match="'critc'") as caught:
        reading(content, tmp_path, "critc")
    assert caught.value.hint == "did you mean 'critic'? the file has state dicts at 'actor', 'critic'"


@pytest.mark.parametrize("copy", ["ema", "model_ema", "state_dict_ema", "ema_model", "swa_state", "teacher"])
def test_the_model_wins_over_its_moving_average(copy: str, tmp_path: Path) -> None:
    averaged = {**model().state_dict(), "n_averaged": torch.tensor(3)}
    inventory = reading({copy: averaged, "model": model().state_dict()}, tmp_path)
    assert inventory.notes == (
        f"the state dict at 'model' was read; the file also holds {copy!r}: choose one with --key",
    )
    assert names(reading({copy: averaged, "model": model().state_dict()}, tmp_path, copy)) == NAMES


def test_an_averaged_model_alone_is_read_without_its_prefix_and_counter(tmp_path: Path) -> None:
    inventory = reading(AveragedModel(model()).state_dict(), tmp_path)
    assert [name.removeprefix("module.") for name in names(inventory)] == NAMES
    assert "n_averaged" in {tensor.name for tensor in inventory.excluded}


def test_optimizer_state_is_no_state_dict(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
    inventory = reading({"optimizer": optimizer.state_dict(), "net": net.state_dict()}, tmp_path)
    assert (names(inventory), inventory.notes) == (["weight", "bias"], ())


def test_non_tensors_in_a_state_dict_are_excluded_with_a_reason(tmp_path: Path) -> None:
    content = {**model().state_dict(), "epoch": 3, "config": argparse.Namespace(), "norm._extra_state": None}
    reasons = {tensor.name: tensor.reason for tensor in reading(content, tmp_path).excluded}
    assert reasons["epoch"] == "not a tensor"
    assert reasons["config"] == "an object of argparse.Namespace"
    assert reasons["norm._extra_state"] == "not a tensor"


def test_code_next_to_the_tensors_is_reported_and_no_obstacle(tmp_path: Path) -> None:
    content = {
        "args": argparse.Namespace(lr=0.1),
        "model": model().state_dict(),
        "path": PurePosixPath("x"),
        "t": {1, 2},
    }
    inventory = reading(content, tmp_path)
    assert names(inventory) == NAMES
    assert inventory.opaque == ("argparse.Namespace", "pathlib.PurePosixPath")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no state dict"),
        ({"epoch": 3, "lr": [0.1]}, "holds no state dict"),
        ({"step": torch.tensor(3)}, "holds 1 entry, but no parameters"),
        (torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1).state_dict(), "the state of an optimizer, but no param"),
    ],
)
def test_a_file_without_parameters_is_an_error(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=message):
        reading(content, tmp_path)


WRAPPED = {
    "data parallel": "module.{}",
    "compiled": "_orig_mod.{}",
    "compiled data parallel": "module._orig_mod.{}",
    "data parallel compiled": "_orig_mod.module.{}",
    "fsdp": "_fsdp_wrapped_module.{}",
    "twice": "module.module.{}",
}


@pytest.mark.parametrize("form", WRAPPED.values(), ids=WRAPPED)
def test_wrapper_prefixes_are_removed_and_kept_as_raw_names(form: str, tmp_path: Path) -> None:
    inventory = reading({form.format(name): tensor for name, tensor in model().state_dict().items()}, tmp_path)
    assert names(inventory) == NAMES
    assert [parameter.raw_name for parameter in inventory.parameters] == [form.format(name) for name in NAMES]


def test_wrapper_parts_within_names_are_removed(tmp_path: Path) -> None:
    state = {
        "layers.0._checkpoint_wrapped_module.linear.weight": torch.zeros(2, 2),
        "layers.1._fsdp_wrapped_module._checkpoint_wrapped_module.linear.weight": torch.zeros(2, 2),
    }
    assert names(reading(state, tmp_path)) == ["layers.0.linear.weight", "layers.1.linear.weight"]


def test_module_is_kept_where_not_all_names_have_it(tmp_path: Path) -> None:
    state = {"module.weight": torch.zeros(2, 2), "head.weight": torch.zeros(2, 2)}
    assert names(reading(state, tmp_path)) == ["module.weight", "head.weight"]


def test_a_prefix_of_lightning_is_no_wrapper(tmp_path: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in model().state_dict().items()}
    assert names(reading({"state_dict": state}, tmp_path)) == [f"model.{name}" for name in NAMES]


def test_a_pickled_data_parallel_module_is_read_as_its_module(tmp_path: Path) -> None:
    inventory = reading({"net": nn.DataParallel(model())}, tmp_path)
    assert names(inventory) == NAMES
    assert inventory.parameters[0].owner.types == ("torch.nn.Conv2d",)


def test_a_submodule_used_twice_is_one_set_of_parameters(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    inventory = reading(nn.ModuleDict({"a": shared, "b": shared}), tmp_path)
    assert {parameter.name: parameter.tied_to for parameter in inventory.parameters} == {
        "a.weight": ("b.weight",),
        "a.bias": ("b.bias",),
    }


def test_a_tree_of_modules_is_read_whole_as_megatron_nests_it(tmp_path: Path) -> None:
    words, places = nn.Embedding(50, 8), nn.Embedding(16, 8)
    inner = {"embedding": {"words": words.state_dict(), "places": places.state_dict()}, "encoder": model().state_dict()}
    content = {"model": {"language_model": inner}, "rng": [{"states": {"tracker": torch.get_rng_state()}}], "step": 1}
    inventory = reading(content, tmp_path)
    assert names(inventory) == [
        "embedding.words.weight",
        "embedding.places.weight",
        *(f"encoder.{name}" for name in NAMES),
    ]
    assert inventory.notes == ()


def test_models_of_one_layer_are_not_read_as_parts_of_one_model(tmp_path: Path) -> None:
    content = {"models": {"critic": nn.Linear(2, 3).state_dict(), "actor": model().state_dict()}}
    assert names(reading(content, tmp_path)) == NAMES


@pytest.mark.parametrize("stage", [2, 3])
def test_the_shapes_and_buffers_that_deepspeed_saves_are_read(stage: int, tmp_path: Path) -> None:
    """Stage 3 saves empty tensors, and their shapes by group; both stages save the names of buffers."""
    net = model()
    net.register_buffer("mask", torch.ones(4, 4))
    net.get_submodule("head").requires_grad_(requires_grad=False)
    trained = {name: parameter.shape for name, parameter in net.named_parameters() if parameter.requires_grad}
    frozen = {name: parameter.shape for name, parameter in net.named_parameters() if not parameter.requires_grad}
    spread = {name: torch.empty(0) for name in NAMES} if stage == 3 else {}
    content = {
        "module": {**net.state_dict(), **spread},
        "buffer_names": [name for name, _ in net.named_buffers()],
        "optimizer": None,
        "param_shapes": [OrderedDict(list(trained.items())[:2]), OrderedDict(list(trained.items())[2:])],
        "frozen_param_shapes": OrderedDict(frozen),
        "ds_version": "0.15.4",
    }
    inventory = reading(content, tmp_path)
    assert [(parameter.name, parameter.shape, parameter.trainable) for parameter in inventory.parameters] == [
        (name, tuple(parameter.shape), parameter.requires_grad) for name, parameter in net.named_parameters()
    ]
    assert {tensor.name for tensor in inventory.excluded} == {name for name, _ in net.named_buffers()}
