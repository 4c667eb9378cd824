"""Time and memory to read a checkpoint in a whole process, compared with json.loads of the headers, safetensors, torch.

    python -m benchmarks.checkpoints [--rounds 7]
    python -m benchmarks.checkpoints --trees      # names of several shapes: time for each 1,000 tensors

Two checkpoints are generated in a temporary folder: DeepSeek-V3 in bfloat16 (45,000 tensors in 163 sparse files,
1.3 TB in size, 10 MB on disk), and 100,000 small tensors in one file of each format. The processes take turns, so that
other load on the machine slows down all of them; the table has the medians. Peak memory is that of the process.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter

from msgspec import Struct

Shape = tuple[int, ...]

SHARDS = 163
HIDDEN, EXPERTS, LAYERS, DENSE = 7168, 256, 61, 3

COUNTS = (1_000, 10_000, 100_000)
"""How many tensors a tree has."""

INSPECT = ["-m", "decay_audit", "inspect", "--format", "json"]
JSON_LOADS = """
import json, sys
from pathlib import Path
path = Path(sys.argv[1])
for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
    with file.open("rb", buffering=0) as opened:
        json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
"""
LIBRARY = """
import sys
from pathlib import Path
from safetensors import safe_open
path = Path(sys.argv[1])
for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
    with safe_open(file, "pt") as opened:
        for name in opened.keys():
            part = opened.get_slice(name)
            part.get_shape(), part.get_dtype()
"""
TORCH = """
import sys, torch
torch.load(sys.argv[1], mmap=True, weights_only=True, map_location="meta")
"""
WRITE = """
import json, sys, torch
shapes = json.load(open(sys.argv[1]))
torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, sys.argv[2])
"""
COUNT = """
import sys
from pathlib import Path
from decay_audit.sources.checkpoint import read
before = int(Path("/proc/self/io").read_text().split()[1])
read(Path(sys.argv[1]), target="")
print(int(Path("/proc/self/io").read_text().split()[1]) - before)
"""


class Cost(Struct, frozen=True):
    """Seconds of the clock, seconds of the processor, and peak memory in MB of one process."""

    clock: float
    processor: float
    memory: float


def main() -> None:
    """Print one table for each checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how many times each command runs")
    parser.add_argument("--trees", action="store_true", help="measure how time grows for names of several shapes")
    arguments = parser.parse_args()
    if arguments.trees:
        growth()
        return
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sharded = folder / "deepseek"
        sharded.mkdir()
        headers = write_shards(sharded, dict(deepseek()))
        size = sum(file.stat().st_size for file in sharded.iterdir())
        print(
            f"{len(dict(deepseek())):,} tensors in {SHARDS} files, {size / 1e12:.2f} TB, headers {headers / 1e6:.1f} MB"
        )
        json_loads, library = ["-c", JSON_LOADS], ["-c", LIBRARY]
        table({"decay-audit": INSPECT, "json.loads of the headers": json_loads, "safe_open": library}, sharded, rounds)
        single, packed = folder / "many.safetensors", folder / "many.pt"
        many: dict[str, Shape] = {
            f"layers.{index // 100}.experts.{index % 100}.weight": (2, 3) for index in range(100_000)
        }
        headers = write_safetensors(single, many)
        print(f"\n{len(many):,} tensors in one safetensors file, header {headers / 1e6:.1f} MB")
        table({"decay-audit": INSPECT, "json.loads of the header": json_loads, "safe_open": library}, single, rounds)
        write_zip(packed, many)
        print(f"\n{len(many):,} tensors in one file of torch.save, {packed.stat().st_size / 1e6:.1f} MB")
        table({"decay-audit": INSPECT, "torch.load to meta": ["-c", TORCH]}, packed, rounds)


TREES = {
    "flat": "p{i}",
    "one owner": "tables.{i}",
    "wide": "layer{i}.weight",
    "deep": "a.b.c.d.e.f.g.h.i.j.k.l.{i}.weight",
    "blocks": "layers.{block}.experts.{place}.weight",
    "no words": "x{i}.y{i}.z{i}",
}
"""The names of the i-th tensor of trees of several shapes."""


