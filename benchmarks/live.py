"""What auditing a live optimizer costs, beside making it: timm's own grouping and the construction of AdamW.

    python -m benchmarks.live [--layers 1000] [--rounds 5]

A model of 1,000 transformer layers, 12,000 parameters, on meta. Both sides take turns in one process; medians are
compared. Measured is the audit that also steps probe tensors.
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


class Layer(nn.Module):
    """Twelve parameters, as in a transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


def make(model: nn.Module) -> torch.optim.Optimizer:
    """Group as timm does, and construct."""
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
        model = nn.ModuleList(Layer(64) for _ in range(options.layers))
    optimizer = make(model)
    sides: dict[str, Callable[[], object]] = {
        "group and construct": lambda: make(model),
        "audit": lambda: api.audit(model, optimizer, "timm"),
        "audit, measured": lambda: api.audit(model, optimizer, "timm", measure=True),
    }
    assert not [one for one in api.audit(model, optimizer, "timm").findings if one.severity == "error"]
    times = {name: [seconds(side) for side in sides.values()] for name in range(options.rounds)}
    medians = [median(column) for column in zip(*times.values(), strict=True)]
    print(f"{sum(1 for _ in model.parameters()):,} parameters, {options.rounds} rounds")
    for name, time in zip(sides, medians, strict=True):
        print(f"{name:<20} {time / medians[0]:6.1f} x")


if __name__ == "__main__":
    main()
