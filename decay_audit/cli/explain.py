"""`decay-audit explain`: one parameter's story, or one code's."""

import re
from typing import Annotated

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen
from decay_audit.errors import DecayAuditError

What = Annotated[str, typer.Argument(metavar="TARGET|CODE", help="A target, or a code such as DA101.")]
Name = Annotated[str | None, typer.Argument(metavar="NAME", help="A parameter's name.", show_default=False)]


def explain(
    what: What,
    name: Name = None,
    rules: o.Rules = o.DEFAULT_RULES,
    weight_decay: o.WeightDecay = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    model: o.ModelOption = None,
    trace: o.Trace = None,
    optimizer: o.Optimizer = None,
    measure: o.Measure = False,
    checkpoint: o.Checkpoint = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Tell one parameter's whole story, or what a code means."""
    from decay_audit import reports

    look = screen.look(None, color, verbose=verbose)
    if name is None and re.fullmatch(r"(?i)DA\d+", what):
        screen.write(reports.code(what.upper(), look), None)
        return
    if name is None:
        raise DecayAuditError(
            "explain needs a parameter's name as well", f"decay-audit explain {what} NAME; `inspect --full` lists them"
        )
    from decay_audit import api

    with screen.progress(quiet=quiet) as progress:
        request = api.Request(
            target=what,
            rules=rules,
            weight_decay=weight_decay,
            device=device.value,
            key=key,
            model=model,
            trace=trace,
            optimizer=optimizer,
            measure=measure,
            checkpoint=checkpoint,
            progress=progress,
        )
        loaded = api.load(request)
        story = api.explain(name, api.report(loaded, request))
    screen.write(reports.explanation(story, look), None)
