"""Read the records of all processes from the folder that the recorder wrote to."""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from decay_audit.errors import DecayAuditError
from decay_audit.model.records import Record, RecordedTrace, RecordStatus, ScriptError


class ProcessRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The records of the processes of a command.

    Attributes:
        python: whether any process started Python with the recorder.
        torch: whether any process imported torch.
        error: the error that ended a process before it imported torch.
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
        error=next((_error(path) for path in folder.glob("failed-*.json")), None),
        python=any(folder.glob("reached-python-*")),
        torch=any(folder.glob("reached-torch-*")),
        records=tuple(records),
    )


def _error(path: Path) -> ScriptError | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ScriptError)
    except (msgspec.DecodeError, OSError):
        return None


def _read(path: Path) -> Record:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        traces_path = path.with_name(path.name.replace("record", "traces", 1))
        if traces_path.exists():
            traces = msgspec.json.decode(traces_path.read_bytes(), type=tuple[RecordedTrace, ...])
            record = replace(record, traces=traces)
        ending_path = path.with_name(path.name.replace("record", "ending", 1))
        if not ending_path.exists():
            return record
        ending = msgspec.json.decode(ending_path.read_bytes(), type=_Ending)
    except (msgspec.DecodeError, OSError) as error:
        raise DecayAuditError(f"the record of the script cannot be read: {error}", "report this as a bug") from error
    return replace(record, status=ending.status, moment=ending.moment, error=ending.error, steps=ending.steps)
