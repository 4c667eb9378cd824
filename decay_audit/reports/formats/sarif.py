"""SARIF 2.1.0, for code scanning: a rule for each code, a result for each finding, parameters as logical locations."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from decay_audit.checks.codes import CODES, Finding
from decay_audit.reports.finding_summary import parameter_names
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LOCATION = re.compile(r"(?P<file>[^:]+):(?P<line>[1-9][0-9]*)")
_NAMES = 8
_MOST_LOCATIONS = 1000  # of one result; readers of SARIF refuse more


def render(report: Report, options: Options) -> str:
    """Write the findings as a SARIF log of one run."""
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(report, options)]}
    return json.dumps(log, indent=2) + "\n"


def _run(report: Report, options: Options) -> dict[str, Any]:
    codes = sorted({finding.code for finding in report.findings})
    return {
        "tool": {"driver": {"name": "decay-audit", "rules": [_rule(code) for code in codes]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes, report, options) for finding in report.findings],
    }


def _rule(code: str) -> dict[str, Any]:
    entry = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.explanation},
        "help": {"text": f"decay-audit explain {code}"},
        "defaultConfiguration": {"level": entry.severity},
    }


def _result(finding: Finding, codes: list[str], report: Report, options: Options) -> dict[str, Any]:
    names = f": {parameter_names(finding, _NAMES)}" if finding.parameters else ""
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": f"{finding.message}{names}" + (f"; fix: {finding.fix}" if finding.fix else "")},
        "locations": [
            {
                "physicalLocation": _physical(finding, report, options),
                "logicalLocations": [
                    {"fullyQualifiedName": name, "kind": "member"} for name in finding.parameters[:_MOST_LOCATIONS]
                ],
            }
        ],
        "partialFingerprints": {"decayAudit/v1": _fingerprint(finding, report)},
        "properties": {"expected": finding.expected, "found": finding.found, "parameters": len(finding.parameters)},
    }


def _physical(finding: Finding, report: Report, options: Options) -> Mapping[str, Any]:
    """Point at the line of the rule if the ruleset is the user's own; otherwise at the file of the target."""
    match = _LOCATION.fullmatch(finding.where)
    if match and not report.plan.ruleset.preset:
        file, line = match["file"], int(match["line"])
    else:
        file, line = options.artifact or next(iter(report.inventory.files), report.inventory.target), 1
    return {"artifactLocation": {"uri": quote(file)}, "region": {"startLine": line}}


def _fingerprint(finding: Finding, report: Report) -> str:
    """Hash what identifies a finding over time: not its line, its counts or its other parameters."""
    match = _LOCATION.fullmatch(finding.where)
    same = (
        finding.code,
        report.inventory.target,
        report.plan.ruleset.name,
        match["file"] if match else finding.where,
        next(iter(finding.parameters), finding.expected),
    )
    return hashlib.sha256("\0".join(same).encode("utf-8", "surrogatepass")).hexdigest()[:32]
