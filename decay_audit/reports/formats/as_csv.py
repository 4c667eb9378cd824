"""Write a row for every parameter, for a spreadsheet or a data frame. All reports have the same columns.

Names are data from a model: control characters in them are made visible, so that a row is a line. A cell that a
spreadsheet would run as a formula gets an apostrophe before it. A name of letters, digits, underscores and dots is
always written unchanged; JSON has every name unchanged.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from operator import attrgetter

from decay_audit.reports.document import ObservationRecord, ParameterRecord, parameter_records
from decay_audit.reports.report import Report
from decay_audit.text import escape_control, format_shape

_FIELDS = [field for field in ParameterRecord.__struct_fields__ if field not in {"evidence", "observed"}]
_SHAPE = _FIELDS.index("shape")
_AFTER_RULE = _FIELDS.index("rule") + 1
_values = attrgetter(*_FIELDS)
_OBSERVED = ObservationRecord.__struct_fields__
_OBSERVED_TITLES = {"measured_rate": "measured", "settled_rate": "settled", "movement": "law"}
_UNOBSERVED = [""] * len(_OBSERVED)
COLUMNS = (
    *_FIELDS[:_AFTER_RULE],
    "place",
    *_FIELDS[_AFTER_RULE:],
    *(_OBSERVED_TITLES.get(field, f"observed_{field}") for field in _OBSERVED),
    "target",
)
_FORMULA = re.compile(r"(?:^|(?<=;))(?=\s*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])")
"""Where a spreadsheet begins a formula: at the start of a cell or after a `;`, also in full width."""
_SEPARATOR = ";"


def render(report: Report) -> str:
    """Write a report as CSV (RFC 4180, with line feeds); several values in one cell are separated by semicolons."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(as_cell, row) for row in _rows(report))
    return text.getvalue()


def rows(report: Report) -> list[dict[str, object]]:
    """List the rows as dicts, with numbers as numbers and names unchanged."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in _rows(report)]


def _rows(report: Report) -> Iterator[tuple[object, ...]]:
    for decision, record in zip(report.plan.decisions, parameter_records(report), strict=True):
        values = list(_values(record))
        values[_SHAPE] = None if decision.classified.parameter.lazy else format_shape(record.shape)
        yield (
            *values[:_AFTER_RULE],
            decision.location,
            *values[_AFTER_RULE:],
            *_observed(record.observed),
            report.inventory.target,
        )


def _observed(observations: Sequence[ObservationRecord]) -> Sequence[str]:
    if not observations:
        return _UNOBSERVED
    return [
        _SEPARATOR.join("" if value is None else str(value) for value in map(attrgetter(field), observations))
        for field in _OBSERVED
    ]


def as_cell(value: object) -> object:
    """Make a value safe for a cell: control characters are visible, and no spreadsheet runs it as a formula."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _FORMULA.sub("'", escape_control(value))
        case tuple():  # tied names
            return as_cell(_SEPARATOR.join(value))
        case _:
            return value
