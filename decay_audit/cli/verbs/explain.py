"""`decay-audit explain`: one parameter's story, or one code's."""

import re
from typing import Annotated

import typer

from decay_audit.cli import options as o, screen
from decay_audit.errors import DecayAuditError

What = Annotated[str, typer.Argument(metavar="TARGET|CODE", help="A target, or a code such as DA101.")]
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="A parameter's name, folded or not.", show_default=False),
]


def explain(
    what: What,
    name: Name = None,
    *,
    deciding: o.Deciding,
    reading: o.Reading,
    observing: o.Observing,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Tell one parameter's whole story, or what a code means."""
    from decay_audit import reports

    look = screen.look(saying, output)
    if name is None and re.fullmatch(r"(?i)DA\d+", what):
        screen.write(reports.render_code(what.upper(), look), output)
        return
    if name is None:
        raise DecayAuditError(
            "explain needs a parameter's name as well", f"decay-audit explain {what} NAME; `inspect --full` lists them"
        )
    from decay_audit import api

    with screen.progress(saying) as progress:
        request = o.request(what, reading, deciding, observing, progress=progress)
        story = api.explain(name, api.report(api.load(request), request))
    screen.write(reports.render_explanation(story, look), output)
