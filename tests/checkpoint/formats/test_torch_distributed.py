"""torch.distributed.checkpoint: its metadata and the settings of its optimizers are what was saved."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict
from torch.distributed.checkpoint.state_dict_saver import save

from decay_audit.errors import TargetError
from decay_audit.sources.checkpoint import read

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).to(torch.bfloat16))


def stepped(net: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def bare(net: nn.Module) -> dict[str, Any]:
    return net.state_dict()


def plain(net: nn.Module) -> dict[str, Any]:
    return {"model": net.state_dict(), "optimizer": stepped(net).state_dict(), "step": 3}


def by_name(net: nn.Module) -> dict[str, Any]:
    weights, states = get_state_dict(net, stepped(net))
    return {"app": {"model": weights, "optim": states}}


def flattened(net: nn.Module) -> dict[str, Any]:
    weights, states = get_state_dict(net, stepped(net), options=StateDictOptions(flatten_optimizer_state_dict=True))
    return {**weights, "optimizer": states}


@pytest.mark.parametrize("content", [bare, plain, by_name, flattened])
def test_the_tensors_of_the_model_are_those_that_were_saved(
    content: Callable[[nn.Module], dict[str, Any]], tmp_path: Path
) -> None:
    net = model()
    save(content(net), checkpoint_id=tmp_path)
    for part in tmp_path.glob("*.distcp"):
        part.write_bytes(b"")  # the tensors of the model are described in the metadata
    inventory = read(tmp_path, target="")
    assert [(parameter.name, parameter.shape, f"torch.{parameter.dtype}") for parameter in inventory.parameters] == [
        (name, tuple(parameter.shape), str(parameter.dtype)) for name, parameter in net.named_parameters()
    ]
    assert {tensor.name for tensor in inventory.excluded} == {name for name, _ in net.named_buffers()}
    assert (inventory.files, inventory.opaque, inventory.optimizers) == ((".metadata",), (), ())
    if content is bare:
        assert inventory.notes == ()
    else:
        (note,) = inventory.notes
        assert note.startswith("its optimizer state was not read: it ends early")


@pytest.mark.parametrize("content", [plain, by_name, flattened])
def test_the_param_groups_are_those_that_were_saved(
    content: Callable[[nn.Module], dict[str, Any]], tmp_path: Path
) -> None:
    net = model()
    save(content(net), checkpoint_id=tmp_path)
    inventory = read(tmp_path, target="")
    (optimizer,) = inventory.optimizers
    assert (optimizer.type, inventory.notes, optimizer.name_caveats) == ("AdamW", (), ())
    (group,) = optimizer.groups
    assert (group.weight_decay, group.lr) == (0.01, 0.001)
    assert set(group.parameters) == {name for name, _ in net.named_parameters()}


def test_settings_are_read_only_from_files_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save(plain(model()), checkpoint_id=folder)
    metadata = pickle.loads((folder / ".metadata").read_bytes())
    (folder / "__0_0.distcp").rename(tmp_path / "outside.distcp")
    for place in metadata.storage_data.values():
        place.relative_path = "../outside.distcp"
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    inventory = read(folder, target="")
    assert inventory.optimizers == ()
    assert inventory.notes == (
        "its optimizer state was not read: its metadata names '../outside.distcp', which is not a file in its folder",
    )


def test_the_state_of_an_optimizer_alone_holds_no_parameters(tmp_path: Path) -> None:
    save(stepped(model()).state_dict(), checkpoint_id=tmp_path)
    with pytest.raises(TargetError, match="holds the state of an optimizer, but no parameters"):
        read(tmp_path, target="")


def test_one_of_its_parts_is_recognized(tmp_path: Path) -> None:
    save(bare(model()), checkpoint_id=tmp_path)
    with pytest.raises(TargetError, match="is one part of a distributed checkpoint"):
        read(tmp_path / "__0_0.distcp", target="")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda metadata: metadata.__dict__.update(state_dict_metadata=None), "is not the metadata of a distributed"),
        (lambda metadata: metadata.planner_data.update({"0.bias": ("0.weight", "x")}), "has the name of a dict"),
        (
            lambda metadata: metadata.state_dict_metadata["0.bias"].__dict__.update(size=None),
            "a shape or a stride in it is not a tuple",
        ),
        (lambda metadata: metadata.state_dict_metadata["0.bias"].__dict__.update(properties=None), "has no dtype"),
    ],
)
def test_a_metadata_that_contradicts_itself_is_refused(
    edit: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    save(bare(model()), checkpoint_id=tmp_path)
    metadata = pickle.loads((tmp_path / ".metadata").read_bytes())
    edit(metadata)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(TargetError, match=message):
        read(tmp_path, target="")
