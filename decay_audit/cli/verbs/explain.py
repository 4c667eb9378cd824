"""`decay-audit explain`: all about one parameter, or one finding code."""

import re
from typing import Annotated

import typer

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.arguments import complete_target_or_code
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError

TargetOrCode = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET|CODE",
        help="A target, or a code such as DA101; DA3 lists the codes that begin with it.",
        show_default=False,
        autocompletion=complete_target_or_code,
    ),
]
ParameterName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="The name of a parameter, or of a folded row of `inspect`.", show_default=False
    ),
]


def explain(
    target: TargetOrCode = None,
    name: ParameterName = None,
    *,
    list_: Annotated[bool, Option("Output", "List all codes of findings.")] = False,
    options: Annotated[AuditOptions, takes("Ruleset", "Model", "Optimizer", "Run length", "Scale invariance")],
    output: Annotated[OutputOptions, takes(names=("output", "color", "quiet", "verbose"))],
) -> None:
    """Explain the decision about one parameter, or what a finding code means."""
    from decay_audit import reports

    print_options = screen.report_options(output)
    if list_ and target is None:
        target = "DA"
    if target is None:
        raise DecayAuditError(
            "explain needs a target and the name of a parameter, or a code",
            "decay-audit explain model.py NAME, or decay-audit explain DA101; `explain --list` lists the codes",
        )
    if name is None and re.fullmatch(r"(?i)DA\d*", target):
        screen.write(reports.render_code(target.upper(), print_options), output.output)
        return
    if name is None:
        raise DecayAuditError(
            "explain needs a parameter's name as well",
            f"decay-audit explain {target} NAME; `inspect --full` lists the names",
        )
    from decay_audit import api

    with screen.progress(output) as progress:
        explanation = api.explain(name, api.run(api.request_for(target, options, progress)))
    screen.write(reports.render_explanation(explanation, print_options), output.output)
