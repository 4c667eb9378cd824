"""Run a command that trains, and make a Report for each model that it trains.

    script_run        ScriptRun, ScriptRecording, ScriptResult: the command, what was recorded, and what came of it
    recorded_reports  the record of a process -> a Report for each model in it
    endings           the words for how a script ended, and the errors of one that made no optimizer

This module starts the command, and joins the parts. One recording of a script serves several audits.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from decay_audit.api.request import Request
from decay_audit.api.running.endings import describe_end, no_optimizer_error
from decay_audit.api.running.recorded_reports import reports_of, without_duplicates
from decay_audit.api.running.script_run import ScriptRecording, ScriptResult, ScriptRun
from decay_audit.errors import DecayAuditError
from decay_audit.model.records import Record
from decay_audit.sources.run import launch, read_records, written_files

__all__ = [
    "ScriptRecording",
    "ScriptResult",
    "ScriptRun",
    "audit_recording",
    "record_script",
    "recording_key",
    "reports_of",
    "run_script",
    "tool_settings",
]


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
        changes = written_files.describe_changes(run_folder, before, after, processes.opened)
    records = (_with_files_of(script.folder, run_folder, record) for record in processes.records)
    return ScriptRecording(
        command=command,
        launch_result=launch_result,
        processes=replace(processes, records=tuple(records)),
        written=() if script.scratch else changes,
    )


def audit_recording(script: ScriptRun, recording: ScriptRecording, request: Request) -> ScriptResult:
    """Audit what a command made.

    Raises:
        DecayAuditError: it made no optimizer.
    """
    launch_result, processes = recording.launch_result, recording.processes
    records = [record for record in processes.records if record.optimizers]
    if not records:
        raise no_optimizer_error(script, recording.command, launch_result, processes)
    distinct = [*without_duplicates(records)]
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
            *dict.fromkeys(describe_end(record, launch_result, processes.error) for record in distinct),
            *dict.fromkeys(note for record in records for note in record.notes),
            *recording.written,
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
