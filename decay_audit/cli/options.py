"""The options that commands share, each defined once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from decay_audit.cli.screen import Color as Color  # noqa: PLC0414  (commands name all that they need of options `o.`)

DEFAULT_RULES = "no-norm-no-bias"
AUTO = "auto"

READING = "Reading"
DECIDING = "Deciding"
OBSERVING = "Observing"
COMPARING = "Comparing"
SAYING = "Saying"


class Verb(TyperCommand):
    """A verb whose `--trace` may go without a value, which typer has no word for: the model then says what it eats."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer carries its own click)
        """Read the arguments of the command line."""
        following = [*args[1:], "--"]
        filled = (
            [
                f"{arg}={AUTO}" if arg == "--trace" and after.startswith("-") else arg
                for arg, after in zip(args, following, strict=True)
            ]
            if args
            else []
        )
        return super().parse_args(ctx, filled)


class Format(StrEnum):
    """Formats of a report."""

    text = "text"
    tree = "tree"
    json = "json"
    markdown = "markdown"
    csv = "csv"
    sarif = "sarif"
    github = "github"


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


def _be_verbose(context: typer.Context, value: bool) -> bool:
    context.meta["verbose"] = value or context.meta.get("verbose", False)
    return value


def complete_rules(incomplete: str) -> list[str]:
    """Complete the name of a preset in a shell."""
    from decay_audit import rulefile

    return [name for name in rulefile.presets() if name.startswith(incomplete)]


Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="model.py, model.py:NAME, pkg.mod:NAME, 'model.py:EXPRESSION', a checkpoint, or a folder of shards.",
        show_default=False,
    ),
]
OptionalTarget = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET", help="As for inspect; by default the audits of pyproject.toml.", show_default=False
    ),
]
Rules = Annotated[
    str,
    typer.Option(
        "--rules",
        "-r",
        metavar="NAME|FILE",
        help="Ruleset: a preset (see `rules list`) or a YAML file.",
        rich_help_panel=DECIDING,
        autocompletion=complete_rules,
    ),
]
WeightDecay = Annotated[
    float | None,
    typer.Option(
        "--weight-decay",
        "-w",
        metavar="X",
        min=0.0,
        help="Base coefficient; replaces the ruleset's own.",
        rich_help_panel=DECIDING,
        show_default=False,
    ),
]
BuildOn = Annotated[
    Device,
    typer.Option(
        "--device",
        help="Where to build the model: on meta, on the CPU with each parameter dropped as it is registered "
        "(streamed), or plainly on the CPU.",
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
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="TARGET",
        help="The model of a checkpoint: roles and owners are taken from it.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Trace = Annotated[
    str | None,
    typer.Option(
        "--trace",
        metavar="[SHAPE]",
        help="Run the forward pass on fake tensors and classify by use: 1x3x224x224, input_ids=int64:1x8, an "
        "expression; last and without a value, the model says what it eats.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="EXPR",
        help="The optimizer to audit: train.py:make_optimizer, model.configure_optimizers(), or "
        "'torch.optim:AdamW(model.parameters(), lr=1e-3)'.",
        rich_help_panel=OBSERVING,
        show_default=False,
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="A checkpoint of the model: its saved optimizer state is audited, too, and what resuming would do.",
        rich_help_panel=OBSERVING,
        show_default=False,
    ),
]
Measure = Annotated[
    bool,
    typer.Option(
        "--measure",
        metavar="",
        help="Step the optimizer with a gradient of zero, on copies, and read what it does to each parameter.",
        rich_help_panel=OBSERVING,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="GLOB", help="Show parameters whose name matches.", rich_help_panel=SAYING, show_default=False
    ),
]
RoleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--role", metavar="ROLE", help="Show parameters of this role.", rich_help_panel=SAYING, show_default=False
    ),
]
Grep = Annotated[
    str | None,
    typer.Option(
        "--grep",
        metavar="REGEX",
        help="Show parameters whose name contains this.",
        rich_help_panel=SAYING,
        show_default=False,
    ),
]
Full = Annotated[bool, typer.Option("--full", metavar="", help="Do not fold repeated blocks.", rich_help_panel=SAYING)]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="Format of the report.", rich_help_panel=SAYING)]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the report to a file instead of standard output.",
        rich_help_panel=SAYING,
        show_default=False,
        dir_okay=False,
    ),
]
ColorOption = Annotated[Color, typer.Option("--color", help="When to colour.", rich_help_panel=SAYING)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="No progress, verdict or notes.", rich_help_panel=SAYING)
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar="",
        help="Say more; with an error, its trace.",
        rich_help_panel=SAYING,
        callback=_be_verbose,
    ),
]

Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="CODE",
        help="Codes to report, by prefix, separated by commas (DA1,DA301); all by default.",
        rich_help_panel=COMPARING,
        show_default=False,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="CODE",
        help="Codes not to report, by prefix; the longer of two prefixes wins.",
        rich_help_panel=COMPARING,
        show_default=False,
    ),
]
FailOnOption = Annotated[
    FailOn,
    typer.Option("--fail-on", help="The least severity that makes the exit code 1.", rich_help_panel=COMPARING),
]
ExitZero = Annotated[
    bool, typer.Option("--exit-zero", metavar="", help="Exit 0 even with findings.", rich_help_panel=COMPARING)
]
OptimizerClass = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="CLASS",
        help="Optimizer to construct: a class of torch.optim, or package.module.Class.",
        show_default=False,
    ),
]
LearningRate = Annotated[
    float | None, typer.Option("--lr", metavar="X", min=0.0, help="Learning rate.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Another argument of the optimizer: momentum=0.9.", show_default=False
    ),
]
