"""`decay-audit check`: the verdict."""

from collections.abc import Container, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.cli import options as o, screen
from decay_audit.errors import DecayAuditError

if TYPE_CHECKING:
    from decay_audit.api import Request
    from decay_audit.reports.report import Report

OptionalTarget = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET", help="As for inspect; by default the audits of pyproject.toml.", show_default=False
    ),
]


class Audit(Struct, frozen=True, kw_only=True):
    """What to compare, and which findings count.

    Attributes:
        title: what tells it from other audits of its target; may be empty.
    """

    request: "Request"
    judging: o.Judging
    title: str = ""


class Verdict(Struct, frozen=True, kw_only=True):
    """What an audit found, whether it fails, and the file that it is about."""

    report: "Report"
    fails: bool
    artifact: str


def check(
    context: typer.Context,
    target: OptionalTarget = None,
    *,
    deciding: o.Deciding,
    reading: o.Reading,
    observing: o.Observing,
    judging: o.Judging,
    formatting: o.Formatting,
    output: screen.Output = None,
    saying: screen.Saying,
) -> None:
    """Compare what an optimizer does with the ruleset, for CI.

    The exit code is 1 if they differ. Without a target, the audits that pyproject.toml lists are run.
    """
    from decay_audit import reports

    with screen.progress(saying) as progress:
        asked = Audit(request=o.request(target or "", reading, deciding, observing, progress=progress), judging=judging)
        audits = [asked] if target else list(_configured(asked, said=_said(context)))
        verdicts = [_run(audit) for audit in audits]
    several = len(verdicts) > 1
    look = partial(screen.look, saying, output, full=formatting.full, titled=several)
    texts = [
        reports.render_findings(one.report, formatting.format.value, look(artifact=one.artifact)) for one in verdicts
    ]
    screen.write(reports.join(texts, formatting.format.value) if target is None else texts[0], output)
    for line in _lines(verdicts):
        screen.say(line, quiet=saying.quiet)
    if not judging.exit_zero and any(one.fails for one in verdicts):
        raise typer.Exit(1)


def _said(context: typer.Context) -> frozenset[str]:
    """Name the options that are on the command line, which beat what an audit says."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")


def _configured(asked: Audit, *, said: Container[str]) -> Iterator[Audit]:
    """Fill what was asked with the options of each audit in the nearest pyproject.toml.

    Raises:
        DecayAuditError: there is none: no input is a failure, not a pass.
    """
    from decay_audit.cli import config

    file = config.find(Path.cwd())
    audits = config.load(file).audits if file else ()
    if file is None or not audits:
        raise DecayAuditError(
            "nothing to check: no TARGET, and no [[tool.decay-audit.audits]] in a pyproject.toml here or above",
            "decay-audit check model.py",
        )
    for audit in audits:
        own = {name: value for name, value in config.values(audit, file.parent).items() if name not in said}
        judging = {name: own.pop(name) for name in o.Judging.__struct_fields__ if name in own}
        yield Audit(
            request=replace(asked.request, **own),
            judging=replace(asked.judging, **judging),
            title=config.title(audit, audits),
        )


def _run(audit: Audit) -> Verdict:
    from decay_audit import api
    from decay_audit.checks import selected_codes

    judging = audit.judging
    codes = selected_codes.select_codes(judging.select or (), judging.ignore or ())
    report = api.with_codes(api.report(api.load(audit.request), audit.request), codes)
    if audit.title:
        target = f"{report.inventory.target} ({audit.title})"
        report = replace(report, inventory=replace(report.inventory, target=target))
    fails = selected_codes.has_failure(report.findings, judging.fail_on.value)
    return Verdict(report=report, fails=fails, artifact=api.file_of(audit.request.target))


def _lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """What goes to standard error: the notes of all audits, then their verdicts, each with its target among others."""
    from decay_audit import reports

    of = [f"{one.report.inventory.target}: " if len(verdicts) > 1 else "" for one in verdicts]
    for target, one in zip(of, verdicts, strict=True):
        yield from (f"note: {target}{note}" for note in reports.notes(one.report))
    yield from (target + reports.verdict(one.report) for target, one in zip(of, verdicts, strict=True))
