"""What the verbs can be asked: options in sections, which verbs take as values, and the request that they make.

The fields of a section become options of a command by their own names; see `command`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from decay_audit.cli.screen import SAYING

if TYPE_CHECKING:
    from decay_audit import api

DEFAULT_RULES = "no-norm-no-bias"
AUTO = "auto"

READING = "Reading"
DECIDING = "Deciding"
OBSERVING = "Observing"
JUDGING = "Judging"


class Format(StrEnum):
    """Formats of a report."""

    text = "text"
    tree = "tree"
    json = "json"
    markdown = "markdown"
    csv = "csv"
    sarif = "sarif"
    github = "github"


class ComparisonFormat(StrEnum):
    """Formats of what is compared with each other."""

    text = "text"
    json = "json"


class Device(StrEnum):
    """Where a model is built."""

    auto = "auto"
    meta = "meta"
    streamed = "streamed"
    cpu = "cpu"


class FailOn(StrEnum):
    """The least severity that makes the exit code 1."""

    error = "error"
    warning = "warning"
    note = "note"


def complete_rules(incomplete: str) -> list[str]:
    """Complete the name of a preset in a shell."""
    from decay_audit import rulesets

    return [name for name in rulesets.presets() if name.startswith(incomplete)]


Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="model.py, model.py:NAME, pkg.mod:NAME, 'model.py:EXPRESSION', a checkpoint, or a folder of shards.",
        show_default=False,
    ),
]
BuildOn = Annotated[
    Device,
    typer.Option(
        "--device",
        help="Where to build the model; streamed is the CPU, with each parameter dropped as it comes.",
        rich_help_panel=READING,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="A.B",
        help="Which state dict of a checkpoint to read.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
WeightDecay = Annotated[
    float | None,
    typer.Option(
        "--weight-decay",
        "-w",
        metavar="X",
        help="Base coefficient; replaces the ruleset's own.",
        rich_help_panel=DECIDING,
        show_default=False,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="EXPR",
        help="What makes the optimizer: train.py:make_optimizer, model.configure_optimizers(), "
        "'torch.optim:SGD(model.parameters(), lr=0.1)'.",
        rich_help_panel=OBSERVING,
        show_default=False,
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="A checkpoint: what was saved of the optimizer, and what resuming from it would do.",
        rich_help_panel=OBSERVING,
        show_default=False,
    ),
]
Full = Annotated[bool, typer.Option("--full", metavar="", help="Do not fold repeated blocks.", rich_help_panel=SAYING)]


class Reading(Struct, frozen=True, kw_only=True):
    """How to read a target."""

    device: BuildOn = Device.auto
    key: Key = None
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="TARGET",
            help="The model of a checkpoint, which knows its roles and owners.",
            rich_help_panel=READING,
            show_default=False,
        ),
    ] = None
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            metavar="[SHAPE]",
            help="Run the forward pass on fake tensors and name each parameter by its use: 1x3x224x224, "
            "ids=int64:1x8, or an expression; alone, the model says what it eats.",
            rich_help_panel=READING,
            show_default=False,
        ),
    ] = None


class Deciding(Struct, frozen=True, kw_only=True):
    """By which ruleset to decide."""

    rules: Annotated[
        str,
        typer.Option(
            "--rules",
            "-r",
            metavar="NAME|FILE",
            help="Ruleset: a preset (see `rules list`) or a YAML file.",
            rich_help_panel=DECIDING,
            autocompletion=complete_rules,
        ),
    ] = DEFAULT_RULES
    weight_decay: WeightDecay = None


class Observing(Struct, frozen=True, kw_only=True):
    """Which optimizer to look at, and how."""

    optimizer: Optimizer = None
    checkpoint: Checkpoint = None
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            metavar="",
            help="Step copies with a gradient of zero, and read what moves.",
            rich_help_panel=OBSERVING,
        ),
    ] = False


class Judging(Struct, frozen=True, kw_only=True):
    """Which findings count."""

    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            metavar="CODE",
            help="Codes to report, by prefix (DA1,DA301); all by default.",
            rich_help_panel=JUDGING,
            show_default=False,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            metavar="CODE",
            help="Codes not to report; the longer of two prefixes wins.",
            rich_help_panel=JUDGING,
            show_default=False,
        ),
    ] = None
    fail_on: Annotated[
        FailOn,
        typer.Option("--fail-on", help="The least severity that makes the exit code 1.", rich_help_panel=JUDGING),
    ] = FailOn.error
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", metavar="", help="Exit 0 even with findings.", rich_help_panel=JUDGING)
    ] = False


class Formatting(Struct, frozen=True, kw_only=True):
    """The format of a report."""

    format: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="text, tree, json, markdown, csv, sarif or github.",
            rich_help_panel=SAYING,
        ),
    ] = Format.text
    full: Full = False


class ComparisonFormatting(Struct, frozen=True, kw_only=True):
    """The format of a comparison."""

    format: Annotated[
        ComparisonFormat, typer.Option("--format", "-f", help="Format of the comparison.", rich_help_panel=SAYING)
    ] = ComparisonFormat.text
    full: Full = False


def request(
    target: str,
    reading: Reading,
    deciding: Deciding = Deciding(),  # noqa: B008  (it is frozen)
    observing: Observing = Observing(),  # noqa: B008
    *,
    progress: Callable[[str], None],
) -> "api.Request":
    """Make the request that the sections add up to."""
    from decay_audit import api

    return api.Request(
        target=target,
        rules=deciding.rules,
        weight_decay=deciding.weight_decay,
        device=reading.device.value,
        key=reading.key,
        model=reading.model,
        trace=reading.trace,
        optimizer=observing.optimizer,
        measure=observing.measure,
        checkpoint=observing.checkpoint,
        progress=progress,
    )
