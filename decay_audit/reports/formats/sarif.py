"""SARIF 2.1.0, for code scanning: a rule for each code, a result for each finding, parameters as logical locations."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from decay_audit.checks.codes import CODES, Finding
from decay_audit.reports.findings.location import find_location, fingerprints
from decay_audit.reports.findings.summary import parameter_names
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
REPOSITORY = "https://github.com/OWNER/decay-audit"
_MAX_RUNS = 20  # of one log; GitHub refuses more
_MAX_NAMES = 8
_MAX_LOCATIONS = 1000  # of one result; readers of SARIF refuse more


def render(report: Report, options: Options) -> str:
    """Write the findings as a SARIF log of one run."""
    return _log([_run(report, options)])


def render_error(target: str, message: str) -> str:
    """Write a log of one run without results, which says that the audit could not be run, and why."""
    notification = {"level": "error", "message": {"text": message}}
    invocation = {"executionSuccessful": False, "toolExecutionNotifications": [notification]}
    return _log([{**_run_head(target, []), "invocations": [invocation], "results": []}])


def _log(runs: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, indent=2) + "\n"


def _run(report: Report, options: Options) -> dict[str, Any]:
    findings = (*report.findings, *report.excepted)
    codes = sorted({finding.code for finding in findings})
    return {
        **_run_head(report.inventory.target, codes),
        "results": [
            _result(finding, codes, fingerprint, options)
            for finding, fingerprint in zip(findings, fingerprints(findings, report), strict=True)
        ],
    }


def _run_head(target: str, codes: Sequence[str]) -> dict[str, Any]:
    """Write what every run has: the tool with the codes of its results, and the category of the run."""
    return {
        "tool": {
            "driver": {
                "name": "decay-audit",
                "semanticVersion": version("decay-audit"),
                "informationUri": REPOSITORY,
                "rules": [_rule(code) for code in codes],
            }
        },
        "automationDetails": {"id": f"decay-audit/{quote(target, safe='', errors='surrogatepass')}/"},
        "columnKind": "unicodeCodePoints",
    }


def _rule(code: str) -> dict[str, Any]:
    entry = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.explanation},
        "help": {"text": f"decay-audit explain {code}"},
        "helpUri": f"{REPOSITORY}/blob/main/docs/codes.md#{code.lower()}",
        "defaultConfiguration": {"level": entry.severity},
    }


def _result(finding: Finding, codes: list[str], fingerprint: str, options: Options) -> dict[str, Any]:
    names = f": {parameter_names(finding, _MAX_NAMES)}" if finding.parameters else ""
    suppressions = [{"kind": "external", "justification": finding.exception}] if finding.exception else []
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": f"{finding.message}{names}" + (f"; fix: {finding.fix}" if finding.fix else "")},
        "locations": [
            {
                **_physical(finding, options),
                "logicalLocations": [
                    {"fullyQualifiedName": name, "kind": "member"} for name in finding.parameters[:_MAX_LOCATIONS]
                ],
            }
        ],
        **({"suppressions": suppressions} if suppressions else {}),
        "partialFingerprints": {"decayAudit/v1": fingerprint, "primaryLocationLineHash": f"{fingerprint[:16]}:1"},
        "properties": {"expected": finding.expected, "found": finding.found, "parameters": len(finding.parameters)},
    }


def _physical(finding: Finding, options: Options) -> Mapping[str, Any]:
    """Write the file and the line; nothing if the file is not known."""
    location = find_location(finding, options.locations)
    if location is None:
        return {}
    region = {"region": {"startLine": location.line}} if location.line else {}
    return {"physicalLocation": {"artifactLocation": {"uri": quote(location.file, errors="surrogatepass")}, **region}}


def join(texts: Sequence[str]) -> str:
    """Join logs into one. GitHub refuses more than 20 runs, so the results of further runs go into the last."""
    logs = [json.loads(text) for text in texts]
    runs = _with_distinct_ids([run for log in logs for run in log["runs"]])
    first, rest = runs[:_MAX_RUNS], runs[_MAX_RUNS:]
    for run in rest:
        _add_results(first[-1], run)
    return _log(first)


def _with_distinct_ids(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number the ids of runs that GitHub would take for the same: it compares letters, digits and underscores only."""
    counts: Counter[str] = Counter()
    for run in runs:
        details = run["automationDetails"]
        compared_id = re.sub(r"[^a-zA-Z0-9_]", "_", details["id"]).upper()
        counts[compared_id] += 1
        if counts[compared_id] > 1:
            details["id"] = f"{details['id'].removesuffix('/')}-{counts[compared_id]}/"
    return runs


def _add_results(run: dict[str, Any], other: Mapping[str, Any]) -> None:
    rules = run["tool"]["driver"]["rules"]
    ids = [rule["id"] for rule in rules]
    rules += [rule for rule in other["tool"]["driver"]["rules"] if rule["id"] not in ids]
    ids = [rule["id"] for rule in rules]
    if invocations := [*run.get("invocations", ()), *other.get("invocations", ())]:
        run["invocations"] = invocations
    run["results"] += [{**result, "ruleIndex": ids.index(result["ruleId"])} for result in other["results"]]
