"""`decay-audit migrate`: an optimizer state, rewritten for new param groups."""

from pathlib import Path
from typing import Annotated

import typer

from decay_audit.cli import options as o, screen


def migrate(
    *,
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="The file with the optimizer state.")],
    to: Annotated[str, typer.Option("--to", metavar="EXPR", help="The new optimizer, as for --optimizer.")],
    model: Annotated[str, typer.Option("--model", metavar="TARGET", help="The model that was trained.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    saying: screen.Saying,
) -> None:
    """Move a saved optimizer state to new param groups.

    By name, and every tensor of it as it was; what it is moved to is a new file.
    """
    from decay_audit.api import migrating

    reading, observing = o.Reading(device=device, key=key), o.Observing(optimizer=to, checkpoint=checkpoint)
    with screen.progress(saying) as progress:
        lines = migrating.migrate(o.request(model, reading, observing=observing, progress=progress), output)
    screen.write("\n".join(lines), None)
