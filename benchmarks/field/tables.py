"""Write the figures of a set of measured libraries, and list the parameters whose answers are not right."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.field.libraries import Set
from benchmarks.field.observe import ObservedModule
from benchmarks.field.verdicts import Answer, Verdict, verdicts


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """One library: how many of its classes were built, judged and run, and what was observed of them."""

    classes: int
    built: int
    judged: int
    run: int
    failures: tuple[str, ...] = ()
    modules: tuple[ObservedModule, ...] = ()


ANSWER_KINDS: tuple[tuple[str, Callable[[Verdict], Answer]], ...] = (
    ("structure alone (`--no-trace`)", lambda verdict: verdict.structure),
    ("by default", lambda verdict: verdict.default),
    ("with an input (`--trace INPUT`)", lambda verdict: verdict.traced),
)


MARK = "<!-- `python -m benchmarks.field` writes what follows. -->"
_ABOUT = """## Libraries that no convention was made with

Written by `python -m benchmarks.field --cache FOLDER --judge --write docs/zoo.md`; without `--judge` it measures what
the cache lacks. `benchmarks/field/libraries.txt` lists the libraries, and in which of two sets each is. The rules were
made while the first set was looked at. The second set was only measured: nobody looked at what is wrong in it.

Each module class of a library that makes parameters was built with guessed arguments and run with real numbers. What a
parameter does was read from the autograd graph, without the tracer: it is a factor of a matrix product or a kernel, a
summand, a gain (on normalized data or not), a table, the slope of an activation, or it is joined to data. A role is
right if it is one of those that do this. What is computed from a parameter before data meets it is not judged, and
neither is a matrix that scales data number by number, nor a parameter that meets only a state that starts at zero.
Parameters of one class with one name count once. A wrong decision is one that the default ruleset makes and the
dataflow does not ask for. At most 48 classes of a library are taken. A class whose constructor or forward pass refuses
the guesses is not measured, and neither is a library that does not import here. The aims are 97 % right by default,
99 % with an input, 0.3 % wrong decisions, 1 % of `likely` and none of `certain` wrong. The second set was drawn at
random from packages that say they are about layers or models of PyTorch, with those of earlier draws that had never
run; one kind is about 0.5 %. By default it reaches the aims for right roles and for `certain`, and with an input those
for `likely` and `certain`; the other aims are missed. It is judged once: what is then read of it belongs to the first
set. Most of the first set was observed before the last changes of the tracer and of this measure: its figures show what
the roles make of older observations."""
_TITLES = {"looked-at": "Looked at while the rules were made", "held-out": "Only measured"}


def document(files: Mapping[Set, Sequence[Path]]) -> str:
    """Write what stands in `docs/zoo.md` about the libraries."""
    parts = [f"### {_TITLES[name]}\n\n{summary(files)}\n\n{_names(files)}" for name, files in files.items()]
    return "\n\n".join((_ABOUT, *parts)) + "\n"


def _names(files: Iterable[Path]) -> str:
    names = [file.stem for file in files if _read(file).run]
    return f"With parameters that were judged: {', '.join(names)}."


def summary(files: Iterable[Path]) -> str:
    """Write the figures as a Markdown table."""
    libraries = [library for file in files if (library := _read(file)).run]
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
    return "\n".join([*lines, *(_row(way, pick, own, judged) for way, pick in ANSWER_KINDS)])


def _row(way: str, pick: Callable[[Verdict], Answer], own: Sequence[Verdict], everything: Sequence[Verdict]) -> str:
    right = sum(verdict.is_right(pick(verdict)) for verdict in own)
    unclassified = sum(pick(verdict).role == "unclassified" for verdict in own)
    decided = [verdict for verdict in own if verdict.decays is not None]
    wrongly = sum(verdict.decides_wrongly(pick(verdict)) for verdict in decided)
    cells = [way, _share(right, len(own)), _share(unclassified, len(own)), _share(wrongly, len(decided))]
    for confidence, among in (("likely", own), ("certain", everything)):
        chosen = [verdict for verdict in among if pick(verdict).confidence == confidence]
        cells.append(_share(sum(verdict.is_wrong(pick(verdict)) for verdict in chosen), len(chosen)))
    return f"| {' | '.join(cells)} |"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "-"


def _sum(libraries: Iterable[Library], field: str) -> int:
    return sum(getattr(library, field) for library in libraries)


def cases(files: Iterable[Path]) -> str:
    """List the parameters that are not right in some way, one a line."""
    lines = []
    for file in files:
        for verdict in _kinds(_read(file)):
            answers = (verdict.structure, verdict.default, verdict.traced)
            if verdict.accepted and not all(map(verdict.is_right, answers[1:])):
                described = "  ".join(f"{answer.role}/{answer.confidence} [{answer.evidence}]" for answer in answers)
                lines.append(f"{verdict.owner}.{verdict.name} {verdict.shape} {'+'.join(verdict.actions)}: {described}")
    return "\n".join(lines)


def _kinds(library: Library) -> list[Verdict]:
    """Judge a library; parameters of one class with one name and the same dataflow count once."""
    kinds: dict[tuple[object, ...], Verdict] = {}
    for verdict in (verdict for module in library.modules for verdict in verdicts(module)):
        key = (verdict.owner, verdict.name.rstrip("0123456789"), len(verdict.shape), verdict.actions)
        kinds.setdefault(key, verdict)
    return list(kinds.values())


def _read(file: Path) -> Library:
    return msgspec.json.decode(file.read_bytes(), type=Library)
