"""The code quality report of GitLab: a list of issues, which a merge request shows beside its changes."""

import json
from collections.abc import Mapping

from decay_audit.model.choices import Severity
from decay_audit.reports.finding_location import find_location, fingerprints
from decay_audit.reports.finding_summary import parameter_names
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
