"""Compare roles by structure with roles by use and by the state dict, and print the tables of docs/zoo.md.

    python -m benchmarks.zoo --cache FOLDER [--only timm] [--sample] [--write docs/zoo.md]

Most of the time is for building and tracing, so the reading of each architecture is a file in the cache. A run that was
stopped continues there, and a run after a change of the classifier compares the same readings in a few minutes.
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
from benchmarks.zoo.answers import Answers, answer
from benchmarks.zoo.models import names
from benchmarks.zoo.readings import Reading, reading
from benchmarks.zoo.sample import SAMPLE
from benchmarks.zoo.tables import document
from decay_audit import RuleSet, load_rules

SECONDS = 180  # for one architecture
ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def main() -> None:
    """Fill the cache, compare the readings in it, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the readings, one file each")
    parser.add_argument("--only", default="", help="architectures whose `library:name` contains this")
    parser.add_argument("--sample", action="store_true", help="only the architectures that the tests use")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--judge", action="store_true", help="build nothing: compare the readings in the cache")
    parser.add_argument("--write", type=Path, help="write the tables to this file as well")
    options = parser.parse_args()
    architectures = [name for name in (SAMPLE if options.sample else names()) if options.only in name]
    options.cache.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    missing = [] if options.judge else [name for name in architectures if not cache_file(options.cache, name).exists()]
    random.Random(0).shuffle(missing)  # so that large models are not all last, and the time left is a fair estimate
    for _ in in_processes(read_architecture, missing, options.cache, options.processes, "reading"):
        pass
    available = [name for name in architectures if cache_file(options.cache, name).exists()]
    answers = list(in_processes(answers_of, available, options.cache, options.processes, "comparing"))
    text = document(answers, len(architectures))
    print(text)
    if options.write:
        _, mark, libraries = options.write.read_text(encoding="utf-8").partition(MARK)
        options.write.write_text(f"{text.rstrip()}\n\n{mark}{libraries}" if mark else text, encoding="utf-8")


def cache_file(folder: Path, name: str) -> Path:
    """Return the path of the file for an architecture."""
    return folder / f"{name.replace(':', '.')}.msgpack"


def in_processes(
    work: Callable[[tuple[str, Path]], T], items: Sequence[str], folder: Path, processes: int, title: str
) -> Iterator[T]:
    """Call `work` for each architecture in several processes, with a progress bar."""
    if not items:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(processes, maxtasksperchild=200) as pool,
        Progress(*columns, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task(title, total=len(items))
        for result in pool.imap_unordered(work, zip(items, repeat(folder), strict=False)):
            progress.advance(task)
            yield result


def read_architecture(item: tuple[str, Path]) -> str:
    """Read an architecture within SECONDS, and write the reading to the cache.

    The file gets its name when it is complete.
    """
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
    unfinished = cache_file(folder, name).with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(msgspec.msgpack.encode(result))
    unfinished.rename(cache_file(folder, name))
    return name


def answers_of(item: tuple[str, Path]) -> Answers:
    """Compare the three answers for a reading in the cache."""
    name, folder = item
    decoded = msgspec.msgpack.decode(cache_file(folder, name).read_bytes(), type=Reading)
    return answer(decoded, rulesets())


@cache
def rulesets() -> tuple[RuleSet, ...]:
    """Load every preset."""
    return tuple(load_rules(path.stem) for path in sorted((ROOT / "rules").glob("*.yaml")))


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
