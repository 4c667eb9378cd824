"""Run a command that trains, and make a Report for each model that it trains."""

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.loading import LoadedTarget, add_uses, uncertain_names
from decay_audit.api.observing import ObservedOptimizers
from decay_audit.api.pipeline import report_on
from decay_audit.api.request import Request
from decay_audit.checks import in_order, selected_codes
from decay_audit.checks.codes import Finding
from decay_audit.checks.training import check_outside, check_training
from decay_audit.errors import DecayAuditError, shell_join
from decay_audit.model.horizon import Horizon
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.model.records import Record, ScriptError
from decay_audit.optimizers import horizon, recorded
from decay_audit.reports.report import Report
from decay_audit.sources.run import facts, grouping, inventory, launch, read_records, written_files
from decay_audit.text import count_noun

if TYPE_CHECKING:
    from decay_audit.sources.run.grouping import AuditGroup
    from decay_audit.sources.run.launch import LaunchResult
    from decay_audit.sources.run.read_records import ProcessRecords


_LONGEST_QUOTE = 200
"""How many characters of an error's message are quoted."""
_CANNOT_WRITE = ("[Errno 30]", "[Errno 13]")
"""How messages of OSErrors begin that say that a file system is read-only, or that a permission is missing."""
_TRACEBACK = "Traceback (most recent call last):"
"""How a traceback begins that is part of an error's message."""


class ScriptRun(Struct, frozen=True, kw_only=True):
    """A command to run under the recorder.

    Attributes:
        words: a script and its arguments, a module and its arguments, or a command.
        as_module: whether the first word is the name of a module, as after `python -m`.
        pretend: what to replace on this machine: `gpu`, `world` or `data`.
        watch: let the script train on, and print each change of its param groups.
        scratch: run in a temporary copy of the folder.
        folder: the folder to run in.
        until: when to stop it: `made` (when an optimizer exists), `first-step`, a number of steps, or `end`.
    """

    words: tuple[str, ...]
    as_module: bool = False
    until: str = "first-step"
    timeout: float | None = None
    pretend: tuple[str, ...] = ()
    scratch: bool = False
    watch: bool = False
    folder: Path = Path()


class ScriptResult(Struct, frozen=True, kw_only=True, eq=False):
    """The models and optimizers that a command made, and how it ended.

    Attributes:
        notes: how each process ended, what `--pretend` replaced, and which files the script wrote.
    """

    reports: tuple[Report, ...]
    records: tuple[Record, ...]
    launch_result: "LaunchResult"
    notes: tuple[str, ...]


class ScriptRecording(Struct, frozen=True, kw_only=True, eq=False):
    """What the recorder wrote while a command ran. Several audits can be made of it.

    Attributes:
        written: says which files the script wrote into its folder.
    """

    command: tuple[str, ...]
    launch_result: "LaunchResult"
    processes: "ProcessRecords"
    written: str


def run_script(script: ScriptRun, request: Request) -> ScriptResult:
    """Run a command until it trains, and audit what it made.

    Raises:
        DecayAuditError: it cannot be started, or it made no optimizer.
        KeyboardInterrupt: the user interrupted it.
    """
    return audit_recording(script, record_script(script, request), request)


def recording_key(script: ScriptRun, request: Request) -> object:
    """Return a key that is equal for two audits if one recording of the script serves both."""
    return repr(script), repr(tool_settings(request))


def record_script(script: ScriptRun, request: Request) -> ScriptRecording:
    """Run a command until it trains, and read what the recorder wrote.

    Raises:
        DecayAuditError: it cannot be started.
        KeyboardInterrupt: the user interrupted it.
    """
    if script.timeout is not None and not script.timeout > 0:
        raise DecayAuditError(f"--timeout {script.timeout:g}", "it is a number of seconds above 0")
    command = launch.command_for(script.words, as_module=script.as_module, folder=script.folder)
    settings = {
        "until": script.until,
        "watch": script.watch,
        "pretend": script.pretend,
        "tool": tool_settings(request),
    }
    with _temporary_folder("decay-audit-") as records_folder, _run_folder(script) as run_folder:
        before = written_files.state_of(run_folder)
        launch_result = launch.run(
            launch.Launch(
                command=command, folder=run_folder, records=records_folder, settings=settings, timeout=script.timeout
            )
        )
        processes = read_records.read(records_folder)
        after = written_files.state_of(run_folder)
    records = (_with_files_of(script.folder, run_folder, record) for record in processes.records)
    return ScriptRecording(
        command=command,
        launch_result=launch_result,
        processes=replace(processes, records=tuple(records)),
        written="" if script.scratch else written_files.describe_changes(before, after),
    )


