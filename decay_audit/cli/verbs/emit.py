"""`decay-audit emit`: the param-group code."""

from typing import Annotated

import typer
from msgspec import Struct

from decay_audit.cli import options as o, screen

EMITTING = "Emitting"


class Emitting(Struct, frozen=True, kw_only=True):
    """Which optimizer to write."""

    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            metavar="CLASS",
            help="The optimizer to make, too: a class of torch.optim, or package.module:Class.",
            rich_help_panel=EMITTING,
            show_default=False,
        ),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", metavar="X", help="Its learning rate.", rich_help_panel=EMITTING, show_default=False),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another argument of it: momentum=0.9.",
            rich_help_panel=EMITTING,
            show_default=False,
        ),
    ] = None


def emit(
    target: o.Target,
    *,
    emitting: Emitting,
    deciding: o.Deciding,
    reading: o.Reading,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Print the param groups as Python.

    It was executed on the model and compared with what the ruleset decides before it is printed.
    """
    from decay_audit import api, reports
    from decay_audit.emit import notes

    with screen.progress(saying) as progress:
        request = o.request(target, reading, deciding, progress=progress)
        loaded = api.load(request)
        decided = api.plan(loaded.inventory, request.rules, request.weight_decay)
        text = api.code(loaded, decided, optimizer=emitting.optimizer, lr=emitting.lr, settings=emitting.set_ or ())
    screen.write(reports.highlight(text, "python", screen.look(saying, output)), output)
    for note in notes(decided, emitting.optimizer):
        screen.say(f"note: {note}", style="hint", color=saying.color, quiet=saying.quiet)
