"""The code quality report of GitLab: a list of issues, which a merge request shows beside its changes."""

import hashlib
import json
from collections.abc import Mapping

from decay_audit.model.choices import Severity
from decay_audit.reports.findings.location import find_location, fingerprints
from decay_audit.reports.findings.summary import parameter_names
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report
from decay_audit.text import escape_control

_SEVERITIES: Mapping[Severity, str] = {"error": "major", "warning": "minor", "note": "info"}
_MAX_NAMES = 8


def render(report: Report, options: Options) -> str:
    """Write the findings as issues. GitLab requires a file and a line: without a file, the target and 1."""
    issues = []
    for finding, fingerprint in zip(report.findings, fingerprints(report.findings, report), strict=True):
        location = find_location(finding, options.locations)
        names = f": {parameter_names(finding, _MAX_NAMES)}" if finding.parameters else ""
        issues.append(
            {
                "description": f"{finding.code} {escape_control(finding.message)}{names}",
                "check_name": finding.code,
                "fingerprint": fingerprint,
                "severity": _SEVERITIES[finding.severity],
                "location": {
                    "path": location.file if location else escape_control(report.inventory.target),
                    "lines": {"begin": location.line if location and location.line else 1},
                },
            }
        )
    return json.dumps(issues, indent=2) + "\n"


def render_error(target: str, message: str) -> str:
    """Write the issue of an audit that could not be run, at the first line of its target."""
    name = escape_control(target)
    issue = {
        "description": f"{name} could not be run: {message}",
        "check_name": "decay-audit",
        "fingerprint": hashlib.sha256(f"could not be run: {name}".encode("utf-8", "surrogatepass")).hexdigest(),
        "severity": "blocker",
        "location": {"path": name.partition(":")[0], "lines": {"begin": 1}},
    }
    return json.dumps([issue], indent=2) + "\n"
