"""Read the records of all processes from the folder that the recorder wrote to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from decay_audit.errors import DecayAuditError
from decay_audit.model.records import (
    Record,
    RecordedMeasurement,
    RecordedSteps,
    RecordedTrace,
    RecordStatus,
    ScriptError,
)

_ERRORS_ABOUT_OTHER_PROCESSES = frozenset(
    {
        "ChildFailedError",
        "SignalException",
        "ProcessRaisedException",
        "ProcessExitedException",
        "CalledProcessError",
        "KeyboardInterrupt",
    }
)
"""Errors of launchers and interrupted processes: they say that another process has failed."""


class ProcessRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The records of the processes of a command.

    Attributes:
        started_python: whether any process of Python started with the recorder.
        imported_torch: whether any process imported torch.
        error: the error that ended the command: the error of the process that failed, and not of its launcher.
        opened: the files that Python code opened to write.
    """

    started_python: bool
    imported_torch: bool
    records: tuple[Record, ...]
    error: ScriptError | None = None
    opened: frozenset[str] = frozenset()


class _Results(msgspec.Struct, frozen=True, kw_only=True):
    """What decay-audit did in the process, with the names of the fields of Record."""

    traces: tuple[RecordedTrace, ...] = ()
    measurements: tuple[RecordedMeasurement, ...] = ()
    notes: tuple[str, ...] = ()


_Schedule = dict[str, tuple[tuple[RecordedSteps, ...], ...]]
"""The steps of each group of an optimizer, by the position of the optimizer among all that the process made."""


class _Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended, if its optimizers were gone by then. The recorder writes it to a file beside the record."""

    status: RecordStatus
    moment: str
    error: ScriptError | None
    steps: int


def read(folder: Path) -> ProcessRecords:
    """Read all records, in the order of ranks; those without optimizers come last.

    Raises:
        DecayAuditError: a record cannot be understood: it was written by another version.
    """
    records = [_read(path) for path in sorted(folder.glob("record-*.json"))]
    records.sort(key=lambda record: (not record.optimizers, record.rank, record.pid))
    return ProcessRecords(
        error=_cause(sorted(_errors(folder), key=lambda entry: entry[0])),
        started_python=any(folder.glob("reached-python-*")),
        imported_torch=any(folder.glob("reached-torch-*")),
        records=tuple(records),
        opened=frozenset(
            line
            for path in folder.glob("opened-*")
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        ),
    )


def _errors(folder: Path) -> Iterator[tuple[float, ScriptError]]:
    """Yield the error of each process that failed, with the time at which it was written."""
    for path in folder.glob("failed-*.json"):
        try:
            yield path.stat().st_mtime, msgspec.json.decode(path.read_bytes(), type=ScriptError)
        except (msgspec.DecodeError, OSError):
            continue
    for path in folder.glob("record-*.json"):
        error = _read(path).error
        if error is not None:
            yield max(file.stat().st_mtime for file in (path, _ending_path(path)) if file.exists()), error


def _cause(errors: Sequence[tuple[float, ScriptError]]) -> ScriptError | None:
    """Choose the error that ended the command, from errors in the order of time.

    With a launcher it is the first error of a worker: other workers fail because the first did. Without a launcher it
    is the last error: a script may start processes that fail, and go on.
    """
    causes = [error for _, error in errors if not comes_from_other_process(error)]
    has_launcher = len(causes) < len(errors)
    if causes:
        return causes[0] if has_launcher else causes[-1]
    return errors[-1][1] if errors else None


def comes_from_other_process(error: ScriptError) -> bool:
    """Whether an error only says that another process failed, or is a bare exit code."""
    if error.type in ("sys.exit", "os._exit"):
        return error.message.lstrip("-").isdigit()
    return error.type in _ERRORS_ABOUT_OTHER_PROCESSES


def _with_steps(record: Record, schedule: _Schedule) -> Record:
    """Add to each optimizer the settings of its steps."""
    optimizers = (
        replace(optimizer, steps=schedule.get(str(optimizer.position), ())) for optimizer in record.optimizers
    )
    return replace(record, optimizers=tuple(optimizers))


def _ending_path(record_path: Path) -> Path:
    return record_path.with_name(record_path.name.replace("record", "ending", 1))


def _read(path: Path) -> Record:
    """Read the record of one process, with its traces, measurements, steps and ending from the files beside it."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        results_path = path.with_name(path.name.replace("record", "results", 1))
        if results_path.exists():
            results = msgspec.json.decode(results_path.read_bytes(), type=_Results)
            record = replace(
                record,
                traces=results.traces,
                measurements=results.measurements,
                notes=(*record.notes, *results.notes),
            )
        schedule_path = path.with_name(path.name.replace("record", "schedule", 1))
        if schedule_path.exists():
            record = _with_steps(record, msgspec.json.decode(schedule_path.read_bytes(), type=_Schedule))
        ending_path = _ending_path(path)
        if not ending_path.exists():
            return record
        ending = msgspec.json.decode(ending_path.read_bytes(), type=_Ending)
    except (msgspec.DecodeError, OSError) as error:
        raise DecayAuditError(f"the record of the script cannot be read: {error}", "report this as a bug") from error
    return replace(record, status=ending.status, moment=ending.moment, error=ending.error, steps=ending.steps)
