"""`decay-audit inspect`: the table."""

from typing import Annotated

import typer
from msgspec import Struct

from decay_audit.cli import options as o, screen

SHOWING = "Showing"


class Showing(Struct, frozen=True, kw_only=True):
    """Which parameters to show."""

    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="GLOB", help="Those whose name matches.", rich_help_panel=SHOWING, show_default=False
        ),
    ] = None
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="Those of a role.", rich_help_panel=SHOWING, show_default=False),
    ] = None
    grep: Annotated[
        str | None,
        typer.Option(
            "--grep",
            metavar="REGEX",
            help="Those whose name contains this.",
            rich_help_panel=SHOWING,
            show_default=False,
        ),
    ] = None


def inspect(
    target: o.Target,
    *,
    deciding: o.Deciding,
    reading: o.Reading,
    observing: o.Observing,
    showing: Showing,
    formatting: o.Formatting,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Show what each parameter is, and what the ruleset decides.

    The exit code is 0 whatever is found: the verdict is what `check` is for.
    """
    from decay_audit import api, reports

    with screen.progress(saying) as progress:
        request = o.request(target, reading, deciding, observing, progress=progress)
        report = api.report(api.load(request), request)
    shown = reports.filter_parameters(report, globs=showing.only or (), roles=showing.role or (), grep=showing.grep)
    look = screen.look(saying, output, full=formatting.full, artifact=api.file_of(target))
    screen.write(reports.render(shown, formatting.format.value, look), output)
