"""Compare every preset with its source on every architecture of torchvision, timm and transformers.

    python -m benchmarks.parity --cache FOLDER [--only PRESET] [--models PREFIX] [--every N] [--write docs/parity.md]

The results for each architecture are a file in the cache, so that a run that was stopped continues there. After a
change of a preset or of a reimplementation, `--only` compares that preset again and keeps the results of the others.
"""

import argparse
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType

import msgspec
from torch import nn

from benchmarks.parity.tables import ModelResults, document
from benchmarks.zoo.__main__ import cache_file
from benchmarks.zoo.models import build, names
from tests.parity.compare import Outcome, classified, compare
from tests.parity.models import MODELS
from tests.parity.peers import PEERS, Peer, missing

SECONDS = 300  # for one architecture with all of its comparisons


class ArchitectureTimeoutError(BaseException):
    """An architecture took more than SECONDS. It is a BaseException, so that no constructor catches it."""


def main() -> int:
    """Fill the cache, and print its results as tables."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    options.cache.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, _too_long)
    peers = {name: PEERS[name] for name in options.only or PEERS if not missing(PEERS[name])}
    models = [name for name in (*MODELS, *names()) if name.startswith(options.models)][:: options.every]
    results = [_cached_results(name, peers, options) for name in _progress(models)]
    text = document(results, lacking=sorted({peer.needs for peer in PEERS.values() if missing(peer)}))
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    return int(any(outcome.differences for model in results for outcome in model.outcomes.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder for the results, one file for each architecture"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PRESET",
        choices=sorted(PEERS),
        help="compare only this preset, even if the cache has its result",
    )
    parser.add_argument("--models", default="", metavar="PREFIX", help="e.g. timm:vit")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth model")
    parser.add_argument("--write", type=Path, help="write the tables to this file as well")
    return parser.parse_args()


def _cached_results(name: str, peers: Mapping[str, Peer], options: argparse.Namespace) -> ModelResults:
    """Read the results of a model from the cache, and add those that are missing.

    The file gets its name when it is complete.
    """
    path = cache_file(options.cache, name)
    cached = msgspec.msgpack.decode(path.read_bytes(), type=ModelResults) if path.exists() else ModelResults(name=name)
    missing_peers = {preset: peer for preset, peer in peers.items() if options.only or preset not in cached.outcomes}
    if cached.failure or not missing_peers:
        return cached
    results = _compare_with_peers(name, missing_peers, cached)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(msgspec.msgpack.encode(results))
    unfinished.rename(path)
    return results


def _compare_with_peers(name: str, peers: Mapping[str, Peer], cached: ModelResults) -> ModelResults:
    signal.alarm(SECONDS)
    try:
        model = _builder(name)()
        parameters = classified(model)
        outcomes: dict[str, Outcome] = {
            preset: compare(preset, peer, model, parameters) for preset, peer in peers.items()
        }
    except ArchitectureTimeoutError:
        return ModelResults(name=name, failure=f"took more than {SECONDS} s")
    except Exception as error:  # noqa: BLE001 - a constructor may raise anything; the tables list it
        return ModelResults(name=name, failure=f"{type(error).__name__}: {error}".partition("\n")[0])
    finally:
        signal.alarm(0)
    return ModelResults(name=name, outcomes={**cached.outcomes, **outcomes})


def _builder(name: str) -> Callable[[], nn.Module]:
    return MODELS[name] if name in MODELS else lambda: build(name)[0]


def _progress(models: list[str]) -> Iterable[str]:
    for index, name in enumerate(models, start=1):
        print(f"\r{index}/{len(models)} {name:60.60}", end="", file=sys.stderr, flush=True)
        yield name
    print(file=sys.stderr)


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise ArchitectureTimeoutError


if __name__ == "__main__":
    sys.exit(main())
