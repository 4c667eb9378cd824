"""`decay-audit rules`: the commands about rulesets themselves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import outputs, screen
from decay_audit.cli.arguments import RulesetName, Target
from decay_audit.cli.command import register, takes
from decay_audit.cli.verbs.diff import OutputFormat
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Format
from decay_audit.text import count_noun

if TYPE_CHECKING:
    from decay_audit.rulesets.conformance import Conformance
    from decay_audit.rulesets.importing import Imported
    from decay_audit.rulesets.ruleset import RuleSet

app = typer.Typer(help="List, show, check, find and import rulesets.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.", show_default=False)]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WORD]...", help="Words that a preset has in its name, title or source.", show_default=False
    ),
]
ForeignFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The configuration of the other codebase.", show_default=False)
]
CodebaseName = Annotated[
    str,
    Option(
        "Ruleset",
        "Whose configuration it is: mmengine, torchtitan, llm-foundry, olmo-core, sam2 or basecls.",
        metavar="CODEBASE",
    ),
]
ModelToCheck = Annotated[
    str | None,
    Option(
        "Model",
        "Show how many parameters of this model each rule matches. Where mmengine or torchtitan is installed, compare "
        "with its own function.",
        metavar="TARGET",
    ),
]
Messages = Annotated[OutputOptions, takes(names=("color", "quiet", "verbose"))]
DocumentOutput = Annotated[OutputOptions, takes(names=("output", "color", "quiet", "verbose"))]


def list_(words: Words = None, *, format: OutputFormat = "text", messages: Messages) -> None:  # noqa: A002
    """List the presets, or those with a word in their name, title or source."""
    from decay_audit import reports, rulesets

    presets = [rulesets.load(name) for name in rulesets.presets()]
    matching = [preset for preset in presets if _has_words(preset, words or [])]
    if not matching:
        hint = "`decay-audit rules list` shows all presets"
        raise DecayAuditError(f"no preset has {' and '.join(words or [])} in its name, title or source", hint)
    screen.write(reports.render_rulesets(matching, screen.report_options(messages), format), form=format)


def _has_words(preset: "RuleSet", words: list[str]) -> bool:
    text = f"{preset.name} {preset.title} {preset.source}".lower()
    return all(word.lower() in text for word in words)


def show(name: RulesetName, *, messages: Messages) -> None:
    """Print a ruleset's YAML."""
    from decay_audit import reports, rulesets

    screen.write(reports.highlight(rulesets.text(name), "yaml", screen.report_options(messages)))


def validate(files: Files, *, messages: Messages) -> None:
    """Check rules files, and the examples in them."""
    from decay_audit import rulesets
    from decay_audit.errors import RulesError

    any_failed = False
    for file in files:
        try:
            ruleset = rulesets.validate(file)
        except RulesError as error:
            screen.print_error(error.message, error.hint, messages.color)
            any_failed = True
        else:
            rules, examples = count_noun(len(ruleset.rules), "rule"), count_noun(len(ruleset.examples), "example")
            screen.print_message(f"{file}: {ruleset.name}, {rules}, {examples}", quiet=messages.quiet)
    if any_failed:
        raise typer.Exit(2)


def schema(*, output: Annotated[OutputOptions, takes(names=("output",))]) -> None:
    """Print the JSON Schema of a rules file, for editors."""
    from decay_audit import rulesets

    screen.write(json.dumps(rulesets.schema(), indent=2), output.output)


def which(
    target: Target,
    *,
    options: Annotated[AuditOptions, takes("Model", names=("optimizer", "checkpoint"))],
    format: OutputFormat = "text",  # noqa: A002
    output: Annotated[OutputOptions, takes(names=("full", "output", "color", "quiet", "verbose"))],
) -> None:
    """Find the presets that decide as an optimizer does, or nearly so."""
    from decay_audit import api, reports

    output = replace(output, format=Format(format))
    with outputs.error_document(target, output), screen.progress(output) as progress:
        outputs.comparison_formats(output)  # refuses a suffix before anything is read
        request = api.request_for(target, options, progress)
        loaded = api.load(request)
        matches = api.which(loaded, request)
    inventory = loaded.inventory
    outputs.write_comparison(
        lambda form, look: reports.render_matches(matches, form, look, inventory.target, inventory.packages()), output
    )


def import_(file: ForeignFile, *, from_: CodebaseName, check: ModelToCheck = None, output: DocumentOutput) -> None:
    """Turn another codebase's own configuration into a ruleset."""
    from decay_audit import reports
    from decay_audit.rulesets import importing

    imported = importing.import_rules(file, from_)
    conformance = _conformance(imported, check, output) if check else None
    screen.write(reports.highlight(imported.text, "yaml", screen.report_options(output)), output.output)
    for note in imported.notes:
        screen.print_message(f"note: {note}", style="hint", color=output.color, quiet=output.quiet)
    if conformance is not None:
        terminal = screen.report_options(replace(output, output=()))
        screen.print_message(reports.render_conformance(conformance, terminal), quiet=output.quiet)
        if conformance.differences:
            raise typer.Exit(1)


def _conformance(imported: "Imported", target: str, output: OutputOptions) -> "Conformance":
    from decay_audit import api

    with screen.progress(output) as progress:
        return api.verify(api.load(api.request_for(target, AuditOptions(), progress)), imported)


register(app, list_, "list")
register(app, show)
register(app, validate)
register(app, schema)
register(app, which)
register(app, import_, "import")
