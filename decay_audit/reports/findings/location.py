"""Find the file and line of a finding's cause, and make a fingerprint by which tools recognize the finding later.

The formats SARIF, GitHub and GitLab use this. No file is read: the options contain the locations in the repository.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from decay_audit.checks.codes import Finding
from decay_audit.reports.options import FileLocation, SourceLocations
from decay_audit.reports.report import Report

_FILE_AND_LINE = re.compile(r"(?P<file>[^\s():,]+(?: [^\s():,]+)*):(?P<line>[1-9][0-9]*)")
_LINE_NUMBER = re.compile(r":[1-9][0-9]*\b")
_OPTIMIZER_CODES = ("DA1", "DA2", "DA5", "DA6", "DA8")
"""How the codes of findings about optimizers begin."""


def find_location(finding: Finding, locations: SourceLocations) -> FileLocation | None:
    """Find where the cause of a finding stands; None if no file of the repository is known for it.

    The cause is the line that the finding names (in rules, a lock or pyproject.toml). If it names none, the cause is
    the line that makes the optimizer, for a finding about an optimizer, or else the class of the module that holds the
    first parameter. The last choice is the target.
    """
    named_lines = [*_named_lines(finding.where, locations)]
    if named_lines and _FILE_AND_LINE.fullmatch(finding.where):
        return named_lines[0]
    is_about_optimizer = finding.code.startswith(_OPTIMIZER_CODES)
    if is_about_optimizer and locations.optimizers:
        by_length = sorted(locations.optimizers, key=len, reverse=True)  # `optimizer[1]` before `optimizer`
        name = next((name for name in by_length if name in finding.where), next(iter(locations.optimizers)))
        return locations.optimizers[name]
    if named_lines:
        return named_lines[0]
    if is_about_optimizer:
        return locations.target
    owners = (locations.owners[name] for name in finding.parameters if name in locations.owners)
    return next(owners, locations.target)


def _named_lines(where: str, locations: SourceLocations) -> Iterator[FileLocation]:
    for match in _FILE_AND_LINE.finditer(where):
        if match["file"] in locations.files:
            yield FileLocation(file=locations.files[match["file"]], line=int(match["line"]))


def fingerprints(findings: Iterable[Finding], report: Report) -> list[str]:
    """Make a fingerprint of each finding, by which a tool recognizes the finding in a later run.

    It is a hash of the code, the target, the ruleset, the location without its line, and the first parameter. The
    line, the counts and the other parameters may change. Findings of a report that have the same identity are
    numbered, so that no two have the same fingerprint.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    hashes = []
    for finding in findings:
        identity = (
            finding.code,
            report.inventory.target,
            report.plan.ruleset.name,
            _LINE_NUMBER.sub("", finding.where),
            next(iter(finding.parameters), finding.expected),
        )
        number = (str(counts[identity]),) if counts[identity] else ()
        counts[identity] += 1
        text = "\0".join((*identity, *number))
        hashes.append(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])
    return hashes
