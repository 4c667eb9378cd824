"""What the template of the page writes: texts and numbers, made of a report. It writes no HTML."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from decay_audit.checks.codes import Finding
from decay_audit.model.choices import SEVERITIES
from decay_audit.reports import totals
from decay_audit.reports.columns import columns, entries, shape_text
from decay_audit.reports.document.over_run_text import group_texts, run_text
from decay_audit.reports.document.versions import versions_of
from decay_audit.reports.findings.summary import location, notes, parameter_names, verdict
from decay_audit.reports.folding import FoldedRow, fold
from decay_audit.reports.options import Options, PageParts
from decay_audit.reports.report import Report
from decay_audit.reports.totals import amount, share, size
from decay_audit.rulesets.plan import Decision
from decay_audit.text import count_noun, escape_control, format_coefficient

_MOST_ROWS = 400
"""How many rows the page has before a script runs."""
_MOST_NAMES = 8
"""How many parameters a finding names."""
_DIFFERENCES = ("DA1", "DA2", "DA6", "DA7")
"""Prefixes of the codes of findings that make a parameter differ."""


class BarPart(Struct, frozen=True, kw_only=True):
    """A part of a bar: how wide it is, and the text in it."""

    state: str
    percent: float
    text: str


class Bar(Struct, frozen=True, kw_only=True):
    """How many parameters, or elements, are in each state."""

    title: str
    parts: tuple[BarPart, ...]
    text: str


class FindingCard(Struct, frozen=True, kw_only=True):
    """A finding; `position` is its index in the findings of the JSON report, `id` that of its fix in the page."""

    code: str
    severity: str
    message: str
    where: str
    parameters: str
    exception: str
    fix: str
    position: int
    id: str


class ReportContext(Struct, frozen=True, kw_only=True):
    """Everything that the page writes of one report before a script runs.

    Attributes:
        worst: the worst severity among the findings; `good` if an optimizer was compared and there is none.
        titles: the titles of the table, for `rows`.
        rows_left_out: says how many rows of a long table are left out; "" if none is.
    """

    target: str
    verdict: str
    worst: str
    ruleset: str
    weight_decay: str
    source: str
    optimizers: tuple[str, ...]
    size: str
    versions: str
    bars: tuple[Bar, ...]
    findings: tuple[FindingCard, ...]
    notes: tuple[str, ...]
    code: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rows_left_out: str


def context_of(report: Report, options: Options) -> ReportContext:
    """Make the texts of a report."""
    ruleset, every = report.plan.ruleset, totals.count(report.plan.decisions)
    rows = fold(entries(report, over_run=True))
    titles = [*columns(report, over_run=True)]
    filled_columns = [index for index, _ in enumerate(titles) if any(row.cells[index + 1] for row in rows)]
    filled_titles = [titles[index] or "remarks" for index in filled_columns]
    return ReportContext(
        target=escape_control(report.inventory.target),
        verdict=verdict(report),
        worst=_worst(report),
        ruleset=escape_control(ruleset.name),
        weight_decay=format_coefficient(ruleset.weight_decay),
        source=escape_control(ruleset.source),
        optimizers=tuple(_optimizers(report)),
        size=size(every.numel, every.parameters) + (f", {report.hidden:,} hidden" if report.hidden else ""),
        versions=_versions(report),
        bars=_bars(report),
        findings=tuple(_cards(report)),
        notes=(*_over_run(report), *map(escape_control, notes(report))),
        code=options.page.code,
        titles=("parameter", "count", "shape", "layer", "role", *filled_titles),
        rows=tuple(_row(row, filled_columns) for row in rows[:_MOST_ROWS]),
        rows_left_out=f" (the first {_MOST_ROWS} of {len(rows):,})" if len(rows) > _MOST_ROWS else "",
    )


def _over_run(report: Report) -> Iterator[str]:
    """Write what decay comes to over the run, if its length is known."""
    if report.horizon is not None:
        yield f"over a run of {run_text(report.horizon)}"
        yield from group_texts(report.horizon, full=False)


def extras_of(page: PageParts) -> dict[str, Any]:
    """List what only the page has, as JSON: the decisions of other rulesets, and the update of each param group."""
    return {
        "presets": [
            {"name": other.name, "title": other.title, "decays": _bits(other.decays)} for other in page.other_rulesets
        ],
        "updates": {
            f"{optimizer}\n{group}": {
                "optimizer": update.optimizer,
                "steps": update.steps,
                "zero_gradient": update.zero_gradient,
                "source": update.source,
            }
            for (optimizer, group), update in page.updates.items()
        },
    }


def _bits(decays: Sequence[bool]) -> str:
    """Write answers as hexadecimal digits. Each digit has four answers, the first one in its highest bit."""
    text = "".join("1" if answer else "0" for answer in decays)
    return "".join(f"{int(text[start : start + 4].ljust(4, '0'), 2):x}" for start in range(0, len(text), 4))


def _worst(report: Report) -> str:
    severities = {finding.severity for finding in report.findings}
    if_none = "good" if report.optimizers else ""
    return next((severity for severity in SEVERITIES if severity in severities), if_none)


def _versions(report: Report) -> str:
    made_by = versions_of(report)
    torch = f", torch {made_by.torch}" if made_by.torch else ""
    return f"decay-audit {made_by.decay_audit}{torch}"


def _optimizers(report: Report) -> Iterator[str]:
    for optimizer in report.optimizers:
        saved = "saved " if optimizer.origin == "checkpoint" else ""
        yield escape_control(f"{saved}{optimizer.type}, {count_noun(len(optimizer.groups), 'group')}")


def _bars(report: Report) -> tuple[Bar, ...]:
    """Count each state by parameters and by elements. Norms have few elements, so the bar of parameters comes first."""
    differing = _differing(report)
    states: dict[str, list[Decision]] = {"decays": [], "spared": [], "differs": [], "frozen": []}
    for decision in report.plan.decisions:
        states[_state(decision, differing)].append(decision)
    counts = {state: totals.count(decisions) for state, decisions in states.items() if decisions}
    return (
        _bar("parameters", {state: count.parameters for state, count in counts.items()}, "{:,}".format),
        _bar("elements", {state: count.numel for state, count in counts.items()}, amount),
    )


def _differing(report: Report) -> frozenset[str]:
    """Name the parameters that differ: an error or a warning on a decision, a group, a saved state or a lock."""
    findings = [finding for finding in report.findings if finding.severity != "note"]
    return frozenset(
        name for finding in findings if finding.code.startswith(_DIFFERENCES) for name in finding.parameters
    )


def _state(decision: Decision, differing: frozenset[str]) -> str:
    if not decision.grouped:
        return "frozen"
    if decision.name in differing:
        return "differs"
    return "decays" if decision.decays else "spared"


def _bar(title: str, counts: Mapping[str, int], write: Callable[[int], str]) -> Bar:
    whole = sum(counts.values())
    parts = tuple(
        BarPart(
            state=state,
            percent=round(100 * part / whole, 3) if whole else 0.0,
            text=f"{write(part)} {state}, {share(part, whole)}",
        )
        for state, part in counts.items()
    )
    return Bar(title=title, parts=parts, text="; ".join(part.text for part in parts))


def _cards(report: Report) -> Iterator[FindingCard]:
    for position, finding in enumerate((*report.findings, *report.excepted)):
        yield _card(finding, position, report)


def _card(finding: Finding, position: int, report: Report) -> FindingCard:
    return FindingCard(
        code=finding.code,
        severity=finding.severity,
        message=escape_control(finding.message),
        where=escape_control(location(finding, report)),
        parameters=parameter_names(finding, _MOST_NAMES) if finding.parameters else "",
        exception=escape_control(finding.exception),
        fix=escape_control(finding.fix),
        position=position,
        id=f"fix-{position}",
    )


def _row(row: FoldedRow, filled_columns: Sequence[int]) -> tuple[str, ...]:
    layer, *others = row.cells
    texts = (layer, ", ".join(row.roles), *(others[index] for index in filled_columns))
    return (escape_control(row.pattern), str(row.count), shape_text(row), *texts)
