"""Measure the libraries, each in its own process, and print the tables.

    python -m benchmarks.field --cache FOLDER [--set looked-at|held-out] [--only NAME] [--show] [--judge]
    python -m benchmarks.field --cache FOLDER --judge --write docs/zoo.md

The libraries have to be installed. A library is not counted if none of its classes can be imported, built and run. The
observations of a library are a file in the cache, so that `--judge` is quick after a change of the roles.
"""

import argparse
import multiprocessing
import random
from pathlib import Path

from benchmarks.field.libraries import SETS, Set, packages
from benchmarks.field.measure import load_tracer, measure
from benchmarks.field.tables import MARK, cases, document

SECONDS = 300  # for one library


def main() -> None:
    """Measure what the cache lacks, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, action="append")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--judge", action="store_true", help="measure nothing: judge what the cache has")
    parser.add_argument("--show", action="store_true", help="list the parameters whose answers are not right")
    parser.add_argument("--write", type=Path, help="replace the part of this page that is about the libraries")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    chosen: list[Set] = options.set or list(SETS)
    if not options.judge:
        load_tracer()  # once, for all processes that are forked
        for name in (name for chosen_set in chosen for name in _shuffled(chosen_set) if options.only in name):
            if not (options.cache / f"{name}.json").exists():
                _in_a_process(name, options.cache / f"{name}.json")
    files = {name: _cached_files(name, options.cache, options.only) for name in chosen}
    print(document(files))
    if options.show:
        print(*map(cases, files.values()), sep="\n")
    if options.write:
        page = options.write.read_text(encoding="utf-8").partition(MARK)[0].rstrip()
        options.write.write_text(f"{page}\n\n{MARK}\n\n{document(files)}", encoding="utf-8")


def _shuffled(chosen: Set) -> list[str]:
    """List the packages of a set so that a run which is stopped has measured a sample."""
    names = packages(chosen)
    random.Random(0).shuffle(names)
    return names


def _cached_files(chosen: Set, cache: Path, only: str) -> list[Path]:
    files = (cache / f"{name}.json" for name in packages(chosen) if only in name)
    return [file for file in files if file.exists()]


def _in_a_process(name: str, file: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=measure, args=(name, file))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    if not file.exists():
        file.write_text('{"classes":0,"built":0,"judged":0,"run":0,"failures":[],"modules":[]}\n')


if __name__ == "__main__":
    main()
