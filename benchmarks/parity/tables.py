"""The results of comparing presets with their sources become the tables of docs/parity.md."""

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


class ModelResults(Struct, frozen=True, kw_only=True):
    """The outcome of each preset on one model.

    Attributes:
        failure: why the model could not be built; there are no outcomes then.
    """

    name: str
    failure: str = ""
    outcomes: Mapping[str, Outcome] = {}


def document(models: Sequence[ModelResults], lacking: Sequence[str] = ()) -> str:
    """Write the tables.

    Args:
        lacking: distributions that are not installed, so that their codebases were not compared.
    """
    return "\n".join([HEAD, *_presets(models), *_differences(models), *_failures(models), *_unbuilt(models, lacking)])


def _presets(models: Sequence[ModelResults]) -> Iterator[str]:
    built = [model for model in models if not model.failure]
    yield f"{len(built):,} models.\n"
    yield "| preset | source | models | parameters | differences | both refuse | source fails |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    totals, incomplete = [0] * 5, []
    for preset in sorted({preset for model in models for preset in model.outcomes}):
        answered = [model.outcomes[preset] for model in built if preset in model.outcomes]
        finished = [outcome for outcome in answered if not outcome.crash]
        row = [
            len(finished),
            sum(outcome.parameters for outcome in finished),
            sum(len(outcome.differences) for outcome in finished),
            sum(bool(outcome.refused) for outcome in finished),
            len(answered) - len(finished),
        ]
        incomplete += [f"`{preset}`"] if len(answered) < len(built) else []
        totals = [total + new for total, new in zip(totals, row, strict=True)]
        yield ROW.format(f"`{preset}`", "called" if PEERS[preset].needs else "reimplemented", *row)
    yield ROW.format("all", "", *totals)
    if incomplete:
        yield f"\nCompared on fewer models, because the preset changed: {', '.join(incomplete)}."


def _differences(models: Sequence[ModelResults]) -> Iterator[str]:
    yield "\n## Differences\n"
    outcomes = [(preset, model.name, outcome) for model in models for preset, outcome in model.outcomes.items()]
    differing = sorted((preset, name, outcome.differences) for preset, name, outcome in outcomes if outcome.differences)
    if not differing:
        yield "None."
        return
    yield "*Known differences* of rules/README.md says why.\n"
    yield "| preset | model | parameters | for example |"
    yield "| --- | --- | ---: | --- |"
    for preset, name, lines in differing:
        yield f"| `{preset}` | {name} | {len(lines):,} | `{_cell(lines[0])}` |"


def _failures(models: Sequence[ModelResults]) -> Iterator[str]:
    """List the messages with which sources fail. Messages that differ only in names and numbers share a row."""
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
    for (preset, _), failures in sorted(kinds.items(), key=lambda item: (item[0][0], -len(item[1]))):
        name, message = failures[0]
        yield f"| `{preset}` | {len(failures):,} | {name} | `{_cell(message)}` |"


def _unbuilt(models: Sequence[ModelResults], lacking: Sequence[str]) -> Iterator[str]:
    failed = [model for model in models if model.failure]
    if failed:
        yield "\n## Not built\n"
        yield "| model | message |"
        yield "| --- | --- |"
        yield from (f"| {model.name} | `{_cell(model.failure)}` |" for model in failed)
    if lacking:
        yield f"\nNot installed, so not compared with: {', '.join(lacking)}."


def _cell(message: str) -> str:
    """Write the first line of a message as the cell of a table."""
    first = message.partition("\n")[0].replace("|", "/").replace("`", "'")
    return first if len(first) <= 120 else f"{first[:117]}..."
