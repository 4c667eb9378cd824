"""The file and line that a finding points to, and a hash that stays the same in later reports; for code hosts."""

import hashlib
import re

from msgspec import Struct

from decay_audit.checks.codes import Finding
from decay_audit.reports.options import Options
from decay_audit.reports.report import Report

_LOCATION = re.compile(r"(?P<file>[^:]+):(?P<line>[1-9][0-9]*)")


class FileLocation(Struct, frozen=True, kw_only=True):
    """A file, and a line in it; line 0 is the file as a whole."""

    file: str
    line: int = 0


def find_location(finding: Finding, report: Report, options: Options) -> FileLocation | None:
    """Find the place of a finding's cause: a line of a rule, a lock or pyproject.toml; otherwise the target's file.

    None if no such file is known: a preset is no file of the project, and a module may be of an installed package.
    """
    match = _LOCATION.fullmatch(finding.where)
    if match and not (report.plan.ruleset.preset and match["file"] == report.plan.ruleset.file):
        return FileLocation(file=match["file"], line=int(match["line"]))
    return FileLocation(file=options.artifact) if options.artifact else None


def fingerprint(finding: Finding, report: Report) -> str:
    """Hash what stays the same in later reports: not the line, the counts, or all parameters but the first."""
    match = _LOCATION.fullmatch(finding.where)
    identity = (
        finding.code,
        report.inventory.target,
        report.plan.ruleset.name,
        match["file"] if match else finding.where,
        next(iter(finding.parameters), finding.expected),
    )
    return hashlib.sha256("\0".join(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]