def audit_recording(script: ScriptRun, recording: ScriptRecording, request: Request) -> ScriptResult:
    """Audit what a command made.

    Raises:
        DecayAuditError: it made no optimizer.
    """
    launch_result, processes = recording.launch_result, recording.processes
    records = [record for record in processes.records if record.optimizers]
    if not records:
        raise _no_optimizer_error(script, recording.command, launch_result, processes)
    distinct = [*_without_duplicates(records)]
    several, is_whole_run = len(distinct) > 1, script.until == "end"
    reports = [
        report
        for record in distinct
        for report in reports_of(record, request, several=several, is_whole_run=is_whole_run)
    ]
    return ScriptResult(
        reports=tuple(reports),
        records=tuple(records),
        launch_result=launch_result,
        notes=(
            *dict.fromkeys(_describe_end(record, launch_result, processes.error) for record in distinct),
            *dict.fromkeys(note for record in records for note in record.notes),
            *filter(None, [recording.written]),
        ),
    )


def _with_files_of(folder: Path, run_folder: Path, record: Record) -> Record:
    """Give the files that make optimizers by their path in the script's folder, also if it ran in a copy."""
    run_folder = run_folder.resolve()

    def of_folder(file: str) -> str:
        path = (run_folder / file).resolve()
        return str(folder / path.relative_to(run_folder)) if path.is_relative_to(run_folder) else file

    optimizers = (replace(optimizer, file=of_folder(optimizer.file)) for optimizer in record.optimizers)
    return replace(record, optimizers=tuple(optimizers))


def tool_settings(request: Request) -> dict[str, object]:
    """Return what the recorder, in the script's environment, needs to import decay-audit, and what it is to do there.

    `{}` if it has nothing to do there.
    """
    packages = ("decay_audit", "msgspec")
    folders = (Path(sys.modules[name].__file__ or "").parent.parent for name in packages)
    measure = {True: "all", False: "none", None: "unknown"}[request.measure]
    if request.no_trace and measure == "none":
        return {}
    return {
        "paths": [*dict.fromkeys(map(str, folders))],
        "python": [*sys.version_info[:2]],
        "trace": not request.no_trace,
        "measure": measure,
    }


@contextmanager
def _run_folder(script: ScriptRun) -> Iterator[Path]:
    """Yield the folder to run in: the script's, or a copy of it that is removed afterwards."""
    if not script.scratch:
        yield script.folder
        return
    with _temporary_folder("decay-audit-scratch-") as folder:
        yield written_files.copy(script.folder, folder)


@contextmanager
def _temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder, and remove it afterwards.

    Raises:
        DecayAuditError: no folder for temporary files can be written.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise DecayAuditError(
            f"no temporary folder can be made: {error.strerror}", "set TMPDIR to a folder that can be written"
        ) from error
    with folder as name:
        yield Path(name)


def reports_of(record: Record, request: Request, *, several: bool, is_whole_run: bool = False) -> Iterator[Report]:
    """Audit each model of a record.

    Args:
        several: whether there are several records: the target of a report then names the rank.
        is_whole_run: whether the recorded steps are the whole run: reports then say what decay comes to over them.
    """
    audits = grouping.group_by_audit(record)
    for index, audit in enumerate(audits):
        program = Path(record.arguments[0]).name if record.arguments and record.arguments[0] else "script"
        rank = f" (rank {record.rank})" if several and record.world > 1 else ""
        report = _report(record, audit, f"{program}:{audit.name}{rank}", request, is_whole_run=is_whole_run)
        yield report if index else _with_findings(report, check_outside(record.outside), request)


def _with_findings(report: Report, findings: Iterable[Finding], request: Request) -> Report:
    """Add the findings that are selected."""
    codes = selected_codes.select_codes(request.select, request.ignore)
    selected = (finding for finding in findings if finding.code in codes)
    return replace(report, findings=in_order((*report.findings, *selected)))


