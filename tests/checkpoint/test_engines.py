"""Folders that engines write: the names and the groups are those of the model and the optimizer that were saved."""

from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.checkpoint.state_dict_saver import save

from decay_audit.errors import TargetError
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Optimizer
from decay_audit.sources.checkpoint import read
from tests.checkpoint.write_engines import Net, names_of_groups, save_megatron, save_zero, stepped

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def names(inventory: Inventory) -> list[str]:
    return [parameter.name for parameter in inventory.parameters]


def groups(optimizer: Optimizer) -> list[tuple[float, tuple[str, ...]]]:
    return [(group.weight_decay, group.parameters) for group in optimizer.groups]


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("below", [False, True])
def test_the_groups_of_zero_have_the_names_and_shapes_of_the_model(stage: int, below: bool, tmp_path: Path) -> None:
    net = save_zero(tmp_path, stage)
    inventory = read(tmp_path / "global_step1" if below else tmp_path, target="x")
    assert [(parameter.name, parameter.shape) for parameter in inventory.parameters] == [
        (name, tuple(parameter.shape)) for name, parameter in net.named_parameters()
    ]
    (optimizer,) = inventory.optimizers
    assert groups(optimizer) == names_of_groups(net, stepped(net))
    assert (optimizer.type, optimizer.semantics, optimizer.name_caveats) == ("AdamW", "decoupled", ())
    assert optimizer.compensates_rounding  # float32 copies are saved beside it
    assert inventory.parameters[0].tied_to == ("head.weight",)
    trained = {parameter.name: parameter.trainable for parameter in inventory.parameters}
    assert trained["frozen.weight"] is trained["frozen.bias"] is False
    assert trained["first.bias"] is True


@pytest.mark.parametrize("stage", [2, 3])
def test_groups_of_zero_whose_parts_have_another_size_get_no_names(stage: int, tmp_path: Path) -> None:
    save_zero(tmp_path, stage)
    file = next((tmp_path / "global_step1").glob("*rank_0_*optim_states.pt"))
    content = torch.load(file, weights_only=False)
    inner = content["optimizer_state_dict"]
    state = inner.get("base_optimizer_state", inner.get("optimizer_state_dict"))["state"]
    state[0] = {key: value if key == "step" else torch.zeros(999) for key, value in state[0].items()}
    torch.save(content, file)
    (optimizer,) = read(tmp_path, target="x").optimizers
    assert not any(name for group in optimizer.groups for name in group.parameters)
    assert "they may be flattened (ZeRO, FSDP)" in optimizer.name_caveats[0]


@pytest.mark.parametrize("name", ["../other", "/", ".", "a/b", "", "a\0b"])
def test_the_file_latest_cannot_lead_out_of_its_folder(name: str, tmp_path: Path) -> None:
    save_zero(tmp_path, 2)
    (tmp_path / "latest").write_text(name)
    with pytest.raises(TargetError, match="holds no checkpoint itself"):
        read(tmp_path, target="x")


def test_a_folder_that_latest_names_must_be_there(tmp_path: Path) -> None:
    save_zero(tmp_path, 2)
    (tmp_path / "latest").write_text("global_step9")
    with pytest.raises(TargetError, match="has no folder 'global_step9', which its file 'latest' names"):
        read(tmp_path, target="x")


def test_layers_of_a_deepspeed_pipeline_have_their_numbers_as_names(tmp_path: Path) -> None:
    pipeline = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    torch.save({"module": None}, tmp_path / "mp_rank_00_model_states.pt")
    for number, layer in enumerate(pipeline):
        torch.save(layer.state_dict(), tmp_path / f"layer_{number:02}-model_00-model_states.pt")
    assert names(read(tmp_path, target="x")) == [name for name, _ in pipeline.named_parameters()]


@pytest.mark.parametrize(("stages", "parts"), [(1, 1), (1, 2), (3, 1), (2, 2)])
def test_megatrons_stages_are_one_model(stages: int, parts: int, tmp_path: Path) -> None:
    whole = save_megatron(tmp_path, stages, parts)
    inventory = read(tmp_path, target="x")
    assert sorted(names(inventory)) == sorted(whole)
    assert len(inventory.optimizers) == stages
    for optimizer in inventory.optimizers:
        assert all(name.endswith("weight") for name in optimizer.groups[0].parameters if name)
    split = [note for note in inventory.notes if "split over 2 processes" in note]
    assert bool(split) == (parts == 2)


def test_the_first_stages_optimizer_has_no_parameters_of_other_stages(tmp_path: Path) -> None:
    save_megatron(tmp_path, stages=2)
    first = read(tmp_path, target="x").optimizers[0]
    listed = {name for group in first.groups for name in group.parameters if name}
    assert listed
    assert not any(".layers.2." in name or ".layers.3." in name for name in listed)


def test_the_model_and_the_optimizer_that_accelerate_saves_with_fsdp_are_one(tmp_path: Path) -> None:
    net = Net()
    optimizer = stepped(net)
    weights, states = get_state_dict(net, optimizer)
    save({"model": weights}, checkpoint_id=tmp_path / "pytorch_model_fsdp_0")
    save({"optimizer": states}, checkpoint_id=tmp_path / "optimizer_0")
    torch.save({"last_epoch": 1}, tmp_path / "scheduler.bin")
    inventory = read(tmp_path, target="x")
    (saved,) = inventory.optimizers
    assert groups(saved) == names_of_groups(net, optimizer)


def test_one_file_of_accelerate_with_fsdp_is_read_without_its_scheduler(tmp_path: Path) -> None:
    net = Net()
    optimizer = stepped(net)
    weights, states = get_state_dict(net, optimizer)
    torch.save(weights, tmp_path / "pytorch_model_fsdp.bin")
    torch.save(states, tmp_path / "optimizer.bin")
    torch.save({"last_epoch": 1}, tmp_path / "scheduler.bin")
    inventory = read(tmp_path, target="x")
    assert inventory.files == ("pytorch_model_fsdp.bin", "optimizer.bin")
    assert groups(inventory.optimizers[0]) == names_of_groups(net, optimizer)


def test_lightnings_sharded_folder_is_read(tmp_path: Path) -> None:
    net = Net()
    optimizer = stepped(net)
    weights, states = get_state_dict(net, optimizer)
    save({"state_dict": weights, "optimizer_0": states}, checkpoint_id=tmp_path)
    torch.save({"epoch": 1, "hyper_parameters": {}}, tmp_path / "meta.pt")
    inventory = read(tmp_path, target="x")
    assert groups(inventory.optimizers[0]) == names_of_groups(net, optimizer)
