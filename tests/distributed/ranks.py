"""What each rank of a gloo job does: wrap the same model in every way, audit it, and write the reports to a file."""

import json
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from decay_audit import api
from decay_audit.integrations.training import LOGGER, TrainingAudit
from decay_audit.reports.report import Report


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4))


def _fully_sharded(model: nn.Sequential, mesh: DeviceMesh) -> nn.Module:
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def _tensor_parallel(model: nn.Sequential, mesh: DeviceMesh) -> nn.Module:
    return parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


WRAPPERS: dict[str, Callable[[nn.Sequential, DeviceMesh], Any]] = {
    "ddp": lambda model, mesh: nn.parallel.DistributedDataParallel(model),
    "compiled ddp": lambda model, mesh: torch.compile(nn.parallel.DistributedDataParallel(model)),
    "fsdp1": lambda model, mesh: FullyShardedDataParallel(
        model, use_orig_params=True, device_id=torch.device("cpu"), device_mesh=mesh
    ),
    "fsdp1 flat": lambda model, mesh: FullyShardedDataParallel(model, device_id=torch.device("cpu"), device_mesh=mesh),
    "fsdp2": _fully_sharded,
    "tensor parallel": _tensor_parallel,
    "zero": lambda model, mesh: nn.parallel.DistributedDataParallel(model),
}


def work(rank: int, world: int, folder: str) -> None:
    """Join the job, and write one JSON file."""
    os.environ["USE_LIBUV"] = "0"
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distributed.init_process_group("gloo", rank=rank, world_size=world, init_method=f"file://{folder}/store")
    try:
        mesh = init_device_mesh("cpu", (world,))
        reports = {kind: [_audited(kind, mesh, measure=measure) for measure in (False, True)] for kind in WRAPPERS}
        lines = _logged(WRAPPERS["ddp"](net(), mesh))
        Path(folder, f"{rank}.json").write_text(json.dumps({"reports": reports, "lines": lines}))
    finally:
        distributed.destroy_process_group()


def _audited(kind: str, mesh: DeviceMesh, *, measure: bool) -> dict[str, Any]:
    model = WRAPPERS[kind](net(), mesh)
    if kind == "zero":
        optimizer: Any = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=1e-2, weight_decay=0.1)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    return _as_json(api.audit(model, optimizer, measure=measure))


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "parameters": [
            [decision.name, list(decision.classified.parameter.shape)] for decision in report.plan.decisions
        ],
        "findings": [[finding.code, finding.message, list(finding.parameters)] for finding in report.findings],
    }


def _logged(model: nn.Module) -> list[str]:
    lines: list[str] = []

    class CollectingHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    LOGGER.addHandler(CollectingHandler())
    TrainingAudit().audit(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1), moment="now")
    return lines
