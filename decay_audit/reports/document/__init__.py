"""The JSON document as values: the contract of `--format json`, field by field, and how a Report becomes one.

The JSON Schema is made from these values, and CSV has the fields of a parameter. Other modules encode the
values as text. `comparisons` has the documents of the commands that compare, `optimizers` the values on
optimizers and on a whole run, `versions` those of the programs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from decay_audit.checks.codes import Finding
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Severity
from decay_audit.model.inventory import SourceKind
from decay_audit.model.observations import Movement, Observation
from decay_audit.model.parameters import Fed
from decay_audit.reports import totals
from decay_audit.reports.document.optimizers import (
    OptimizerRecord,
    RunRecord,
    decay_of_parameters,
    optimizer_record,
    over_run_fields,
    run_record,
)
from decay_audit.reports.document.versions import Versions, versions_of
from decay_audit.reports.findings.summary import notes
from decay_audit.reports.report import Report
from decay_audit.roles.words import CONFIDENCES, Confidence, Evidence, EvidenceKind, Layer, Role
from decay_audit.rulesets.plan import DEFAULT, Decision, Plan

Natural = Annotated[int, Meta(ge=0)]


class SourceRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the parameters were read from."""

    kind: SourceKind
    files: tuple[str, ...]
    built_on: str | None


class RuleRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of the ruleset, and how many parameters it decided. The last one is the default."""

    name: str
    lenient: bool
    matched: Natural
    line: Natural


class RuleSetRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ruleset that decided."""

    name: str
    title: str
    source: str
    weight_decay: float
    rules: tuple[RuleRecord, ...]


class EvidenceRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One reason for a role, strongest first."""

    kind: EvidenceKind
    detail: str


class ObservationRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one optimizer does to a parameter; `group` is an index into the groups of that optimizer.

    `measured` and `settled` are the fractions of the weight that a step removes, divided by lr: in the first step, and
    once momentum has settled. `law` is the law that measured steps follow; null where no step was measured. A number
    that is not finite is null.
    """

    optimizer: str
    group: Natural
    weight_decay: float | None
    lr: float | None
    measured_rate: float | None = field(name="measured")
    settled_rate: float | None = field(name="settled")
    movement: Movement | None = field(name="law")


_NOT_ASKED = "needs --invariance"
"""The `scaling_note` without that option."""


class ParameterRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One parameter: what it is, what the ruleset decides, and what the optimizers do.

    `kept` is the part of the parameter that decay alone leaves over the run of `--steps`, and `timescale_steps` is the
    number of steps that it remembers: 1 / the largest part that a step removes. Half is left after `half_life_steps`.
    They are null without `--steps`, and where they are not known; `kept_note` then says why, or says `about`.
    `scale_invariant` and `inert` are null for the reason in `scaling_note`. `rests_at` is the value that the model uses
    where the parameter is 0, and `feeds` what the data that it scales flows into next; both are null without a trace.
    """

    name: str
    raw_name: str
    shape: tuple[Natural, ...]
    dtype: str
    numel: Natural
    layer: Layer
    role: Role
    confidence: Confidence
    evidence: tuple[EvidenceRecord, ...]
    owner: str
    owner_type: str | None
    trainable: bool | None
    tied_to: tuple[str, ...]
    declared_no_decay: str | None
    decay: bool
    weight_decay: float
    rule: str
    lenient: bool
    lr_scale: float
    use: str | None
    kept: float | None
    timescale_steps: float | None
    half_life_steps: float | None
    kept_note: str
    scale_invariant: bool | None
    inert: bool | None
    scaling_note: str
    rests_at: float | None
    feeds: tuple[Fed, ...] | None
    observed: tuple[ObservationRecord, ...]


class PlannedGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One param group that the ruleset asks for."""

    weight_decay: float
    lr_scale: float
    use: str | None
    parameters: tuple[str, ...]
    numel: Natural


