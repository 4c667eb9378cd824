"""How long the audit of a live optimizer takes, as a multiple of making it: timm's grouping and AdamW's constructor.

    python -m benchmarks.live [--layers 1000] [--rounds 5]

The model has 1,000 transformer layers with 12,000 parameters, on the meta device. The functions take turns in one
process, and the medians are compared. "audit, measured" also steps the optimizer on probe tensors.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import nn

from benchmarks.torchvision_schemas import define
from decay_audit import api

SCHEMAS = define()


class TransformerLayer(nn.Module):
    """A layer with the twelve parameters of a transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


def make(model: nn.Module) -> torch.optim.Optimizer:
    """Make param groups as timm does, and AdamW."""
    from timm.optim._param_groups import param_groups_weight_decay

    return torch.optim.AdamW(param_groups_weight_decay(model, 0.05), lr=1e-3)


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = perf_counter()
    function()
    return perf_counter() - start


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--layers", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with torch.device("meta"):
        model = nn.ModuleList(TransformerLayer(64) for _ in range(options.layers))
    optimizer = make(model)
    functions: dict[str, Callable[[], object]] = {
        "group and construct": lambda: make(model),
        "audit": lambda: api.audit(model, optimizer, "timm"),
        "audit, measured": lambda: api.audit(model, optimizer, "timm", measure=True),
    }
    findings = api.audit(model, optimizer, "timm").findings
    assert not any(finding.severity == "error" for finding in findings)
    times = [[seconds(function) for function in functions.values()] for _ in range(options.rounds)]
    medians = [median(column) for column in zip(*times, strict=True)]
    print(f"{sum(1 for _ in model.parameters()):,} parameters, {options.rounds} rounds")
    for name, time in zip(functions, medians, strict=True):
        print(f"{name:<20} {time / medians[0]:6.1f} x")


if __name__ == "__main__":
    main()