def _report(record: Record, audit: "AuditGroup", target: str, request: Request, *, is_whole_run: bool) -> Report:
    contents = inventory.read(record, audit.models, target, audit.free_tensors)
    optimizers, observations = recorded.with_measurements(
        recorded.observe(record, audit.optimizers, contents.names),
        record,
        audit.optimizers,
        contents.names,
        known_classes=request.measure is True,
    )
    observed = ObservedOptimizers(
        optimizers=optimizers,
        observations=observations,
        horizon=_recorded_horizon(audit, optimizers, observations, contents.inventory) if is_whole_run else None,
    )
    traced = contents.inventory if request.no_trace else _with_traces(contents.inventory, record, audit)
    report = report_on(LoadedTarget(inventory=traced), observed, replace(request, target=""))
    training_findings = check_training(facts.training_facts(record, audit, contents.names), report.plan)
    kept = tuple(finding for finding in report.findings if not _before_schedule(finding, optimizers))
    report = _with_findings(replace(report, findings=kept), training_findings, request)
    return replace(report, findings=tuple(_with_fix_for_a_run(finding, request.target) for finding in report.findings))


def _recorded_horizon(
    audit: "AuditGroup",
    optimizers: Sequence[Optimizer],
    observations: Sequence[Observation],
    inventory: Inventory,
) -> Horizon | None:
    """Compute what decay came to over the steps that the script took; None if none was recorded."""
    steps_by_group = recorded.steps_of_groups(audit.optimizers)
    if not steps_by_group:
        return None
    count = max(sum(steps.count for steps in group) for group in steps_by_group.values())
    run = Horizon(steps=count)
    return horizon.over_run(optimizers, observations, inventory.parameters, run, steps_by_group)


def _with_traces(contents: Inventory, record: Record, audit: "AuditGroup") -> Inventory:
    """Add the uses of parameters whose role is uncertain, from the traces of their models."""
    alone = len(audit.models) == 1 and not audit.free_tensors
    for model_trace in record.traces:
        model = record.models[model_trace.model]
        prefix = "" if alone else f"{model.name}."
        names = frozenset(name for name in uncertain_names(contents) if name.startswith(prefix))
        if model in audit.models and names:
            contents = add_uses(contents, names, model_trace.trace, prefix)
    return contents


def _with_fix_for_a_run(finding: Finding, audit: str) -> Finding:
    """Replace the fixes that need a target or an option that `run` does not have.

    Args:
        audit: the target of the audit in pyproject.toml; "" without an audit.
    """
    if finding.code == "DA304":
        return replace(finding, fix="add a rule by name to a ruleset of yours, and name it: --rules FILE")
    if finding.code.startswith("DA7") and finding.fix.startswith("decay-audit lock "):
        if audit:
            return replace(finding, fix=shell_join(["decay-audit", "lock", "--update", "--audit", audit]))
        return replace(finding, fix="decay-audit lock TARGET --update, with the target that the lock names")
    return finding


def _before_schedule(finding: Finding, optimizers: Sequence[Optimizer]) -> bool:
    """Whether a finding compares groups whose learning rates a schedule has not set yet: all are 0."""
    groups = [group for optimizer in optimizers if optimizer.name == finding.where for group in optimizer.groups]
    return finding.code == "DA207" and bool(groups) and all(group.lr == 0 for group in groups)


def _without_duplicates(records: Sequence[Record]) -> Iterator[Record]:
    """Of records with equal contents, such as those of several ranks, keep the first."""
    different: list[tuple[object, ...]] = []
    for record in records:
        contents = (record.models, record.modules, record.classes, _without_place(record), record.tensors)
        if contents not in different:
            different.append(contents)
            yield record


def _without_place(record: Record) -> tuple[object, ...]:
    return tuple(replace(optimizer, file="", line=0) for optimizer in record.optimizers)


