"""`decay-audit emit`: the param groups as Python."""

from typing import Annotated

from decay_audit.api.options import AuditOptions, CodeOptions, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.arguments import Target
from decay_audit.cli.command import takes


def emit(
    target: Target,
    *,
    code_options: CodeOptions,
    options: Annotated[AuditOptions, takes("Ruleset", "Model", names=("checkpoint",))],
    output: Annotated[OutputOptions, takes(names=("output", "color", "quiet", "verbose"))],
) -> None:
    """Print the param groups as Python.

    First the code is executed on the model, and on each model of --also, and its groups are compared with those of
    the ruleset.
    """
    from decay_audit import api, reports

    with screen.progress(output) as progress:
        emitted = api.emit_target(target, options, code_options, progress)
    screen.write(reports.highlight(emitted.text, "python", screen.report_options(output)), output.output)
    for note in emitted.notes:
        screen.print_message(f"note: {note}", style="hint", color=output.color, quiet=output.quiet)
