"""`decay-audit migrate`: an optimizer state, rewritten for new param groups."""

from pathlib import Path
from typing import Annotated

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen


def migrate(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="The file with the optimizer state.")],
    to: Annotated[str, typer.Option("--to", metavar="EXPR", help="The new optimizer, as for --optimizer.")],
    model: Annotated[str, typer.Option("--model", metavar="TARGET", help="The model that was trained.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Rewrite the optimizer state of a checkpoint for new param groups: by name, every state tensor as it was."""
    from decay_audit import api
    from decay_audit.api import migrating

    with screen.progress(quiet=quiet) as progress:
        request = api.Request(
            target=model, optimizer=to, checkpoint=checkpoint, device=device.value, key=key, progress=progress
        )
        lines = migrating.migrate(request, output)
    screen.write("\n".join(lines), None)
