"""How long decay-audit takes: to print help, to print a table, and for each parameter.

    python -m benchmarks.startup [--largest 1000000]

Each ratio compares the median processor times of two commands or functions that took turns in this run. Processor time
is nearly the same on a busy machine, which time of the clock is not.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from decay_audit import Inventory, Plan, RuleSet, classify, load_rules, plan, read

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parent.parent
BARE_TYPER = """
import typer

app = typer.Typer()


@app.command()
def greet(name: str = "world", loudly: bool = False) -> None:
    \"\"\"Greet somebody.\"\"\"


app()
"""
BUILD = "import sys; sys.path.insert(0, 'examples'); import torch, resnext29; {before}resnext29.resnext29_8x64d()"
Run = Callable[[], object]


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each process runs")
    parser.add_argument("--largest", type=int, default=1_000_000, help="parameters of the largest model")
    options = parser.parse_args()
    print("whole processes                                        ms   than  ratio")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE_TYPER)
        processes(
            "decay-audit --help",
            ["-m", "decay_audit", "--help"],
            {"a bare Typer program's --help": [str(bare), "--help"]},
            options.rounds,
        )
    processes(
        "decay-audit inspect examples/resnext29.py",
        ["-m", "decay_audit", "inspect", "examples/resnext29.py"],
        {
            "import torch, build the model": ["-c", BUILD.format(before="")],
            "import torch, build the model on meta": ["-c", BUILD.format(before="torch.set_default_device('meta'); ")],
        },
        max(3, options.rounds // 2),
    )
    growth(options.largest)


def processes(name: str, ours: Sequence[str], others: dict[str, Sequence[str]], rounds: int) -> None:
    """Print how long a process of ours takes, and its ratio to others."""
    runs: dict[str, Run] = {name: _process(ours)} | {other: _process(command) for other, command in others.items()}
    times = interleaved(runs, rounds)
    print(f"{name:<48} {times[name] * 1e3:8.0f}")
    for other in others:
        print(f"  {other:<46} {times[other] * 1e3:8.0f}         {times[name] / times[other]:5.2f}")


def growth(largest: int) -> None:
    """Print the cost per parameter for models of 10^2, 10^3, ... parameters."""
    from benchmarks import torchvision_schemas

    schemas = torchvision_schemas.define()
    from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

    rules = load_rules("timm")
    print()
    print("microseconds for each parameter          timm   classify+plan  ratio   read+classify+plan  ratio")
    size = 100
    while size <= largest:
        model = blocks(size)
        runs: dict[str, Run] = {
            "timm": partial(param_groups_weight_decay, model, 0.05),
            "decide": partial(_decide, read(model), rules),
            "whole": partial(plan, model, rules, 0.05),
        }
        times = {run: seconds / size * 1e6 for run, seconds in interleaved(runs, max(3, 30_000 // size)).items()}
        timm, decide, whole = times["timm"], times["decide"], times["whole"]
        line = f"{size:>9,} parameters                {timm:8.2f} {decide:15.2f} {decide / timm:6.1f}"
        print(f"{line} {whole:20.2f} {whole / timm:6.1f}", flush=True)
        size *= 10
    del schemas


def _decide(inventory: Inventory, rules: RuleSet) -> Plan:
    return plan(classify(inventory), rules, 0.05)


def blocks(parameters: int) -> "torch.nn.Module":
    """Build a model of that many parameters: blocks of linear layers and norms, named as in transformers."""
    import torch
    from torch import nn

    with torch.device("meta"):
        attention = nn.ModuleDict({"qkv": nn.Linear(2, 6), "proj": nn.Linear(2, 2, bias=False)})
        mlp = nn.ModuleDict({"fc1": nn.Linear(2, 8, bias=False), "fc2": nn.Linear(8, 2)})
        parts = {"norm1": nn.LayerNorm(2), "attn": attention, "norm2": nn.LayerNorm(2), "mlp": mlp}
    block = nn.ModuleDict(parts)
    copies = (deepcopy(block) for _ in range(parameters // len(list(block.parameters()))))
    return nn.ModuleDict({"blocks": nn.ModuleList(copies)})


def interleaved(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Run all in turn: once to warm up, then `rounds` times. Return the median seconds of processor time of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for place in range(rounds + 1):
        for name, run in runs.items():
            start = processor_seconds()
            run()
            if place:
                times[name].append(processor_seconds() - start)
    return {name: median(seconds) for name, seconds in times.items()}


def processor_seconds() -> float:
    """Return the processor time of this process and of the processes that it started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _process(arguments: Sequence[str]) -> Run:
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)


if __name__ == "__main__":
    main()
