"""`decay-audit diff`: rulesets on one model, or the decisions on two models, locks or git revisions."""

import contextlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from decay_audit.api.options import DEFAULT_RULES, AuditOptions, Option, OutputOptions
from decay_audit.cli import config, outputs, screen
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import ComparisonFormat, Format

if TYPE_CHECKING:
    from decay_audit.api import Request
    from decay_audit.api.locking.model_changes import ReadSettings

Before = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="model.py, model.py:NAME or a checkpoint, as for `inspect`; or a lock file.",
        show_default=False,
    ),
]
After = Annotated[
    str | None,
    typer.Argument(metavar="OTHER", help="Another target or lock file, to compare with.", show_default=False),
]
Rulesets = Annotated[
    tuple[str, ...],
    Option(
        "Ruleset",
        "Two or more: compare them on TARGET. One: decide both sides by it. None: each side by its own settings.",
        metavar="NAME|FILE",
        short="-r",
    ),
]
FromRevision = Annotated[
    str | None, Option("Model", "Compare TARGET at this git revision with TARGET now.", metavar="REVISION")
]
ToRevision = Annotated[
    str | None,
    Option("Model", "With --from: compare with this revision instead of the current files.", metavar="REVISION"),
]
ExitCode = Annotated[bool, Option("Output", "Exit with 1 if anything differs.")]
OutputFormat = Annotated[ComparisonFormat, Option("Output", "The format of the comparison.", short="-f")]


def diff(
    context: typer.Context,
    target: Before,
    other: After = None,
    *,
    rules: Rulesets = (),
    from_: FromRevision = None,
    to: ToRevision = None,
    options: Annotated[AuditOptions, takes("Model", "Run length", names=("weight_decay", "optimizer"))],
    format: OutputFormat = "text",  # noqa: A002
    exit_code: ExitCode = False,
    output: Annotated[OutputOptions, takes(names=("full", "output", "color", "quiet", "verbose"))],
) -> None:
    """Show what differs between two models, git revisions, locks or rulesets, and why.

    Two models: diff TARGET OTHER. Two revisions: diff TARGET --from main. Rulesets: diff TARGET -r timm -r hf-trainer.
    Rulesets with --optimizer and --steps: also what the difference comes to over the run.
    """
    _require_two_sides(target, other, rules, from_, to)
    _require_rulesets_for_run(options, rules)
    output = replace(output, format=Format(format))
    with outputs.error_document(target, output), screen.progress(output) as progress:
        outputs.comparison_formats(output, has_page=True)  # refuses a suffix before anything is read
        from decay_audit import api

        own_rules = rules[0] if rules else config.current().defaults.get("rules", DEFAULT_RULES)
        request = api.request_for(target, replace(options, rules=own_rules), progress)
        render, differs = _compare(request, other, (from_, to), rules, partial(_settings_in, _unset_options(context)))
    outputs.write_comparison(render, output, has_page=True)
    if exit_code and differs:
        raise typer.Exit(1)


def _require_two_sides(
    target: str, other: str | None, rules: tuple[str, ...], from_: str | None, to: str | None
) -> None:
    """Check that one comparison is asked for.

    Raises:
        DecayAuditError: nothing to compare with is given, or more than one kind of it.
    """
    if to is not None and from_ is None:
        raise DecayAuditError("--to needs --from", f"decay-audit diff {target} --from REVISION --to {to}")
    kinds = {"OTHER": other, "--from": from_, "several --rules": len(rules) > 1}
    options = [name for name, value in kinds.items() if value]
    if len(options) > 1:
        raise DecayAuditError(f"diff compares one thing at a time, not {' and '.join(options)}", "give one of them")
    if not options:
        raise DecayAuditError(
            "diff needs something to compare with: another target, a revision, or two or more rulesets",
            f"decay-audit diff {target} --from main, or "
            f"decay-audit diff {target} --rules {(rules or ('timm',))[0]} --rules hf-trainer",
        )


def _require_rulesets_for_run(options: AuditOptions, rules: tuple[str, ...]) -> None:
    given = {"--steps": options.steps, "--epoch-steps": options.epoch_steps, "--schedule": options.schedule}
    names = [name for name, value in given.items() if value is not None]
    if names and len(rules) < 2:
        raise DecayAuditError(
            f"{names[0]} is for the comparison of rulesets", "name two with --rules, or leave the option out"
        )


def _unset_options(context: typer.Context) -> dict[str, Any]:
    """List the options that the command line does not set and that settings may set, with their defaults."""
    return {
        name: option.default
        for name, option in config.OPTIONS.items()
        if name in context.params
        and name in AuditOptions.__struct_fields__
        and getattr(context.get_parameter_source(name), "name", "") != "COMMANDLINE"
    }


def _settings_in(defaults: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Read the values of these options from the settings in a folder; one that it does not set has its default."""
    with contextlib.chdir(folder):
        values = config.current().defaults
        return {name: values.get(name, default) for name, default in defaults.items()}


def _compare(
    request: "Request",
    other: str | None,
    revisions: tuple[str | None, str | None],
    rules: tuple[str, ...],
    settings: "ReadSettings",
) -> tuple[outputs.Render, bool]:
    """Compare, and return what renders the comparison, and whether anything differs."""
    from decay_audit import api, reports

    if len(rules) > 1:
        if request.steps is None and request.schedule is None and request.epoch_steps is None:
            request = replace(request, optimizer=None)  # rulesets are compared with each other
        loaded = api.load(request)
        comparison = api.compare(loaded, rules, request)
        target = loaded.inventory.target
        return partial(reports.render_comparison, comparison, target), bool(comparison.differences)
    before, after = revisions
    if before is not None:
        changes = api.compare_revisions(request, before, after, settings)
    else:
        changes = api.compare_targets(request.target, other or "", request)
    return partial(reports.render_model_comparison, changes), bool(changes.changes)
