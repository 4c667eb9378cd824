"""The audits of a command: one for the TARGET on the command line, or those of `[tool.decay-audit]`."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option
from decay_audit.errors import DecayAuditError
from decay_audit.text import first_few

if TYPE_CHECKING:
    from decay_audit.api import LoadedTarget, Request, ScriptRecording, ScriptRun
    from decay_audit.checks.exceptions import FindingException
    from decay_audit.cli.config import ConfiguredAudit
    from decay_audit.reports.report import Report


AuditNames = Annotated[
    tuple[str, ...],
    Option("Findings", "Run only the audit of pyproject.toml with this name or target; repeatable.", metavar="NAME"),
]


OptionOrigin = str
"""Where the value of an option comes from: `command line`, `default`, or a table in a file of settings."""


class Audit(Struct, frozen=True, kw_only=True):
    """One audit: its request, and its names in messages.

    Attributes:
        title: a text that distinguishes it from other audits of the same target; may be empty.
        name: its name in pyproject.toml; may be empty.
        script: the training script that makes the models; the target of the request is then its words.
        model: the only model of the script to audit; may be empty.
        origins: where each of its options comes from.
    """

    request: "Request"
    title: str = ""
    name: str = ""
    script: "ScriptRun | None" = None
    model: str = ""
    origins: Mapping[str, OptionOrigin] = {}

    @property
    def label(self) -> str:
        """The target, with the title."""
        return f"{self.request.target} ({self.title})" if self.title else self.request.target


class Verdict(Struct, frozen=True, kw_only=True):
    """The result of an audit.

    Attributes:
        fails: whether a finding is as severe as `--fail-on`.
        loaded: the model and the optimizers that were built for it; None for a training script.
        covered: the parameters that each exception of pyproject.toml covers, by the position of the exception.
    """

    report: "Report"
    loaded: "LoadedTarget | None"
    audit: Audit
    fails: bool
    covered: Mapping[int, frozenset[str]] = {}


def audits_of(
    context: typer.Context, target: str | None, options: AuditOptions, progress: Callable[[str], None]
) -> list[Audit]:
    """List the audits that a command has to run: that of its TARGET, or those in pyproject.toml.

    Raises:
        DecayAuditError: there is no TARGET, and no audit in a pyproject.toml. A command that checks nothing must
            not succeed.
    """
    from decay_audit import api

    request = api.request_for(target or "", options, progress)
    origins = _origins(context)
    if target:
        return [Audit(request=request, origins=origins)]
    return _configured_audits(request, origins, str(context.info_name))


def configured_exceptions() -> "tuple[FindingException, ...]":
    """List the exceptions in the settings of the project."""
    from decay_audit.cli import config

    return config.current().exceptions


def choose(audits: list[Audit], names: Sequence[str]) -> list[Audit]:
    """Choose the audits with these names, titles or targets; without names, choose all.

    Raises:
        DecayAuditError: no audit has such a name.
    """
    selection: list[Audit] = []
    for name in names:
        matching = [audit for audit in audits if name in (audit.name, audit.title, audit.request.target, audit.label)]
        if not matching:
            labels = [audit.name or audit.label for audit in audits]
            similar = get_close_matches(name, labels, n=1, cutoff=0.4)
            hint = f"did you mean `{similar[0]}`? " if similar else ""
            raise DecayAuditError(f"no audit is called `{name}`", f"{hint}audits: {first_few(labels, 8)}")
        selection += [audit for audit in matching if audit not in selection]
    return _with_positions(selection if names else audits)


def _with_positions(audits: list[Audit]) -> list[Audit]:
    """Say in the progress of each audit which of how many it is."""
    if len(audits) < 2:
        return audits
    return [
        replace(
            audit,
            request=replace(
                audit.request, progress=partial(_say_position, audit, f"audit {position} of {len(audits)}")
            ),
        )
        for position, audit in enumerate(audits, 1)
    ]


def _say_position(audit: Audit, position: str, text: str) -> None:
    audit.request.progress(f"{position}, {audit.label}: {text}")


def _origins(context: typer.Context) -> dict[str, OptionOrigin]:
    """Find where each option comes from: the command line, the table in pyproject.toml, or its default."""
    from decay_audit.cli import config

    settings_origins = config.current().origins
    origins = {}
    for name in context.params:
        source = context.get_parameter_source(name)
        words = {"COMMANDLINE": "command line", "DEFAULT_MAP": settings_origins.get(name, "")}  # Click's own words
        origins[name] = words.get(source.name if source else "", "default")
    return origins


def _configured_audits(request: "Request", origins: Mapping[str, OptionOrigin], verb: str) -> list[Audit]:
    """List the audits of the nearest pyproject.toml. The options that an audit sets replace those of `request`.

    Raises:
        DecayAuditError: no pyproject.toml has an audit. A command that checks nothing must not succeed.
    """
    from decay_audit.cli import config

    audits = config.current().audits
    if not audits:
        raise DecayAuditError(
            f"nothing to {verb}: no TARGET, and no [[tool.decay-audit.audits]] in a pyproject.toml here or above",
            f"decay-audit {verb} model.py",
        )
    requests = []
    for audit in audits:
        options = {
            name: value
            for name, value in audit.options.items()
            if origins.get(name) != "command line" and name not in config.RUN_OPTIONS
        }
        requests.append(
            Audit(
                request=replace(request, target=audit.run or audit.target, **options),
                title=config.title(audit, audits),
                name=audit.name or "",
                script=_script(audit) if audit.run else None,
                model=audit.target if audit.run else "",
                origins={**origins, **dict.fromkeys(options, audit.origin)},
            )
        )
    return requests


def _script(audit: "ConfiguredAudit") -> "ScriptRun":
    """Make the run of a configured audit, from words such as `train.py --epochs 1`, `-m package.train` or a command.

    Raises:
        DecayAuditError: a quote in the words is not closed, or there is no word.
    """
    from decay_audit.api import ScriptRun
    from decay_audit.cli import config

    try:
        words = shlex.split(audit.run)
    except ValueError as error:
        raise DecayAuditError(f"run = {audit.run!r}: {error}", "write it as in a shell") from error
    as_module = words[:1] == ["-m"]
    words = words[1:] if as_module or words[:1] == ["--"] else words
    if not words:
        raise DecayAuditError(f"run = {audit.run!r} names nothing to run", 'run = "train.py --epochs 1"')
    settings = {name: value for name, value in audit.options.items() if name in config.RUN_OPTIONS}
    return ScriptRun(words=tuple(words), as_module=as_module, folder=audit.folder, **settings)


def run_audit(audit: Audit, loaded: "LoadedTarget | ScriptRecording | None" = None) -> "list[Report]":
    """Run an audit. The audit of a target makes one report; that of a script makes one for each model.

    Args:
        loaded: what was built for the target, or recorded of the script, if that was done for another audit.

    Raises:
        DecayAuditError: the audit cannot be run, or the script makes no model of that name.
    """
    from decay_audit import api

    if audit.script is None:
        return [api.run(audit.request, loaded if isinstance(loaded, api.LoadedTarget) else None)]
    recording = loaded if isinstance(loaded, api.ScriptRecording) else api.record_script(audit.script, audit.request)
    result = api.audit_recording(audit.script, recording, audit.request)
    names = [report.inventory.target.partition(":")[2] for report in result.reports]
    reports = [report for name, report in zip(names, result.reports, strict=True) if audit.model in ("", name)]
    if not reports:
        raise DecayAuditError(f"{audit.label} makes no model called {audit.model}", f"models: {first_few(names, 8)}")
    first = reports[0].inventory
    reports[0] = replace(reports[0], inventory=replace(first, notes=(*result.notes, *first.notes)))
    return reports
