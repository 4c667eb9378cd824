"""Texts that all formats share: the verdict, the notes, and the parameters and the location of a finding."""

from collections import Counter
from collections.abc import Iterator

from decay_audit.checks.codes import Finding
from decay_audit.model.choices import SEVERITIES
from decay_audit.reports.folding import fold_names
from decay_audit.reports.report import Report
from decay_audit.text import count_noun, escape_control, first_few


def verdict(report: Report) -> str:
    """Sum up the findings in one line: `1 error, 2 warnings in 95 parameters`."""
    counts = Counter(finding.severity for finding in report.findings)
    findings = ", ".join(count_noun(counts[severity], severity) for severity in SEVERITIES if counts[severity])
    parameters = count_noun(len(report.plan.decisions) + report.hidden, "parameter")
    accepted = [f"{count_noun(len(report.excepted), 'finding')} accepted by exceptions"] if report.excepted else []
    return "; ".join([f"{findings or 'no findings'} in {parameters}", *accepted, *dict.fromkeys(_not_compared(report))])


def _not_compared(report: Report) -> Iterator[str]:
    """Say that there is no optimizer, or name the saved optimizers with positions that could not be compared."""
    if not report.optimizers:
        yield "only the ruleset was checked, no optimizer"
    for optimizer in report.optimizers:
        names = [name for group in optimizer.groups for name in group.parameters]
        known = sum(map(bool, names))
        if names and not known and optimizer.origin == "checkpoint":
            yield f"the saved {escape_control(optimizer.type)} could not be compared"
        elif known < len(names) and optimizer.origin == "checkpoint":
            yield (
                f"the saved {escape_control(optimizer.type)} could only be compared "
                f"at {known:,} of {len(names):,} positions"
            )


def notes(report: Report) -> tuple[str, ...]:
    """List the notes on how the target and the optimizers were read, each once."""
    on_optimizers = (note for optimizer in report.optimizers for note in (*optimizer.name_caveats, *optimizer.notes))
    return tuple(dict.fromkeys((*report.inventory.notes, *on_optimizers)))


def parameter_names(finding: Finding, limit: int) -> str:
    """Name the parameters of a finding, folded; the first `limit` patterns, and how many more there are."""
    patterns = fold_names(finding.parameters, shorten=limit < len(finding.parameters))
    return first_few([*map(escape_control, patterns)], limit)


def location(finding: Finding, report: Report) -> str:
    """Write the location of a finding; the name of the only optimizer is left out."""
    only_optimizer = [optimizer.name for optimizer in report.optimizers] == [finding.where]
    return "" if only_optimizer else finding.where
