"""The folders that trainers save: a run goes on from the migrated folder as if it had not stopped."""

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import distributed, nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_distributed
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed
from torch.optim import lr_scheduler
from typer.testing import CliRunner

from decay_audit.cli import app

CODE = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def whole(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def split(model):
    weights, others = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW([{"params": weights}, {"params": others, "weight_decay": 0.01}], lr=0.5)


def two_wholes(model):
    head = torch.optim.SGD(model[2:].parameters(), lr=0.1, momentum=0.9)
    return [torch.optim.AdamW(model[:2].parameters(), lr=0.01), head]


def two_splits(model):
    body = {True: [], False: []}
    for p in model[:2].parameters():
        body[p.ndim > 1].append(p)
    head = torch.optim.SGD([{"params": [model[2].bias]}, {"params": [model[2].weight]}], lr=0.5, momentum=0.9)
    return [torch.optim.AdamW([{"params": params} for params in body.values()], lr=0.5), head]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(CODE)
    Path("saved").mkdir()
    return tmp_path


def build(factory: str) -> tuple[nn.Module, Any]:
    space: dict[str, Any] = {}
    exec(CODE, space)
    return space["model"], space[factory](space["model"])


def step(model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    model(torch.ones(2, 3)).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def migrate(to: str) -> Any:
    command = ["migrate", "saved", "--model", "net.py:model", "--to", f"net.py:{to}", "--output", "new"]
    return CliRunner().invoke(app, command)


def save_plain(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def save_by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"app": {"model": model.state_dict(), "optimizer": get_optimizer_state_dict(model, optimizer)}}


def save_flat(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    return {
        "model": model.state_dict(),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options),
    }


@pytest.mark.parametrize("save", [save_plain, save_by_name, save_flat])
@pytest.mark.usefixtures("folder")
def test_torch_continues_from_a_migrated_distributed_checkpoint_as_if_it_had_not_stopped(
    save: Callable[[nn.Module, torch.optim.Optimizer], dict[str, Any]],
) -> None:
    model, optimizer = build("whole")
    for _ in range(3):
        step(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_distributed(save(model, optimizer), checkpoint_id="saved", no_dist=True)
    weights = copy.deepcopy(model.state_dict())
    result = migrate("split")
    assert result.exit_code == 0, result.stderr
    assert "1 group to 2 groups; 6 parameters, 6 states moved" in result.stdout

    resumed, new_optimizer = build("split")
    resumed.load_state_dict(weights)
    step(resumed, new_optimizer)  # a distributed checkpoint is loaded into states that exist
    saved = save(resumed, new_optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_distributed(saved, checkpoint_id="new", no_dist=True)
    state = saved["app"]["optimizer"] if "app" in saved else saved["optimizer"]
    if save is save_plain:
        new_optimizer.load_state_dict(state)
    else:
        flat = StateDictOptions(flatten_optimizer_state_dict=save is save_flat)
        set_optimizer_state_dict(resumed, new_optimizer, state, options=flat)
    assert not distributed.is_initialized()
    resumed.load_state_dict(weights)
    assert [(group["lr"], len(group["params"])) for group in new_optimizer.param_groups] == [(0.01, 2), (0.01, 4)]
    for _ in range(10):
        step(model, optimizer)
        step(resumed, new_optimizer)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters(), strict=True))


def test_accelerates_folder_with_several_optimizers_and_schedulers_is_moved_file_by_file(folder: Path) -> None:
    """`accelerator.save_state` numbers the files of the second optimizer and of its scheduler."""
    model, optimizers = build("two_wholes")
    schedulers = [lr_scheduler.StepLR(optimizer, 2) for optimizer in optimizers]
    for _ in range(3):
        step(model, *optimizers)
        for scheduler in schedulers:
            scheduler.step()
    weights = copy.deepcopy(model.state_dict())
    save_file(weights, "saved/model.safetensors")
    for number, (optimizer, scheduler) in enumerate(zip(optimizers, schedulers, strict=True)):
        ending = f"_{number}" if number else ""
        named = optimizer.state_dict()
        for group, live in zip(named["param_groups"], optimizer.param_groups, strict=True):
            group["param_names"] = [name for name, p in model.named_parameters() if any(p is q for q in live["params"])]
        torch.save(named, f"saved/optimizer{ending}.bin")
        torch.save(scheduler.state_dict(), f"saved/scheduler{ending}.bin")
    Path("saved/random_states_0.pkl").write_bytes(b"random")
    result = migrate("two_splits")
    assert result.exit_code == 0, result.stderr
    assert {file.name for file in Path("new").iterdir()} == {file.name for file in Path("saved").iterdir()}
    assert Path("new/random_states_0.pkl").read_bytes() == b"random"

    resumed, new_optimizers = build("two_splits")
    new_schedulers = [lr_scheduler.StepLR(optimizer, 2) for optimizer in new_optimizers]
    resumed.load_state_dict(weights)
    for number, (optimizer, scheduler) in enumerate(zip(new_optimizers, new_schedulers, strict=True)):
        ending = f"_{number}" if number else ""
        optimizer.load_state_dict(torch.load(f"new/optimizer{ending}.bin"))
        scheduler.load_state_dict(torch.load(f"new/scheduler{ending}.bin"))
    for group in new_optimizers[0].param_groups:
        assert (group["lr"], group["weight_decay"]) == (pytest.approx(0.001), 0.01)
    for _ in range(10):
        step(model, *optimizers)
        step(resumed, *new_optimizers)
        for scheduler in (*schedulers, *new_schedulers):
            scheduler.step()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters(), strict=True))


