"""`decay-audit rules`: the rulesets themselves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decay_audit.cli import options as o, screen
from decay_audit.cli.command import register
from decay_audit.text import count_noun

if TYPE_CHECKING:
    from decay_audit.rulesets.conformance import Conformance
    from decay_audit.rulesets.importing import Imported

app = typer.Typer(help="List, show and validate rulesets.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A preset, or a YAML file.", autocompletion=o.complete_rules)
]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.", show_default=False)]
ForeignFile = Annotated[Path, typer.Argument(metavar="FILE", help="The codebase's file.", show_default=False)]
Source = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="CODEBASE",
        help="mmengine, torchtitan, llm-foundry, olmo-core, sam2 or basecls.",
        show_default=False,
    ),
]
Checked = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="TARGET",
        help="Say what each rule takes of this model, and compare with mmengine or torchtitan where that is installed.",
        show_default=False,
    ),
]


def list_(*, saying: screen.Saying) -> None:
    """List the presets: what each spares, and where it comes from."""
    from decay_audit import reports, rulesets

    known = [rulesets.load(name) for name in rulesets.presets()]
    screen.write(reports.render_rulesets(known, screen.look(saying)), None)


def show(name: Name, *, saying: screen.Saying) -> None:
    """Print a ruleset's YAML."""
    from decay_audit import reports, rulesets

    screen.write(reports.highlight(rulesets.text(name), "yaml", screen.look(saying)), None)


def validate(files: Files, *, saying: screen.Saying) -> None:
    """Check rules files, and the examples that they give."""
    from decay_audit import rulesets
    from decay_audit.errors import RulesError

    failed = False
    for file in files:
        try:
            ruleset = rulesets.validate(file)
        except RulesError as error:
            screen.fail(error.message, error.hint, saying.color)
            failed = True
        else:
            rules, examples = count_noun(len(ruleset.rules), "rule"), count_noun(len(ruleset.examples), "example")
            screen.say(f"{file}: {ruleset.name}, {rules}, {examples}", quiet=saying.quiet)
    if failed:
        raise typer.Exit(2)


def schema(*, output: screen.Output = None) -> None:
    """Print the JSON Schema of a rules file, for editors."""
    from decay_audit import rulesets

    screen.write(json.dumps(rulesets.schema(), indent=2), output)


def which(
    target: o.Target,
    *,
    optimizer: o.Optimizer = None,
    checkpoint: o.Checkpoint = None,
    reading: o.Reading,
    formatting: o.ComparisonFormatting,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Find the presets that do what an optimizer does, or nearly."""
    from decay_audit import api, reports

    observing = o.Observing(optimizer=optimizer, checkpoint=checkpoint)
    with screen.progress(saying) as progress:
        request = o.request(target, reading, observing=observing, progress=progress)
        found = api.which(api.load(request), request)
    look = screen.look(saying, output, full=formatting.full)
    screen.write(reports.render_matches(found, formatting.format.value, look), output)


def import_(
    file: ForeignFile,
    *,
    source: Source,
    check: Checked = None,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Turn another codebase's own configuration into a ruleset."""
    from decay_audit import reports
    from decay_audit.rulesets import importing

    imported = importing.import_rules(file, source)
    verified = _verified(imported, check, saying) if check else None
    screen.write(reports.highlight(imported.text, "yaml", screen.look(saying, output)), output)
    for note in imported.notes:
        screen.say(f"note: {note}", style="hint", color=saying.color, quiet=saying.quiet)
    if verified is not None:
        screen.say(reports.render_conformance(verified, screen.look(saying)), quiet=saying.quiet)
        if verified.differences:
            raise typer.Exit(1)


def _verified(imported: "Imported", target: str, saying: screen.Saying) -> "Conformance":
    from decay_audit import api
    from decay_audit.api.verifying import verify

    with screen.progress(saying) as progress:
        return verify(api.load(o.request(target, o.Reading(), progress=progress)), imported)


register(app, list_, "list")
register(app, show)
register(app, validate)
register(app, schema)
register(app, which)
register(app, import_, "import")
