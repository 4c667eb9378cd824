"""A row for every parameter, for a spreadsheet or a data frame; never folded, and the same columns for every report.

Names are data from a model: control characters in them are made visible, so that a row is a line, and a cell that a
spreadsheet would run as a formula gets an apostrophe before it. Names that Python's attribute syntax can make are
written as they are; JSON has every name as it is.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

from decay_audit.model.observations import Observation
from decay_audit.reports.report import Report
from decay_audit.rulesets.plan import Decision
from decay_audit.text import escape_control, format_shape

COLUMNS = (
    "name",
    "raw_name",
    "shape",
    "dtype",
    "numel",
    "layer",
    "role",
    "confidence",
    "owner",
    "owner_type",
    "trainable",
    "tied_to",
    "declared_no_decay",
    "decay",
    "weight_decay",
    "rule",
    "place",
    "lr_scale",
    "use",
    "observed_optimizer",
    "observed_group",
    "observed_weight_decay",
    "observed_lr",
    "measured",
    "target",
)
_FORMULA = ("=", "+", "-", "@")
_SEVERAL = ";"


def render(report: Report) -> str:
    """Say a report as CSV (RFC 4180, with line feeds); several values in one cell are separated by semicolons."""
    observed: Mapping[str, list[Observation]] = defaultdict(list)
    for one in report.observations:
        observed[one.parameter].append(one)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        [*map(_cell, _row(decision, observed.get(decision.name, ()))), _cell(report.inventory.target)]
        for decision in report.plan.decisions
    )
    return text.getvalue()


def _row(decision: Decision, observations: Sequence[Observation]) -> tuple[object, ...]:
    subject, parameter = decision.classified, decision.classified.parameter
    return (
        parameter.name,
        parameter.raw_name,
        None if parameter.lazy else format_shape(parameter.shape),
        parameter.dtype,
        parameter.numel,
        subject.layer,
        subject.role,
        subject.confidence,
        parameter.owner.name,
        parameter.owner.types[0] if parameter.owner.types else None,
        parameter.trainable,
        _SEVERAL.join(parameter.tied_to),
        parameter.declared_no_decay,
        decision.decays,
        decision.weight_decay,
        decision.rule,
        decision.location,
        decision.lr_scale,
        decision.use,
        *(
            _SEVERAL.join("" if (value := getattr(one, field)) is None else str(value) for one in observations)
            for field in ("optimizer", "group", "weight_decay", "lr", "measured_rate")
        ),
    )


def _cell(value: object) -> object:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f"'{escape_control(value)}" if value.startswith(_FORMULA) else escape_control(value)
        case _:
            return value
