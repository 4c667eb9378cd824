"""`decay-audit run`: the verdict about the models and optimizers that an unedited training script makes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions, RunOptions, declared_options
from decay_audit.cli import outputs, screen
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Format, Severity

if TYPE_CHECKING:
    from decay_audit.api import ScriptResult
    from decay_audit.reports import Options as PrintOptions
    from decay_audit.reports.report import Report

_OPTIONS_RARE_IN_SCRIPTS = frozenset(
    {"rules", "select", "ignore", "fail-on", "exit-zero", "measure", "no-measure", "lock"}
)
"""Options of this command, besides those of its panel Script, that training scripts rarely have."""

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="SCRIPT|COMMAND [ARGS]...",
        help="train.py and its arguments; with -m, a module and its arguments; or a command: torchrun train.py.",
        show_default=False,
    ),
]


def run(
    words: Words,
    *,
    script_options: RunOptions,
    options: Annotated[AuditOptions, takes("Ruleset", "Findings", names=("no_trace", "measure"))],
    exit_zero: Annotated[bool, Option("Findings", "Exit with 0 even if there are findings.")] = False,
    output: OutputOptions,
) -> None:
    """Run a training script, unedited, until it trains, and compare what its optimizers do with the ruleset.

    Your code is executed, and stopped right before its first step. What it prints goes to standard error.
    """
    from decay_audit import api
    from decay_audit.checks import selected_codes

    for option in _misplaced_options(words):
        screen.print_message(
            f"note: {option} stands after {words[0]}, so {words[0]} gets it; options of decay-audit stand before",
            quiet=output.quiet,
        )
    script = api.ScriptRun(
        words=tuple(words),
        as_module=script_options.module,
        until=_checked_until(script_options.until),
        timeout=script_options.timeout,
        pretend=_pretend_words(script_options.pretend),
        scratch=script_options.scratch,
        watch=script_options.watch,
    )
    result = api.run_script(script, api.request_for("", options))
    if script_options.list_:
        screen.write("\n".join(_list_lines(result)), output.output)
        return
    outputs.write(lambda form, style: _render(result.reports, form, style), output)
    for line in _messages(result, options.fail_on):
        screen.print_message(line, quiet=output.quiet)
    if not exit_zero and any(selected_codes.has_failure(report.findings, options.fail_on) for report in result.reports):
        raise typer.Exit(1)


def _render(all_reports: "Sequence[Report]", form: Format, options: "PrintOptions") -> str:
    """Write the reports of all models as one document."""
    from decay_audit import api, reports
    from decay_audit.api import Request
    from decay_audit.cli import locations

    several = len(all_reports) > 1
    options = replace(options, titled=several)
    if form is Format.HTML:
        page_options = [replace(options, page=api.page_parts(report)) for report in all_reports]
        return reports.render_page(all_reports, page_options)
    styles = [
        replace(options, locations=locations.find_locations(Request(target=""), report))
        if form in locations.LOCATED_FORMATS
        else options
        for report in all_reports
    ]
    texts = [reports.render_findings(report, form, style) for report, style in zip(all_reports, styles, strict=True)]
    return reports.join(texts, form) if several else texts[0]


def _misplaced_options(words: Sequence[str]) -> list[str]:
    """List the options of this command that stand after a script which does not mention them."""
    try:
        text = Path(words[0]).read_text(encoding="utf-8", errors="replace") if words[0].endswith(".py") else None
    except OSError:
        text = None
    if text is None:
        return []
    options_after_script = dict.fromkeys(word.partition("=")[0] for word in words[1:] if word.startswith("--"))
    names = {option.name.strip("_").replace("_", "-") for option in declared_options(RunOptions)}
    own_options = {f"--{name}" for name in names | _OPTIONS_RARE_IN_SCRIPTS}
    text = text.replace("-", "_")
    return [
        option for option in options_after_script if option in own_options and option[2:].replace("-", "_") not in text
    ]


def _checked_until(text: str) -> str:
    """Check the moment at which the script is to be stopped.

    Raises:
        DecayAuditError: it is no moment and no number of steps.
    """
    if text in ("made", "first-step", "end") or text.isdigit():
        return text
    raise DecayAuditError(f"--until {text}", "it is made, first-step, a number of steps, or end")


def _pretend_words(values: tuple[str, ...]) -> tuple[str, ...]:
    """Split `gpu,data` into words.

    Raises:
        DecayAuditError: a word is none of `gpu`, `world` and `data`.
    """
    words = tuple(word for value in values for word in value.split(",") if word)
    for word in words:
        if word not in ("gpu", "world", "data"):
            raise DecayAuditError(f"--pretend {word}", "it is gpu, world, data, or several of them: gpu,data")
    return words


def _messages(result: "ScriptResult", fail_on: Severity) -> Iterator[str]:
    """Write the lines for standard error: how the script ended, notes, and a verdict for each model."""
    from decay_audit import reports
    from decay_audit.checks import selected_codes

    yield from (f"note: {note}" for note in result.notes)
    several = len(result.reports) > 1
    prefixes = [f"{report.inventory.target}: " if several else "" for report in result.reports]
    for prefix, report in zip(prefixes, result.reports, strict=True):
        yield from (f"note: {prefix}{note}" for note in reports.notes(report))
    yield from screen.verdict_lines(
        [
            (
                "FAIL" if selected_codes.has_failure(report.findings, fail_on) else "ok",
                report.inventory.target,
                reports.verdict(report),
            )
            for report in result.reports
        ]
    )


def _list_lines(result: "ScriptResult") -> Iterator[str]:
    """Write a line for each model, and a line for each of its optimizers, with the place that makes the optimizer."""
    from decay_audit.text import count_noun

    for report in result.reports:
        count = count_noun(len(report.inventory.parameters), "parameter")
        yield f"{report.inventory.target}  {count}"
        for optimizer in report.optimizers:
            groups = count_noun(len(optimizer.groups), "group")
            location = f", made in {Path(optimizer.file).name}:{optimizer.line}" if optimizer.line else ""
            yield f"  {optimizer.name}  {optimizer.type}, {groups}{location}"
