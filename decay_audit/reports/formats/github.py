"""Annotations of a GitHub workflow, one for each code and severity: GitHub shows only ten of each severity."""

from collections.abc import Mapping, Sequence

from decay_audit.checks.codes import Finding
from decay_audit.model.choices import Severity
from decay_audit.reports.findings.location import find_location
from decay_audit.reports.findings.summary import location, parameter_names
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.text import escape_control

_COMMANDS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}
_MAX_NAMES = 8


def render(report: Report, options: Options) -> str:
    """Write the findings as workflow commands; "" if there are no findings."""
    annotations: dict[tuple[str, Severity], list[Finding]] = {}
    for finding in report.findings:
        annotations.setdefault((finding.code, finding.severity), []).append(finding)
    return "".join(f"{_annotation(code, findings, report, options)}\n" for (code, _), findings in annotations.items())


def render_error(target: str, message: str) -> str:
    """Write the annotation of an audit that could not be run."""
    title = _escape_property(f"{escape_control(target)} could not be run")
    return f"::error title={title}::{_escape_data(message)}\n"


def _annotation(code: str, findings: Sequence[Finding], report: Report, options: Options) -> str:
    first_location = find_location(findings[0], options.locations)
    file = first_location.file if first_location else ""
    properties = f"file={_escape_property(file if file.isprintable() else escape_control(file))}," if file else ""
    properties += f"line={first_location.line}," if first_location and first_location.line else ""
    text = "\n".join(_message(finding, report) for finding in findings)
    target = escape_control(report.inventory.target)
    title = _escape_property(f"{code} in {target}")
    return f"::{_COMMANDS[findings[0].severity]} {properties}title={title}::{_escape_data(text)}"


def _message(finding: Finding, report: Report) -> str:
    names = f": {parameter_names(finding, _MAX_NAMES)}" if finding.parameters else ""
    text = location(finding, report)
    where = f" ({escape_control(text)})" if text else ""
    fix = f"\nfix: {escape_control(finding.fix)}" if finding.fix else ""
    return f"{escape_control(finding.message)}{names}{where}{fix}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