class RoleTotals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of one role."""

    parameters: Natural
    numel: Natural
    decayed_parameters: Natural


class Totals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts of the parameters in the document, in all and by role. `hidden` counts those that a filter left out."""

    parameters: Natural
    numel: Natural
    decayed_parameters: Natural
    decayed_numel: Natural
    hidden: Natural
    by_role: dict[Role, RoleTotals]


class FixRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to resolve a finding: a command that can be run as it is, or an edit in words."""

    kind: Literal["command", "edit"]
    text: str


class FindingRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One difference, with every parameter that it concerns.

    `where` is a rule, a line (file:line) or a group. `confidence` is the lowest of the roles of the parameters.
    `exception` is the reason for which the project accepts the finding; null for one that counts.
    """

    code: str
    severity: Severity
    parameters: tuple[str, ...]
    message: str
    expected: str
    found: str
    where: str
    fix: FixRecord | None
    confidence: Confidence | None
    exception: str | None


class ReportDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report of decay-audit."""

    schema_version: Literal[2]
    versions: Versions
    target: str
    source: SourceRecord
    ruleset: RuleSetRecord
    parameters: tuple[ParameterRecord, ...]
    groups: tuple[PlannedGroup, ...]
    totals: Totals
    optimizers: tuple[OptimizerRecord, ...]
    run: RunRecord | None
    findings: tuple[FindingRecord, ...]
    notes: tuple[str, ...]


class ErrorRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why there is no report, and what to do instead."""

    message: str
    hint: str | None


class ErrorDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document in place of a report that could not be made (exit code 2)."""

    schema_version: Literal[2]
    target: str
    error: ErrorRecord


def document_without_parameters(report: Report) -> ReportDocument:
    """Make the document of a report. `parameter_records` makes its parameters: all at once would take much memory."""
    inventory = report.inventory
    return ReportDocument(
        schema_version=2,
        versions=versions_of(report),
        target=inventory.target,
        source=SourceRecord(kind=inventory.kind, files=inventory.files, built_on=inventory.built_on),
        ruleset=_ruleset(report.plan),
        parameters=(),
        groups=_groups(report.plan),
        totals=_totals(report),
        optimizers=tuple(optimizer_record(optimizer, report.horizon) for optimizer in report.optimizers),
        run=run_record(report.horizon),
        findings=_findings(report),
        notes=notes(report),
    )


def error_document(target: str, error: DecayAuditError) -> ErrorDocument:
    """Make the document of a report that could not be made."""
    return ErrorDocument(
        schema_version=2, target=target, error=ErrorRecord(message=error.message, hint=error.hint or None)
    )


def _findings(report: Report) -> tuple[FindingRecord, ...]:
    """Make the record of each finding, also of those that the project accepts."""
    confidences = {decision.name: decision.classified.confidence for decision in report.plan.decisions}
    return tuple(_finding(finding, confidences) for finding in (*report.findings, *report.excepted))


def _finding(finding: Finding, confidences: Mapping[str, Confidence]) -> FindingRecord:
    known = [confidences[name] for name in finding.parameters if name in confidences]
    kind: Literal["command", "edit"] = "command" if finding.fix.startswith("decay-audit ") else "edit"
    return FindingRecord(
        code=finding.code,
        severity=finding.severity,
        parameters=finding.parameters,
        message=finding.message,
        expected=finding.expected,
        found=finding.found,
        where=finding.where,
        fix=FixRecord(kind=kind, text=finding.fix) if finding.fix else None,
        confidence=max(known, key=CONFIDENCES.index, default=None),
        exception=finding.exception or None,
    )


def _ruleset(plan: Plan) -> RuleSetRecord:
    ruleset, matched = plan.ruleset, plan.counts_by_rule()
    rules = [
        RuleRecord(name=rule.name, lenient=rule.lenient, matched=matched.get(rule.name, 0), line=rule.line)
        for rule in ruleset.rules
    ]
    line = ruleset.default_location.rpartition(":")[2]
    default = RuleRecord(
        name=DEFAULT,
        lenient=ruleset.default_lenient,
        matched=matched.get(DEFAULT, 0),
        line=int(line) if line.isdigit() else 0,
    )
    return RuleSetRecord(
        name=ruleset.name,
        title=ruleset.title,
        source=ruleset.source,
        weight_decay=ruleset.weight_decay,
        rules=(*rules, default),
    )


def parameter_records(report: Report) -> Iterator[ParameterRecord]:
    """Make the record of each parameter, one after the other: a large model has a million of them."""
    observations: Mapping[str, list[Observation]] = defaultdict(list)
    for observation in report.observations:
        observations[observation.parameter].append(observation)
    decays = decay_of_parameters(report.horizon)
    evidence_records: dict[int, tuple[EvidenceRecord, ...]] = {}  # many parameters share one tuple of evidence
    without_run = over_run_fields((), "")
    for decision in report.plan.decisions:
        name = decision.name
        over_run = over_run_fields(decays[name], "it is in several groups") if name in decays else without_run
        evidence = decision.classified.evidence
        if id(evidence) not in evidence_records:
            evidence_records[id(evidence)] = _evidence(evidence)
        yield _parameter(decision, evidence_records[id(evidence)], observations.get(name, ()), over_run)


def _evidence(evidence: Sequence[Evidence]) -> tuple[EvidenceRecord, ...]:
    return tuple(EvidenceRecord(kind=item.kind, detail=item.detail) for item in evidence)


def _parameter(
    decision: Decision,
    evidence: tuple[EvidenceRecord, ...],
    observations: Sequence[Observation],
    over_run: Mapping[str, Any],
) -> ParameterRecord:
    classified, parameter = decision.classified, decision.classified.parameter
    return ParameterRecord(
        name=parameter.name,
        raw_name=parameter.raw_name,
        shape=parameter.shape,
        dtype=parameter.dtype,
        numel=parameter.numel,
        layer=classified.layer,
        role=classified.role,
        confidence=classified.confidence,
        evidence=evidence,
        owner=parameter.owner.name,
        owner_type=parameter.owner.types[0] if parameter.owner.types else None,
        trainable=parameter.trainable,
        tied_to=parameter.tied_to,
        declared_no_decay=parameter.declared_no_decay,
        decay=decision.decays,
        weight_decay=decision.weight_decay,
        rule=decision.rule,
        lenient=decision.lenient,
        lr_scale=decision.lr_scale,
        use=decision.use,
        **over_run,
        scale_invariant=parameter.scaling.is_scale_invariant if parameter.scaling else None,
        inert=parameter.scaling.is_inert if parameter.scaling else None,
        scaling_note=parameter.scaling.reason if parameter.scaling else _NOT_ASKED,
        rests_at=parameter.rests_at,
        feeds=parameter.feeds,
        observed=tuple(
            msgspec.convert(observation, ObservationRecord, from_attributes=True) for observation in observations
        ),
    )


def _groups(plan: Plan) -> tuple[PlannedGroup, ...]:
    return tuple(
        PlannedGroup(
            weight_decay=group.weight_decay,
            lr_scale=group.lr_scale,
            use=group.use,
            parameters=tuple(decision.name for decision in group.decisions),
            numel=group.numel,
        )
        for group in plan.groups()
    )


def _totals(report: Report) -> Totals:
    plan = report.plan
    counted, decayed = totals.count(plan.decisions), totals.count(totals.decayed(plan))
    return Totals(
        parameters=counted.parameters,
        numel=counted.numel,
        decayed_parameters=decayed.parameters,
        decayed_numel=decayed.numel,
        hidden=report.hidden,
        by_role={
            role: RoleTotals(
                parameters=len(members),
                numel=totals.count(members).numel,
                decayed_parameters=sum(decision.decays for decision in members),
            )
            for role, members in totals.by_role(plan.decisions).items()
        },
    )
