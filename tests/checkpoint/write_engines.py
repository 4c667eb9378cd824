"""Writes folders as DeepSpeed, Megatron-LM, accelerate and Lightning do, from a real model and a real optimizer.

The layout of ZeRO is that of deepspeed 0.19 (`engine.save_checkpoint`, read by `deepspeed/utils/zero_to_fp32.py`), that
of Megatron-LM `megatron/training/checkpointing.py`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """A model with a tied matrix, a buffer and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.first = nn.Linear(8, 16)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.ones(16))
        self.frozen = nn.Linear(3, 3).requires_grad_(False)


def stepped(net: nn.Module) -> torch.optim.AdamW:
    """Make an optimizer that spares vectors, and step it."""
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def names_of_groups(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[float, tuple[str, ...]]]:
    """Name the parameters of each group, as torch knows them."""
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return [
        (group["weight_decay"], tuple(names[id(parameter)] for parameter in group["params"]))
        for group in optimizer.param_groups
    ]


def save_zero(folder: Path, stage: int, processes: int = 2) -> Net:
    """Write the files of every process of ZeRO, and the file `latest`."""
    net = Net()
    optimizer = stepped(net)
    names = dict(zip(map(id, net.parameters()), dict(net.named_parameters()), strict=True))
    shapes = [{names[id(p)]: p.shape for p in group["params"]} for group in optimizer.param_groups]
    net.to(torch.bfloat16)
    state = {
        name: torch.empty(0, dtype=value.dtype) if stage == 3 else value for name, value in net.state_dict().items()
    }
    content = {
        "module": state | {"scale": net.scale},
        "buffer_names": ["scale"],
        "param_shapes": shapes,
        "frozen_param_shapes": {name: p.shape for name, p in net.named_parameters() if not p.requires_grad},
        "shared_params": {"head.weight": "embedding.weight"},
        "frozen_param_fragments": {"frozen.weight": torch.ones(5), "frozen.bias": torch.ones(2)},
        "optimizer": None,
    }
    step = folder / "global_step1"
    step.mkdir()
    (folder / "latest").write_text(step.name)
    for process in range(processes):
        prefix = f"zero_pp_rank_{process}_" if stage == 3 else ""
        torch.save(content, step / f"{prefix}mp_rank_00_model_states.pt")
        saved = _partition(optimizer, stage, processes)
        torch.save(saved, step / f"bf16_zero_pp_rank_{process}_mp_rank_00_optim_states.pt")
    return net


def _partition(optimizer: torch.optim.Optimizer, stage: int, processes: int) -> dict[str, Any]:
    """Make one vector of all states of a group, and take the part of one process."""
    states: dict[int, dict[str, Tensor]] = {}
    groups = []
    for number, group in enumerate(optimizer.param_groups):
        sizes = [parameter.numel() for parameter in group["params"]]
        total = sum(sizes) + -sum(sizes) % (2 * processes)
        size = sum(-(-count // processes) for count in sizes) if stage == 3 else total // processes
        states[number] = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(size), "exp_avg_sq": torch.zeros(size)}
        groups.append({**group, "params": [number]})
    inner = {"state": states, "param_groups": groups}
    flat = [state["exp_avg"] for state in states.values()]
    zero: dict[str, Any] = {
        "zero_stage": stage,
        "partition_count": processes if stage == 3 else [processes] * len(groups),
    }
    if stage == 3:
        zero |= {"optimizer_state_dict": inner, "fp32_flat_groups": flat}
    else:
        zero |= {"base_optimizer_state": inner, "single_partition_of_fp32_groups": flat}
    return {"optimizer_state_dict": zero, "ds_version": "0.19.8"}


def save_megatron(folder: Path, stages: int = 1, parts: int = 1) -> list[str]:
    """Write the folders of tensor-parallel parts and pipeline stages, two layers a stage; return the model's names."""
    iteration = folder / "iter_0000010"
    (folder / "latest_checkpointed_iteration.txt").write_text("10")
    whole = []
    for stage in range(stages):
        layers = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(4, 6) for _ in range(2))})
        net = nn.ModuleDict({"decoder": layers})
        if stage == 0:
            net["embedding"] = nn.Embedding(9, 4)
        if stage == stages - 1:
            net["final_layernorm"] = nn.LayerNorm(4)
        content = {
            "model": net.state_dict(),
            "optimizer": {"optimizer": stepped(net).state_dict(), "fp32_from_fp16_params": [[torch.ones(2)]]},
            "checkpoint_version": 3.0,
            "iteration": 10,
        }
        for part in range(parts):
            rank = iteration / (f"mp_rank_{part:02}_{stage:03}" if stages > 1 else f"mp_rank_{part:02}")
            rank.mkdir(parents=True)
            torch.save(content, rank / "model_optim_rng.pt")
        for name in net.state_dict():
            local = name.split(".")
            whole.append(
                name.replace(f"layers.{local[2]}", f"layers.{int(local[2]) + 2 * stage}") if "layers" in name else name
            )
    return whole
