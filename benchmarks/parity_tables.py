"""What came of comparing presets with their sources becomes the tables of docs/parity.md."""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from tests.parity.compare import Outcome
from tests.parity.peers import PEERS

HEAD = """\
# Presets against their sources

Written by `python -m benchmarks.parity --cache FOLDER --write docs/parity.md`. Every architecture of timm, torchvision
and transformers that can be built from its default configuration was built without its weights, and beside them the
models of `tests/parity/models.py`. For each parameter, the preset and its source were compared: whether an
optimizer gets it, with which weight_decay, and, where the source has them, with which learning rate factor and in
which optimizer.

*Called*: the codebase's own function ran. *Reimplemented*: it cannot be installed or called, so its rule was read and
written again in `tests/parity/`; the figures compare the preset with that. *Both refuse*: both the source and the
preset reject the model. *Source fails*: the source, or its reimplementation, raises where the preset has an answer;
nothing is compared there.
"""
_VARYING = re.compile(r"'[^']*'|[0-9]+|\[.*|\S*\.\S*")
ROW = "| {} | {} | {:,} | {:,} | {:,} | {:,} | {:,} |"


class Compared(Struct, frozen=True, kw_only=True):
    """One model with each preset.

    Attributes:
        failure: why the model could not be built; nothing is compared then.
    """

    name: str
    failure: str = ""
    outcomes: Mapping[str, Outcome] = {}


def document(models: Sequence[Compared], lacking: Sequence[str] = ()) -> str:
    """Write the tables.

    Args:
        lacking: distributions that are not installed, so that their codebases were not asked.
    """
    return "\n".join([HEAD, *_presets(models), *_differences(models), *_failures(models), *_unbuilt(models, lacking)])


def _presets(models: Sequence[Compared]) -> Iterator[str]:
    built = [model for model in models if not model.failure]
    yield f"{len(built):,} models.\n"
    yield "| preset | source | models | parameters | differences | both refuse | source fails |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    totals, incomplete = [0] * 5, []
    for preset in sorted({preset for model in models for preset in model.outcomes}):
        answered = [model.outcomes[preset] for model in built if preset in model.outcomes]
        there = [outcome for outcome in answered if not outcome.crash]
        row = [
            len(there),
            sum(outcome.parameters for outcome in there),
            sum(len(outcome.differences) for outcome in there),
            sum(bool(outcome.refused) for outcome in there),
            len(answered) - len(there),
        ]
        incomplete += [f"`{preset}`"] if len(answered) < len(built) else []
        totals = [total + new for total, new in zip(totals, row, strict=True)]
        yield ROW.format(f"`{preset}`", "called" if PEERS[preset].needs else "reimplemented", *row)
    yield ROW.format("all", "", *totals)
    if incomplete:
        yield f"\nCompared on fewer models, because the preset changed: {', '.join(incomplete)}."


def _differences(models: Sequence[Compared]) -> Iterator[str]:
    yield "\n## Differences\n"
    found = [(preset, model.name, model.outcomes[preset].differences) for model in models for preset in model.outcomes]
    differing = sorted((preset, name, lines) for preset, name, lines in found if lines)
    if not differing:
        yield "None."
        return
    yield "*Known differences* of rules/README.md says why.\n"
    yield "| preset | model | parameters | for example |"
    yield "| --- | --- | ---: | --- |"
    for preset, name, lines in differing:
        yield f"| `{preset}` | {name} | {len(lines):,} | `{_cell(lines[0])}` |"


def _failures(models: Sequence[Compared]) -> Iterator[str]:
    """Where a source fails, its message, told once for those that differ by names and numbers alone."""
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for model in models:
        for preset, outcome in model.outcomes.items():
            if outcome.crash:
                kinds.setdefault((preset, _VARYING.sub("", outcome.crash)), []).append((model.name, outcome.crash))
    yield "\n## Where a source fails\n"
    if not kinds:
        yield "Nowhere."
        return
    yield "| preset | models | for example | message |"
    yield "| --- | ---: | --- | --- |"
    for (preset, _), found in sorted(kinds.items(), key=lambda item: (item[0][0], -len(item[1]))):
        name, message = found[0]
        yield f"| `{preset}` | {len(found):,} | {name} | `{_cell(message)}` |"


def _unbuilt(models: Sequence[Compared], lacking: Sequence[str]) -> Iterator[str]:
    failed = [model for model in models if model.failure]
    if failed:
        yield "\n## Not built\n"
        yield "| model | message |"
        yield "| --- | --- |"
        yield from (f"| {model.name} | `{_cell(model.failure)}` |" for model in failed)
    if lacking:
        yield f"\nNot installed, so not compared with: {', '.join(lacking)}."


def _cell(message: str) -> str:
    """A message's first line, as a cell of a table may hold it."""
    first = message.partition("\n")[0].replace("|", "/").replace("`", "'")
    return first if len(first) <= 120 else f"{first[:117]}..."
