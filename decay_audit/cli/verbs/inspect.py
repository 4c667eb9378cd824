"""`decay-audit inspect`: what each parameter is, and what the ruleset decides."""

from collections.abc import Iterable
from typing import Annotated

from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, OutputOptions, ParameterFilter
from decay_audit.cli import outputs, screen
from decay_audit.cli.arguments import Target
from decay_audit.cli.command import takes
from decay_audit.model.choices import Format


def inspect(
    target: Target,
    *,
    options: Annotated[AuditOptions, takes("Ruleset", "Model", "Optimizer", "Run length", "Scale invariance")],
    shown: ParameterFilter,
    output: OutputOptions,
) -> None:
    """Show what each parameter is, and what the ruleset decides.

    The exit code is 0 even if there are findings; `check` is the command for a verdict.
    """
    from decay_audit import api, reports
    from decay_audit.cli import locations

    with outputs.error_document(target, output), screen.progress(output) as progress:
        request = api.request_for(target, options, progress)
        loaded = api.load(request)
        report = api.run(request, loaded)
    report = reports.filter_parameters(report, globs=shown.only, roles=shown.role, grep=shown.grep)

    def document(form: Format, style: reports.Options) -> Iterable[str]:
        if form in locations.LOCATED_FORMATS:
            style = replace(style, locations=locations.find_locations(request, report, loaded))
        if form is Format.HTML:
            style = replace(style, page=api.page_parts(report, loaded))
        return reports.render_pieces(report, form, style)

    outputs.write(document, output)
