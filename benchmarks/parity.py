"""Compare every preset with its source on every architecture of torchvision, timm and transformers.

    python -m benchmarks.parity [--only PRESET] [--models PREFIX] [--every N]

Prints, for each preset, the models and parameters compared, the differences, and how often the source itself failed.
"""

import argparse
import logging
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable

from benchmarks import torchvision_schemas
from tests.parity.compare import Outcome, classified, compare
from tests.parity.models import MODELS, Maker, everything
from tests.parity.peers import PEERS, missing


class Tally:
    """What has come of the comparisons of one preset."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.differing: list[str] = []

    def add(self, model: str, outcome: Outcome) -> None:
        """Count one comparison."""
        if outcome.crash:
            self.crashes[outcome.crash.partition("\n")[0][:70]] += 1
            return
        self.counts.update(models=1, parameters=outcome.parameters, refused=bool(outcome.refused))
        self.counts["differences"] += len(outcome.differences)
        self.differing += [f"{model}: {line:.160}" for line in outcome.differences[:3]]


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    logging.disable(logging.WARNING)
    _keep = torchvision_schemas.define()
    peers = {name: peer for name, peer in PEERS.items() if not missing(peer) and options.only in ("", name)}
    lacking = sorted({peer.needs for peer in PEERS.values() if missing(peer)})
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    unbuilt: list[str] = []
    names = [pair for pair in (*MODELS.items(), *everything()) if pair[0].startswith(options.models)]
    for name, make in _progress(names[:: options.every]):
        try:
            model = make()
            subjects = classified(model)
        except Exception as error:  # noqa: BLE001 - the model's, not ours: counted
            unbuilt.append(f"{name}: {type(error).__name__}: {str(error).partition(chr(10))[0][:80]}")
            continue
        for preset, peer in peers.items():
            tallies[preset].add(name, compare(preset, peer, model, subjects))
    _print(tallies, lacking, unbuilt)
    return int(any(tally.counts["differences"] for tally in tallies.values()))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--only", default="", metavar="PRESET")
    parser.add_argument("--models", default="", metavar="PREFIX")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth model")
    return parser.parse_args(arguments)


def _progress(names: list[tuple[str, Maker]]) -> Iterable[tuple[str, Maker]]:
    for index, pair in enumerate(names):
        print(f"\r{index + 1}/{len(names)} {pair[0]:60.60}", end="", file=sys.stderr, flush=True)
        yield pair
    print(file=sys.stderr)


def _print(tallies: dict[str, Tally], lacking: list[str], unbuilt: list[str]) -> None:
    print(f"{'preset':20} {'source':7} {'models':>7} {'parameters':>11} {'differences':>12} {'both refuse':>12} failed")
    for preset, tally in tallies.items():
        counts, kind = tally.counts, "called" if PEERS[preset].needs else "retold"
        print(
            f"{preset:20} {kind:7} {counts['models']:7,} {counts['parameters']:11,} {counts['differences']:12,}"
            f" {counts['refused']:12,} {sum(tally.crashes.values()):,}"
        )
    for preset, tally in tallies.items():
        for crash, count in tally.crashes.most_common():
            print(f"{preset} fails itself on {count} models: {crash}")
        for line in tally.differing[:10]:
            print(f"{preset} differs: {line}")
    if lacking:
        print(f"not installed, not compared: {', '.join(lacking)}")
    for line in unbuilt:
        print(f"not built: {line}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(sys.argv[1:]))
