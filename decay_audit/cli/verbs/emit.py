"""`decay-audit emit`: the param groups as Python."""

from typing import Annotated

import typer

from decay_audit.api.options import AuditOptions, CodeOptions, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.arguments import Target
from decay_audit.cli.command import takes
from decay_audit.text import count_noun, escape_control


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

    if code_options.verify is not None:
        _verify(target, code_options, options, output)
        return
    if code_options.diff is not None or code_options.write:
        _edit(target, code_options, options, output)
        return
    with screen.progress(output) as progress:
        emitted = api.emit_target(target, options, code_options, progress)
    screen.write(reports.highlight(emitted.text, "python", screen.report_options(output)), output.output)
    for note in emitted.notes:
        screen.print_message(f"note: {note}", style="hint", color=output.color, quiet=output.quiet)


def _edit(target: str, code_options: CodeOptions, options: AuditOptions, output: OutputOptions) -> None:
    """Print the change of the user's file, or make it."""
    from decay_audit import api, reports

    with screen.progress(output) as progress:
        edited = api.edit_file(target, options, code_options, progress)
    if not code_options.write:
        screen.write(reports.highlight(edited.diff, "diff", screen.report_options(output)), output.output)
    for note in edited.notes:
        screen.print_message(f"note: {note}", style="hint", color=output.color, quiet=output.quiet)


def _verify(target: str, code_options: CodeOptions, options: AuditOptions, output: OutputOptions) -> None:
    """Print how the groups of the user's function differ from the ruleset's.

    Raises:
        typer.Exit: they differ.
    """
    from decay_audit import api

    with screen.progress(output) as progress:
        differences = api.verify_function(target, options, code_options, progress)
    for name, reasons in differences.items():
        differ = f"{count_noun(len(reasons), 'parameter')} {'differs' if len(reasons) == 1 else 'differ'} from"
        verdict = differ if reasons else "the param groups are those of"
        print(f"{escape_control(name)}: {verdict} {escape_control(options.rules)}")
        for parameter, reason in reasons.items():
            print(f"  {escape_control(parameter)}: {reason}")
    if any(differences.values()):
        raise typer.Exit(1)
