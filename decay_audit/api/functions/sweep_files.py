"""Write the rows of a sweep to CSV, JSON lines or Parquet, row by row, and read which rows a file has already."""

import csv
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from decay_audit.api.functions.sweeping import SweepRow
from decay_audit.errors import DecayAuditError
from decay_audit.reports.formats.as_csv import as_cell

COLUMNS: Final = SweepRow.__struct_fields__
SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
"""The formats, by the suffix of the file."""
_ROWS_AT_ONCE: Final = 1000
"""The rows of a row group of Parquet."""

WriteRow = Callable[[SweepRow], None]


def require_format(output: str, *, resume: bool) -> None:
    """Refuse a file of another format.

    Raises:
        DecayAuditError: the suffix is not known, or the format cannot be continued.
    """
    if not output.endswith(SUFFIXES):
        raise DecayAuditError(f"{output} has no suffix of a table", f"name a file that ends in {', '.join(SUFFIXES)}")
    if resume and output.endswith(".parquet"):
        raise DecayAuditError("a Parquet file cannot be continued", "--resume needs a file in .csv or .jsonl")


def read_names(output: str) -> set[str]:
    """Read which checkpoints a file has rows of, and cut off a last line that was not written completely.

    Rows of checkpoints that could not be read do not count: they are tried again.
    """
    path = Path(output)
    if not path.exists():
        return set()
    content = path.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    if complete != content:
        os.truncate(path, len(complete))
    text = complete.decode("utf-8", "replace")
    if output.endswith(".jsonl"):
        rows = [msgspec.json.decode(line, type=SweepRow) for line in text.splitlines() if line.strip()]
        return {row.name for row in rows if not row.error}
    return {row["name"].removeprefix("'") for row in csv.DictReader(io.StringIO(text)) if not row.get("error")}


@contextmanager
def open_rows(output: str, *, resume: bool) -> Iterator[WriteRow]:
    """Open a file for rows; each is on disk when the function that writes it returns (in Parquet, with its group).

    Raises:
        DecayAuditError: the file cannot be written, or Parquet is not installed.
    """
    if output.endswith(".parquet"):
        with _open_parquet(output) as write:
            yield write
        return
    path = Path(output)
    is_new = not (resume and path.exists() and path.stat().st_size)
    try:
        with path.open("w" if is_new else "a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            if output.endswith(".csv") and is_new:
                file.write(csv_header())

            def write(row: SweepRow) -> None:
                file.write(csv_line(row) if output.endswith(".csv") else f"{msgspec.json.encode(row).decode()}\n")
                file.flush()

            yield write
    except OSError as error:
        raise DecayAuditError(f"cannot write {output}: {error.strerror}", "choose a file that you may write") from error


def csv_header() -> str:
    """Write the names of the columns."""
    return ",".join(COLUMNS) + "\n"


def csv_line(row: SweepRow) -> str:
    """Write a row as CSV; in the cells of roles and findings, `name=value` with a semicolon between."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(as_cell(_plain(getattr(row, column))) for column in COLUMNS)
    return text.getvalue()


def _plain(value: Any) -> object:  # noqa: ANN401 - a field of a row
    return ";".join(f"{key}={item:g}" for key, item in value.items()) if isinstance(value, dict) else value


@contextmanager
def _open_parquet(output: str) -> Iterator[WriteRow]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DecayAuditError("Parquet needs pyarrow", "pip install 'decay-audit[parquet]'") from None
    number, text = pyarrow.float64(), pyarrow.string()
    kinds = {str: text, int: pyarrow.int64(), float: number, dict[str, float]: text, dict[str, int]: text}
    fields = [(field.name, kinds.get(field.type, number)) for field in msgspec.structs.fields(SweepRow)]
    schema = pyarrow.schema(fields)
    rows: list[dict[str, object]] = []
    with parquet.ParquetWriter(output, schema) as file:

        def flush() -> None:
            file.write_table(pyarrow.Table.from_pylist(rows, schema))
            rows.clear()

        def write(row: SweepRow) -> None:
            rows.append({column: _plain(getattr(row, column)) for column in COLUMNS})
            if len(rows) == _ROWS_AT_ONCE:
                flush()

        yield write
        flush()
