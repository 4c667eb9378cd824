"""The files of measured libraries in, text out: the figures of a set, and the parameters behind them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.field.observe import ObservedModule
from benchmarks.field.verdicts import Answer, Verdict, verdicts


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """One library: how many classes were built, judged and run, and a verdict for each kind of parameter."""

    classes: int
    built: int
    judged: int
    run: int
    failures: tuple[str, ...] = ()
    modules: tuple[ObservedModule, ...] = ()


WAYS: tuple[tuple[str, Callable[[Verdict], Answer]], ...] = (
    ("structure alone (`--no-trace`)", lambda verdict: verdict.structure),
    ("by default", lambda verdict: verdict.default),
    ("with an input (`--trace INPUT`)", lambda verdict: verdict.traced),
)


def summary(places: Iterable[Path]) -> str:
    """Write the figures as a Markdown table."""
    libraries = [library for place in places if (library := _read(place)).classes]
    judged = [verdict for library in libraries for verdict in _kinds(library) if verdict.accepted]
    own = [verdict for verdict in judged if not verdict.by_class]
    lines = [
        f"{len(libraries)} libraries, {_sum(libraries, 'classes'):,} module classes, "
        f"{_sum(libraries, 'built'):,} built, {_sum(libraries, 'judged'):,} of them with parameters in classes "
        f"outside torch.nn, {_sum(libraries, 'run'):,} of these run; {len(own):,} kinds of parameters "
        f"in classes outside torch.nn that the dataflow judges, and {len(judged) - len(own):,} in classes derived "
        "from those of torch.nn.",
        "",
        "|  | right | unclassified | wrong decay decisions | `likely` wrong | `certain` wrong |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join([*lines, *(_row(way, pick, own, judged) for way, pick in WAYS)])


def _row(way: str, pick: Callable[[Verdict], Answer], own: Sequence[Verdict], everything: Sequence[Verdict]) -> str:
    right = sum(verdict.is_right(pick(verdict)) for verdict in own)
    open_ = sum(pick(verdict).role == "unclassified" for verdict in own)
    decided = [verdict for verdict in own if verdict.decays is not None]
    wrongly = sum(verdict.decides_wrongly(pick(verdict)) for verdict in decided)
    cells = [way, _share(right, len(own)), _share(open_, len(own)), _share(wrongly, len(decided))]
    for confidence, among in (("likely", own), ("certain", everything)):
        chosen = [verdict for verdict in among if pick(verdict).confidence == confidence]
        cells.append(_share(sum(verdict.is_wrong(pick(verdict)) for verdict in chosen), len(chosen)))
    return f"| {' | '.join(cells)} |"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "-"


def _sum(libraries: Iterable[Library], field: str) -> int:
    return sum(getattr(library, field) for library in libraries)


def cases(places: Iterable[Path]) -> str:
    """List the parameters that are not right in some way, one a line."""
    lines = []
    for place in places:
        for verdict in _kinds(_read(place)):
            answers = (verdict.structure, verdict.default, verdict.traced)
            if verdict.accepted and not all(map(verdict.is_right, answers[1:])):
                told = "  ".join(f"{answer.role}/{answer.confidence} [{answer.evidence}]" for answer in answers)
                lines.append(f"{verdict.owner}.{verdict.name} {verdict.shape} {'+'.join(verdict.deeds)}: {told}")
    return "\n".join(lines)


def _kinds(library: Library) -> list[Verdict]:
    """Judge a library; parameters of one class with one name and the same dataflow count once."""
    kinds: dict[tuple[object, ...], Verdict] = {}
    for verdict in (verdict for module in library.modules for verdict in verdicts(module)):
        key = (verdict.owner, verdict.name.rstrip("0123456789"), len(verdict.shape), verdict.deeds)
        kinds.setdefault(key, verdict)
    return list(kinds.values())


def _read(place: Path) -> Library:
    return msgspec.json.decode(place.read_bytes(), type=Library)
