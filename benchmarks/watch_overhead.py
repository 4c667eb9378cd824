"""How much time `decay_audit.watch()` adds to a step: a training loop of 12,000 parameters, with and without it.

`python -m benchmarks.watch_overhead [PARAMETERS]` prints the time of a step, and the time and share that
the hook before each step adds. Both are measured in one process, so that other work on the machine slows both.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from decay_audit.integrations import watching
from decay_audit.sources.run.hooks.decay_audit_recorder.hooks import training

PARAMETERS = 12_000
TURNS = 3
"""How many steps are timed; the fastest counts."""


class Scales(nn.Module):
    """Many parameters of a few elements: a step computes little, and the share of the hook is large."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(4)) for _ in range(count))

    def forward(self) -> torch.Tensor:
        """Add up all elements."""
        return torch.stack(list(self.weights)).sum()


def step_of(optimizer: torch.optim.Optimizer, model: Scales) -> Callable[[], None]:
    """A step of training, as scripts take it."""

    def step() -> None:
        optimizer.zero_grad()
        model().backward()
        optimizer.step()

    return step


def seconds_of(step: Callable[[], None]) -> float:
    """Time one step."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def hook_seconds(optimizer: torch.optim.Optimizer, turns: int = 50) -> float:
    """The time that the hook before a step takes by itself."""
    started = time.perf_counter()
    for _ in range(turns):
        training._before_step(optimizer, (), {})
    return (time.perf_counter() - started) / turns


def main() -> None:
    """Print the times."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PARAMETERS
    plain_model = Scales(count)
    plain = torch.optim.AdamW(plain_model.parameters(), lr=1e-3, weight_decay=0.1)
    plain_step = step_of(plain, plain_model)
    plain_step()
    watching.watch()
    model = Scales(count)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    started = time.perf_counter()
    step_of(optimizer, model)()
    first = time.perf_counter() - started
    seconds = min(seconds_of(plain_step) for _ in range(TURNS))
    added = min(hook_seconds(optimizer) for _ in range(5))
    print(f"{count:,} parameters: a step takes {seconds * 1e3:.1f} ms")
    print(f"the watch adds {added * 1e3:.3f} ms, {added / seconds:.3%} of it; its first step took {first * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