def _describe_end(record: Record, launch_result: "LaunchResult", error_of_command: ScriptError | None) -> str:
    """Say where the script was stopped, or how it ended by itself."""
    classes = ", ".join(dict.fromkeys(recorded.display_name(optimizer) for optimizer in record.optimizers))
    if record.status == "stopped":
        where = {"step": "before its first step", "backward": "before its first backward pass"}
        place = where.get(record.moment, "after many backward passes without a step")
        place = f"after {count_noun(record.steps, 'step')}" if record.steps else place
        return f"stopped {place}; the script made {classes}"
    steps = f"after {count_noun(record.steps, 'step')}" if record.steps else ""
    if launch_result.timed_out:
        ending = f"was ended {steps}, at the timeout" if steps else "did not begin to train in time"
        return f"the script {ending}; this is what it had made until then"
    if record.error is not None:
        only_reports = read_records.comes_from_other_process(record.error)
        error = error_of_command if only_reports and error_of_command else record.error
        return f"the script ended {steps or 'before it trained'}: {_quote(error)}"
    return f"the script ended {steps or 'without a step'}; this is what it had made"


def _quote(error: ScriptError) -> str:
    """Quote the first line of an error's message, with its type and its place.

    A message that contains the traceback of another process is that process's error: its last line is quoted alone.
    """
    lines = [*filter(None, map(str.strip, error.message.splitlines()))]
    if _TRACEBACK in error.message:
        return lines[-1][:_LONGEST_QUOTE]
    text = lines[0] if lines else ""
    if error.type in ("sys.exit", "os._exit"):
        return f"exit code {text}" if text.lstrip("-").isdigit() else text[:_LONGEST_QUOTE]
    place = f" ({Path(error.file).name}:{error.line})" if error.file else ""
    return f"{error.type}{': ' if text else ''}{text[:_LONGEST_QUOTE]}{place}"


def _hint(error: ScriptError, script: ScriptRun, command: Sequence[str]) -> str:
    """Say the way out of an error with which a script ended before it made an optimizer."""
    message = error.message
    if error.type == "ModuleNotFoundError":
        other = f"`{_with_another_python(script)}` runs it with another Python"
        return f"it ran with {command[0]}; is it the right environment? {other}"
    if error.type == "SyntaxError":
        return f"it is not Python, or not for this version: it ran with {command[0]}"
    if script.as_module and error.type == "sys.exit" and message.startswith(f"{command[0]}: "):
        return "give the module as `python -m` takes it, and run in the folder from which it can be imported"
    if not script.scratch and message.startswith(_CANNOT_WRITE):
        return "if its folder cannot be written, `--scratch` runs it in a copy"
    return "the script itself fails: its output is above"


def _with_another_python(script: ScriptRun) -> str:
    """Return the command that runs the same words with another Python."""
    words = script.words[1:] if "python" in Path(script.words[0]).name else script.words
    module = ("-m",) if script.as_module else ()
    return shell_join(["decay-audit", "run", "--", "/path/to/python", *module, *words])


def _no_optimizer_error(
    script: ScriptRun, command: Sequence[str], launch_result: "LaunchResult", processes: "ProcessRecords"
) -> DecayAuditError:
    name = script.words[0]
    backward = max((record.backward_calls for record in processes.records), default=0)
    error = processes.error
    if backward:
        calls = count_noun(backward, "backward pass", "backward passes")
        return DecayAuditError(
            f"{name} makes no optimizer: it calls backward() ({calls}) and does its steps by hand",
            "there are no param groups to audit; `decay-audit inspect` shows what should decay",
        )
    if launch_result.timed_out:
        return DecayAuditError(
            f"{name} made no optimizer in {script.timeout:g} s", "give it more time: --timeout SECONDS"
        )
    if not processes.started_python:
        return DecayAuditError(
            f"no Python process of `{name}` could be watched (exit code {launch_result.code})",
            "its Python must read PYTHONPATH: not `python -I` or `-E`, and no container",
        )
    if error is not None:
        quote = _quote(error).removeprefix(f"{command[0]}: ")  # so `python -m` begins its message
        hint = _hint(error, script, command)
        return DecayAuditError(f"{name} ended before it made an optimizer: {quote}", hint)
    if not processes.imported_torch:
        return DecayAuditError(
            f"{name} did not import torch (exit code {launch_result.code})",
            f"it ran with {command[0]}; another Python: `{_with_another_python(script)}`",
        )
    return DecayAuditError(
        f"{name} made no optimizer (exit code {launch_result.code})", "give it the arguments with which it trains"
    )
