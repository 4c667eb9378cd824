"""`decay-audit rules`: the rulesets themselves."""

import json
from pathlib import Path
from typing import Annotated

import typer

from decay_audit.cli import options as o
from decay_audit.cli import screen

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
        "--check", metavar="TARGET", help="Decide this model by it, and say what each rule takes.", show_default=False
    ),
]


@app.command("list")
def list_(color: o.ColorOption = o.Color.auto) -> None:
    """List the presets: what each spares, and where it comes from."""
    from decay_audit import reports, rulefile

    rulesets = [rulefile.load(name) for name in rulefile.presets()]
    screen.write(reports.rulesets(rulesets, screen.look(None, color)), None)


@app.command()
def show(name: Name, color: o.ColorOption = o.Color.auto) -> None:
    """Print a ruleset's YAML."""
    from decay_audit import reports, rulefile

    screen.write(reports.yaml(rulefile.text(name), screen.look(None, color)), None)


@app.command()
def validate(files: Files, quiet: o.Quiet = False, verbose: o.Verbose = False) -> None:
    """Check rules files: every mistake at once, and the examples that a file gives."""
    from decay_audit import rulefile
    from decay_audit.errors import RulesError

    failed = False
    for file in files:
        try:
            ruleset = rulefile.validate(file)
        except RulesError as error:
            screen.fail(error)
            failed = True
        else:
            screen.say(
                f"{file}: {ruleset.name}, {len(ruleset.rules)} rules, {len(ruleset.examples)} examples", quiet=quiet
            )
    if failed:
        raise typer.Exit(2)


@app.command()
def schema(output: o.Output = None) -> None:
    """Print the JSON Schema of a rules file, for editors."""
    from decay_audit import rulefile

    screen.write(json.dumps(rulefile.schema(), indent=2), output)


@app.command(cls=o.Verb)
def which(
    target: o.Target,
    optimizer: o.Optimizer = None,
    checkpoint: o.Checkpoint = None,
    device: o.BuildOn = o.Device.auto,
    key: o.Key = None,
    model: o.ModelOption = None,
    trace: o.Trace = None,
    full: o.Full = False,
    format: o.FormatOption = o.Format.text,  # noqa: A002
    output: o.Output = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Find the presets that reproduce what an optimizer does, live or saved; or the nearest ones."""
    from decay_audit import api, reports

    with screen.progress(quiet=quiet) as progress:
        request = api.Request(
            target=target,
            optimizer=optimizer,
            checkpoint=checkpoint,
            device=device.value,
            key=key,
            model=model,
            trace=trace,
            progress=progress,
        )
        found = api.which(api.load(request), request)
    look = screen.look(output, color, full=full, verbose=verbose)
    screen.write(reports.matches(found, format.value, look), output)


@app.command("import")
def import_(
    file: ForeignFile,
    source: Source,
    check: Checked = None,
    output: o.Output = None,
    color: o.ColorOption = o.Color.auto,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Write the ruleset that equals another codebase's own configuration of groups."""
    from decay_audit import reports
    from decay_audit.rulefile import importing

    imported = importing.import_rules(file, source)
    decided = _decided(imported.text, check, quiet=quiet) if check else ""
    screen.write(reports.yaml(imported.text, screen.look(output, color)), output)
    for note in imported.notes:
        screen.say(f"note: {note}", style="hint", quiet=quiet)
    screen.say(decided, quiet=quiet or not decided)


def _decided(text: str, target: str, *, quiet: bool) -> str:
    """Decide a model by an imported ruleset: how many parameters each of its rules takes."""
    from decay_audit import api, rulefile

    with screen.progress(quiet=quiet) as progress:
        loaded = api.load(api.Request(target=target, progress=progress))
        plan = api.plan(loaded.inventory, rulefile.from_text(text, "the imported ruleset"))
    counts = plan.matched()
    rules = [*(rule.name for rule in plan.ruleset.rules), "default"]
    taken = ", ".join(f"{name} {counts.get(name, 0)}" for name in rules)
    return f"{loaded.inventory.target}: parameters that each rule decides: {taken}"
