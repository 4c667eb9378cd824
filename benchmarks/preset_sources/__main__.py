"""Print for each preset the revision that was read, the current one, and whether the source's text has changed."""

import argparse
import contextlib
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from benchmarks.preset_sources.extract import MissingDefinitionError, fingerprint, namespace_of, text_of
from benchmarks.preset_sources.revisions import UnavailableError, head, newest, text_at
from benchmarks.preset_sources.table import SOURCES, Source
from tests.parity.compare import BASE
from tests.parity.models import MODELS
from tests.parity.peers import PEERS, Answers
from tests.parity.reimplementing import RefusesError

HEAD = """\
# Where the presets were read

Written by `python -m benchmarks.preset_sources --write docs/preset-sources.md`, which asks what is current each time.

*Read at*: the commit or the release whose text the preset follows. *Text*: what the function's text is at that revision
(*as read*: its hash is the one that was noted when the preset was written), and whether it is still the same at the
current one. *Run*: the function itself, taken out of its file at that revision, against the reimplementation in
`tests/parity/`, on the models of the tests. Presets with a package are compared with the installed function instead
([parity.md](parity.md)).

| preset | source | read at | current | text | run |
| --- | --- | --- | --- | --- | --- |"""
NOT_KNOWN = "not known"


class Row(Struct, frozen=True, kw_only=True):
    """The row of a preset.

    Attributes:
        outdated: the text has changed, or there is a newer release, since the preset was written.
        failed: the text at that revision has another hash, or its function differs from the reimplementation.
    """

    cells: Sequence[str]
    outdated: bool = False
    failed: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. Return 0 if nothing changed, 1 if a row is outdated or failed, 2 if no source was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clones", type=Path, metavar="FOLDER", help="clones to ask instead of GitHub")
    parser.add_argument("--only", action="append", default=[], metavar="PRESET", choices=sorted(SOURCES))
    parser.add_argument("--run", action="store_true", help="execute the functions of the sources, and compare")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to this file as well")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    rows = []
    print(HEAD)
    for preset in options.only or SOURCES:
        rows.append(row(preset, SOURCES[preset], options.clones, list(MODELS) if options.run else ()))
        print(f"| {' | '.join(rows[-1].cells)} |", flush=True)
    if options.write:
        lines = [HEAD, *(f"| {' | '.join(row.cells)} |" for row in rows), ""]
        options.write.write_text("\n".join(lines), encoding="utf-8")
    if all(row.cells[3] == NOT_KNOWN for row in rows):
        print("No source could be reached: is there a network, or a folder for --clones?", file=sys.stderr)
        return 2
    return int(any(row.failed or row.outdated for row in rows))


def row(preset: str, source: Source, clones: Path | None, models: Sequence[str] = ()) -> Row:
    """Make the row of one source, and run its function on these models of the tests."""
    name = f"`{preset}`"
    if source.package:
        current = _current(source, clones)
        text = "compared with the installed function" if PEERS[preset].needs else "not compared"
        outdated = not (source.pinned or current in (source.revision, NOT_KNOWN))
        return Row(cells=(name, source.package, source.revision, current, text, "-"), outdated=outdated)
    place = f"{source.repository}, {source.path}"
    revision, current = source.revision or "not noted", _current(source, clones)
    now, failed = _state(source, clones)
    result = _run_on_models(preset, source, clones, models) if models and source.ask is not None else "-"
    return Row(
        cells=(name, place, revision, current, now, result),
        outdated="changed since" in now and not source.pinned,
        failed=failed or "differ" in result,
    )


def _current(source: Source, clones: Path | None) -> str:
    try:
        return newest(source.package) if source.package else head(source.repository, clones)[:7]
    except UnavailableError as error:
        print(f"\n{error}", file=sys.stderr)
        return NOT_KNOWN


def _state(source: Source, clones: Path | None) -> tuple[str, bool]:
    """Compare the text with the noted hash and the current text; return a phrase, and whether the hash differs."""
    if not source.revision:
        return "not at hand", False
    try:
        then = fingerprint(text_of(_text(source, source.revision, clones), source.definitions))
    except (UnavailableError, MissingDefinitionError, SyntaxError) as error:
        return f"not at hand: {_cell(error)}", False
    if source.text and then != source.text:
        return f"not the text that was read: {then}", True
    start = "as read" if source.text else f"hash {then} is not noted"
    try:
        now = fingerprint(text_of(_text(source, "HEAD", clones), source.definitions))
    except UnavailableError as error:
        return f"{start}; the current text is not at hand: {_cell(error)}", False
    except (MissingDefinitionError, SyntaxError) as error:
        return f"{start}; changed since: {_cell(error)}", False
    return (f"{start}, unchanged" if now == then else f"{start}; changed since"), False


def _text(source: Source, revision: str, clones: Path | None) -> str:
    return text_at(source.repository, source.path, revision, clones)


def _run_on_models(preset: str, source: Source, clones: Path | None, model_names: Sequence[str]) -> str:
    """Compare the source's function with the reimplementation."""
    try:
        names = namespace_of(_text(source, source.revision, clones), source.definitions, source.needs)
    except (UnavailableError, MissingDefinitionError, NameError) as error:
        return f"not run: {_cell(error)}"
    models = parameters = failures = 0
    differing = []
    for name in model_names:
        theirs, ours = _answers(preset, source, names, name)
        if theirs is None:
            failures += 1
            continue
        models += 1
        parameters += len(theirs)
        differing += [name] if theirs != ours else []
    if not models:
        return "not run: it fails on every model"
    text = f"{models} models, {parameters:,} parameters: "
    text += f"differ on {', '.join(differing)}" if differing else "equal"
    return f"{text}; fails itself on {failures}" if failures else text


def _answers(preset: str, source: Source, names: dict[str, object], name: str) -> tuple[Answers | None, Answers | None]:
    """Ask the source and the reimplementation; the answers of a function that fails or refuses are None."""
    assert source.ask is not None
    theirs = ours = None
    with contextlib.redirect_stdout(io.StringIO()):
        model = MODELS[name]()
        with contextlib.suppress(Exception):
            theirs = source.ask(names, model, BASE)
        with contextlib.suppress(Exception, RefusesError):
            ours = PEERS[preset].ask(model, BASE)
    return _rounded(theirs, preset), _rounded(ours, preset)


def _rounded(answers: Answers | None, preset: str) -> Answers | None:
    """Round the factors, and leave out the channels that the reimplementation does not have."""
    if answers is None:
        return None
    peer = PEERS[preset]
    return {
        name: answer._replace(
            lr_scale=round(answer.lr_scale, 9) if peer.lr else 1.0, use=answer.use if peer.use else None
        )
        for name, answer in answers.items()
    }


def _cell(error: Exception) -> str:
    return str(error).partition("\n")[0].replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
