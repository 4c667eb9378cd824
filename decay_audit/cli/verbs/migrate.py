"""`decay-audit migrate`: write a copy of a checkpoint whose optimizer state fits new param groups."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.command import takes

Checkpoint = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="The file with the optimizer state, or a folder that a trainer or torch.distributed.checkpoint wrote.",
    ),
]
NewOptimizer = Annotated[
    str, Option("Optimizer", "The new optimizer, in a form that `check --optimizer` takes.", metavar="EXPR")
]
Model = Annotated[str, Option("Model", "The model that was trained.", metavar="TARGET")]
NewFile = Annotated[Path, Option("Output", "The file to write; a folder for a folder.", metavar="FILE", short="-o")]
Drop = Annotated[
    list[str] | None,
    Option("Model", "Leave out the saved state of parameters that are not trained any more.", metavar="NAME"),
]
Init = Annotated[
    list[str] | None,
    Option("Model", "Start these parameters without a saved state: they are new, or have a new shape.", metavar="NAME"),
]
Renamed = Annotated[
    bool, Option("Model", "Find the new names of renamed parameters, by their shapes and the parts of their names.")
]


def migrate(
    checkpoint: Checkpoint,
    *,
    to: NewOptimizer,
    model: Model,
    drop: Drop = None,
    init: Init = None,
    renamed: Renamed = False,
    options: Annotated[AuditOptions, takes(names=("device", "key"))],
    output: NewFile,
    messages: Annotated[OutputOptions, takes(names=("color", "quiet", "verbose"))],
) -> None:
    """Move a saved optimizer state to new param groups.

    Each parameter keeps its state tensors, found by its name. The result is a new file; CHECKPOINT is only read.
    In a NAME of --drop and --init, `*` stands for any characters.
    """
    from decay_audit import api

    with screen.progress(messages) as progress:
        request = api.request_for(model, replace(options, optimizer=to, checkpoint=checkpoint), progress)
        changes = api.ModelChanges(drop=tuple(drop or ()), init=tuple(init or ()), renamed=renamed)
        lines = api.migrate(request, output, changes)
    screen.write("\n".join(lines))
