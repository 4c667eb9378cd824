"""Compare every preset with its source on every architecture of torchvision, timm and transformers.

    python -m benchmarks.parity --cache FOLDER [--only PRESET] [--models PREFIX] [--every N] [--write docs/parity.md]

What came of each architecture is a file in the cache, so that a run that was stopped goes on where it was. After a
change of a preset or of a reimplementation, `--only` compares that preset again and leaves the others as they are.
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

from benchmarks.parity_tables import Compared, document
from benchmarks.zoo import place
from benchmarks.zoo_models import build, names
from tests.parity.compare import Outcome, classified, compare
from tests.parity.models import MODELS
from tests.parity.peers import PEERS, Peer, missing

SECONDS = 300  # for one architecture with all of its comparisons


class Overdue(BaseException):
    """The time for an architecture is over; no constructor that catches Exception may swallow it."""


def main() -> int:
    """Fill the cache, and print what is in it."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    options.cache.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, _too_long)
    chosen = options.only or PEERS
    peers = {name: PEERS[name] for name in chosen if not missing(PEERS[name])}
    wanted = [name for name in (*MODELS, *names()) if name.startswith(options.models)][:: options.every]
    compared = [_kept(name, peers, options) for name in _progress(wanted)]
    text = document(compared, lacking=sorted({peer.needs for peer in PEERS.values() if missing(peer)}))
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    return int(any(outcome.differences for model in compared for outcome in model.outcomes.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for what came of each architecture")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PRESET",
        choices=sorted(PEERS),
        help="compare this preset, again if it was before",
    )
    parser.add_argument("--models", default="", metavar="PREFIX", help="e.g. timm:vit")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth model")
    parser.add_argument("--write", type=Path, help="write the tables to this file as well")
    return parser.parse_args()


def _kept(name: str, peers: Mapping[str, Peer], options: argparse.Namespace) -> Compared:
    """What the cache has of a model, and what it lacks; a half-written file never has its final name."""
    path = place(options.cache, name)
    known = msgspec.msgpack.decode(path.read_bytes(), type=Compared) if path.exists() else Compared(name=name)
    asked = {preset: peer for preset, peer in peers.items() if options.only or preset not in known.outcomes}
    if known.failure or not asked:
        return known
    made = _compared(name, asked, known)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(msgspec.msgpack.encode(made))
    unfinished.rename(path)
    return made


def _compared(name: str, peers: Mapping[str, Peer], known: Compared) -> Compared:
    signal.alarm(SECONDS)
    try:
        model = _maker(name)()
        parameters = classified(model)
        outcomes: dict[str, Outcome] = {
            preset: compare(preset, peer, model, parameters) for preset, peer in peers.items()
        }
    except Overdue:
        return Compared(name=name, failure=f"took more than {SECONDS} s")
    except Exception as error:  # noqa: BLE001 - the model's, not ours: counted
        return Compared(name=name, failure=f"{type(error).__name__}: {error}".partition("\n")[0])
    finally:
        signal.alarm(0)
    return Compared(name=name, outcomes={**known.outcomes, **outcomes})


def _maker(name: str) -> Callable[[], nn.Module]:
    return MODELS[name] if name in MODELS else lambda: build(name)[0]


def _progress(wanted: list[str]) -> Iterable[str]:
    for index, name in enumerate(wanted, start=1):
        print(f"\r{index}/{len(wanted)} {name:60.60}", end="", file=sys.stderr, flush=True)
        yield name
    print(file=sys.stderr)


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise Overdue


if __name__ == "__main__":
    sys.exit(main())
