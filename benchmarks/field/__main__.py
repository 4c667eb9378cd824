"""Measure the libraries, each in its own process, and print the tables.

    python -m benchmarks.field --set looked-at|held-out --cache FOLDER [--only NAME] [--show]

The libraries have to be installed; one that is not is counted as such. A library's verdicts are a file in the cache.
"""

import argparse
import multiprocessing
import random
from pathlib import Path

from benchmarks.field.libraries import packages
from benchmarks.field.measure import measure
from benchmarks.field.tables import cases, summary

SECONDS = 180  # for one library


def main() -> None:
    """Measure what the cache lacks, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["looked-at", "held-out"], required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true", help="list the parameters whose answers are not right")
    options = parser.parse_args()
    names = [name for name in packages(options.set) if options.only in name]
    random.Random(0).shuffle(names)  # so that a run that is stopped has measured a sample
    options.cache.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = options.cache / f"{name}.json"
        if not place.exists():
            _in_a_process(name, place)
    places = [place for name in names if (place := options.cache / f"{name}.json").exists()]
    print(summary(places))
    if options.show:
        print(cases(places))


def _in_a_process(name: str, place: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=measure, args=(name, place))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    if not place.exists():
        place.write_text('{"classes":0,"built":0,"judged":0,"run":0,"failures":[],"modules":[]}\n')


if __name__ == "__main__":
    main()