def growth() -> None:
    """Print the processor time for each 1,000 tensors, without the start of Python, for trees of several shapes."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tree.safetensors"
        write_safetensors(path, {"weight": (1, 1)})
        start = min(cost([*INSPECT, str(path)]).processor for _ in range(3))
        print(f"{'ms for each 1,000 tensors':28}" + "".join(f"{count:>9,}" for count in COUNTS))
        for tree, form in TREES.items():
            times = []
            for count in COUNTS:
                names = (form.format(i=i, block=i // 100, place=i % 100) for i in range(count))
                write_safetensors(path, dict.fromkeys(names, (2,)))
                times.append((cost([*INSPECT, str(path)]).processor - start) / count * 1e6)
            print(f"{tree:28}" + "".join(f"{time:9.0f}" for time in times))


def deepseek() -> Iterator[tuple[str, Shape]]:
    """Name the tensors of DeepSeek-V3 as published, without the scales of its 8-bit form."""
    yield "model.embed_tokens.weight", (129280, HIDDEN)
    for layer in range(LAYERS):
        for name, shape in _attention():
            yield f"model.layers.{layer}.{name}.weight", shape
        for name, shape in _experts() if layer >= DENSE else _feed_forward("mlp", 18432):
            yield f"model.layers.{layer}.{name}", shape
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (129280, HIDDEN)


def _attention() -> Iterator[tuple[str, Shape]]:
    yield "self_attn.q_a_proj", (1536, HIDDEN)
    yield "self_attn.q_a_layernorm", (1536,)
    yield "self_attn.q_b_proj", (24576, 1536)
    yield "self_attn.kv_a_proj_with_mqa", (576, HIDDEN)
    yield "self_attn.kv_a_layernorm", (512,)
    yield "self_attn.kv_b_proj", (32768, 512)
    yield "self_attn.o_proj", (HIDDEN, 16384)
    yield "input_layernorm", (HIDDEN,)
    yield "post_attention_layernorm", (HIDDEN,)


def _feed_forward(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.gate_proj.weight", (width, HIDDEN)
    yield f"{name}.up_proj.weight", (width, HIDDEN)
    yield f"{name}.down_proj.weight", (HIDDEN, width)


def _experts() -> Iterator[tuple[str, Shape]]:
    yield "mlp.gate.weight", (EXPERTS, HIDDEN)
    yield "mlp.gate.e_score_correction_bias", (EXPERTS,)
    for expert in range(EXPERTS):
        yield from _feed_forward(f"mlp.experts.{expert}", 2048)
    yield from _feed_forward("mlp.shared_experts", 2048)


def write_shards(folder: Path, tensors: Mapping[str, Shape]) -> int:
    """Write sparse shards and their index; return the bytes of all headers."""
    names = list(tensors)
    share = -(-len(names) // SHARDS)
    owners: dict[str, str] = {}
    headers = 0
    for number in range(SHARDS):
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        part = sorted(names[number * share : (number + 1) * share])
        headers += write_safetensors(folder / file, {name: tensors[name] for name in part})
        owners |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": dict(sorted(owners.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return headers


def write_safetensors(path: Path, tensors: Mapping[str, Shape]) -> int:
    """Write a sparse file; return the bytes of its header."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * prod(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    return 8 + len(header)


def write_zip(path: Path, tensors: Mapping[str, Shape]) -> None:
    """Write with torch.save, each tensor with its own storage.

    Another process does it, because Linux counts the memory of a parent in the peak of its child.
    """
    names = path.with_suffix(".json")
    names.write_text(json.dumps(tensors))
    output(["-c", WRITE, str(names), str(path)])


def table(commands: dict[str, list[str]], path: Path, rounds: int) -> None:
    """Run the commands in turns, and print their medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            costs[name].append(cost([*command, str(path)]))
    ours = median(run.clock for run in costs["decay-audit"])
    print(f"{'':30}{'seconds':>8}{'processor':>11}{'MB':>7}{'x ours':>8}")
    for name, runs in costs.items():
        clock, processor, memory = (median(column) for column in zip(*map(_columns, runs), strict=True))
        print(f"{name:30}{clock:8.2f}{processor:11.2f}{memory:7.0f}{clock / ours:8.2f}")
    if Path("/proc/self/io").exists():
        print(f"bytes read by decay-audit: {int(output(['-c', COUNT, str(path)])):,}")


def _columns(run: Cost) -> tuple[float, float, float]:
    return run.clock, run.processor, run.memory


def cost(arguments: Sequence[str]) -> Cost:
    """Run Python with the arguments, and measure the process.

    Raises:
        SystemExit: the process failed.
    """
    begin = perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"failed: python {' '.join(arguments)[:200]}")
    return Cost(perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def output(arguments: Sequence[str]) -> str:
    """Run Python with the arguments, and return what it prints."""
    import subprocess

    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
