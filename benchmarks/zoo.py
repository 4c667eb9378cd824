"""Roles against use and against the state dict, over every architecture of timm, torchvision and transformers.

    python -m benchmarks.zoo --cache FOLDER [--only timm] [--sample] [--write docs/zoo.md]

Building and tracing take the time, so each architecture's reading is a file in the cache: a run that was stopped goes
on where it was, and another run after a change of the classifier judges the same readings in a few minutes.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import repeat
from pathlib import Path
from types import FrameType
from typing import TypeVar

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.field.tables import MARK
from benchmarks.zoo_answers import Answers, answer
from benchmarks.zoo_models import names
from benchmarks.zoo_readings import Reading, reading
from benchmarks.zoo_sample import SAMPLE
from benchmarks.zoo_tables import document
from decay_audit import RuleSet, load_rules

SECONDS = 180  # for one architecture
ROOT = Path(__file__).parent.parent
T = TypeVar("T")


def main() -> None:
    """Fill the cache, judge what is in it, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the readings, one file each")
    parser.add_argument("--only", default="", help="architectures whose `library:name` contains this")
    parser.add_argument("--sample", action="store_true", help="the awkward ones that the tests run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--judge", action="store_true", help="read nothing: judge what the cache has")
    parser.add_argument("--write", type=Path, help="write the tables to this file as well")
    options = parser.parse_args()
    wanted = [name for name in (SAMPLE if options.sample else names()) if options.only in name]
    options.cache.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    missing = [] if options.judge else [name for name in wanted if not place(options.cache, name).exists()]
    random.Random(0).shuffle(missing)  # big and small mixed, so that the time left is told fairly
    for _ in in_processes(read_one, missing, options.cache, options.processes, "reading"):
        pass
    there = [name for name in wanted if place(options.cache, name).exists()]
    judged = list(in_processes(judge_one, there, options.cache, options.processes, "judging"))
    text = document(judged, len(wanted))
    print(text)
    if options.write:
        _, mark, libraries = options.write.read_text(encoding="utf-8").partition(MARK)
        options.write.write_text(f"{text.rstrip()}\n\n{mark}{libraries}" if mark else text, encoding="utf-8")


def place(folder: Path, name: str) -> Path:
    """Name the file of an architecture's reading."""
    return folder / f"{name.replace(':', '.')}.msgpack"


def in_processes(
    work: Callable[[tuple[str, Path]], T], items: Sequence[str], folder: Path, processes: int, doing: str
) -> Iterator[T]:
    """Do the work for each architecture in several processes, with a progress bar."""
    if not items:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(processes, maxtasksperchild=200) as pool,
        Progress(*columns, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task(doing, total=len(items))
        for result in pool.imap_unordered(work, zip(items, repeat(folder), strict=False)):
            progress.advance(task)
            yield result


def read_one(item: tuple[str, Path]) -> str:
    """Read one architecture, within a time, and keep the reading; a half-written file never has its final name."""
    name, folder = item
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        result = reading(name)
    except TimeoutError:
        result = Reading(name=name, failure=f"took more than {SECONDS} s")
    finally:
        signal.alarm(0)
    unfinished = place(folder, name).with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(msgspec.msgpack.encode(result))
    unfinished.rename(place(folder, name))
    return name


def judge_one(item: tuple[str, Path]) -> Answers:
    """Judge one reading."""
    name, folder = item
    decoded = msgspec.msgpack.decode(place(folder, name).read_bytes(), type=Reading)
    return answer(decoded, rulesets())


@cache
def rulesets() -> tuple[RuleSet, ...]:
    """Load every preset."""
    return tuple(load_rules(path.stem) for path in sorted((ROOT / "rules").glob("*.yaml")))


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