def test_the_sharded_folder_of_accelerate_with_fsdp_is_migrated_with_its_scheduler(folder: Path) -> None:
    model, optimizer = build("whole")
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        step(model, optimizer)
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_distributed({"model": model.state_dict()}, checkpoint_id="saved/pytorch_model_fsdp_0", no_dist=True)
        state = {"optimizer": get_optimizer_state_dict(model, optimizer)}
        save_distributed(state, checkpoint_id="saved/optimizer_0", no_dist=True)
    torch.save(scheduler.state_dict(), "saved/scheduler.bin")
    result = migrate("split")
    assert result.exit_code == 0, result.stderr
    assert torch.load("new/scheduler.bin")["base_lrs"] == [0.01, 0.01]
    assert (folder / "new/pytorch_model_fsdp_0/.metadata").is_file()
    dcp_to_torch_save("new/optimizer_0", "optimizer.pt")
    groups = torch.load("optimizer.pt")["optimizer"]["param_groups"]
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(pytest.approx(0.001), 0.01)] * 2
    assert [group["params"] for group in groups] == [
        ["0.weight", "2.weight"],
        ["0.bias", "1.weight", "1.bias", "2.bias"],
    ]


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return Path.unlink, (Path("net.py"),)  # type: ignore[return-value]


def test_the_metadata_of_a_distributed_checkpoint_runs_no_code(folder: Path) -> None:
    """torch itself unpickles it without a limit."""
    model, optimizer = build("whole")
    step(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_distributed(save_plain(model, optimizer), checkpoint_id="saved", no_dist=True)
    metadata = pickle.loads((folder / "saved/.metadata").read_bytes())
    metadata.state_dict_metadata["extra"] = Malicious()
    (folder / "saved/.metadata").write_bytes(pickle.dumps(metadata))
    refused = migrate("split")
    assert refused.exit_code == 2
    assert "torch cannot load saved safely: the metadata refers to pathlib.Path.unlink" in refused.stderr
    assert (folder / "net.py").is_file()
    assert not (folder / "new").exists()


def test_a_value_of_a_distributed_checkpoint_runs_no_code(folder: Path) -> None:
    """torch itself unpickles every value that is no tensor."""
    model, optimizer = build("whole")
    step(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_distributed({**save_plain(model, optimizer), "extra": Malicious()}, checkpoint_id="saved", no_dist=True)
    refused = migrate("split")
    assert refused.exit_code == 2
    assert "torch cannot load saved safely" in refused.stderr
    assert (folder / "net.py").is_file()


def test_a_folder_whose_engine_splits_the_state_is_refused_with_a_way_out(folder: Path) -> None:
    torch.save({"module": {}}, "saved/mp_rank_00_model_states.pt")
    torch.save({}, "saved/zero_pp_rank_0_mp_rank_00_optim_states.pt")
    refused = migrate("split")
    assert refused.exit_code == 2
    assert "ds_to_universal.py" in refused.stderr
