"""Saying: a Report becomes text, a tree, JSON, Markdown, CSV, SARIF or GitHub annotations.

Each format is a function from a Report to text, imported when it is asked for. Nothing here reads, decides or prints.
"""

from decay_audit.report import Report
from decay_audit.reports.options import Format, Options

__all__ = ["Format", "Options", "render", "verdict"]


def render(report: Report, format: Format | str = Format.TEXT, options: Options | None = None) -> str:  # noqa: A002
    """Say a report in a format."""
    options = options or Options()
    match Format(format):
        case Format.TEXT:
            from decay_audit.reports import table

            return table.render(report, options)
        case Format.JSON:
            from decay_audit.reports import as_json

            return as_json.render(report)
        case _:
            raise NotImplementedError


def verdict(report: Report) -> str:
    """Sum up the findings in one line: `1 error, 2 warnings in 95 tensors`."""
    from decay_audit.reports import finding_list

    return finding_list.verdict(report)
