"""Read the records of all processes from the folder that the recorder wrote to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from decay_audit.errors import DecayAuditError
from decay_audit.model.records import Record, RecordedTrace, RecordStatus, ScriptError

_ONLY_REPORT_OTHERS = frozenset(
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
        python: whether any process started Python with the recorder.
        torch: whether any process imported torch.
        error: the error that ended the command: that of the process that failed, and not that of its launcher.
    """

    python: bool
    torch: bool
    records: tuple[Record, ...]
    error: ScriptError | None = None


class _Ending(msgspec.Struct, frozen=True, kw_only=True):
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
        python=any(folder.glob("reached-python-*")),
        torch=any(folder.glob("reached-torch-*")),
        records=tuple(records),
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
    own = [error for _, error in errors if not comes_from_other_process(error)]
    has_launcher = len(own) < len(errors)
    if own:
        return own[0] if has_launcher else own[-1]
    return errors[-1][1] if errors else None


def comes_from_other_process(error: ScriptError) -> bool:
    """Whether an error only says that another process failed, or is a bare exit code."""
    if error.type in ("sys.exit", "os._exit"):
        return error.message.lstrip("-").isdigit()
    return error.type in _ONLY_REPORT_OTHERS


def _ending_path(record_path: Path) -> Path:
    return record_path.with_name(record_path.name.replace("record", "ending", 1))


def _read(path: Path) -> Record:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        traces_path = path.with_name(path.name.replace("record", "traces", 1))
        if traces_path.exists():
            traces = msgspec.json.decode(traces_path.read_bytes(), type=tuple[RecordedTrace, ...])
            record = replace(record, traces=traces)
        ending_path = _ending_path(path)
        if not ending_path.exists():
            return record
        ending = msgspec.json.decode(ending_path.read_bytes(), type=_Ending)
    except (msgspec.DecodeError, OSError) as error:
        raise DecayAuditError(f"the record of the script cannot be read: {error}", "report this as a bug") from error
    return replace(record, status=ending.status, moment=ending.moment, error=ending.error, steps=ending.steps)
