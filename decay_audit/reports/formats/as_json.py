"""The JSON report: a Report in, a document out, one line for each parameter, group and finding.

The same report gives the same bytes. The schema that ships beside this file is made by `schema()`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from decay_audit.model.observations import Observation, Optimizer
from decay_audit.reports import totals
from decay_audit.reports.formats import document as d
from decay_audit.reports.report import Report
from decay_audit.rulesets.plan import DEFAULT, Decision, Plan

_BEYOND_ASCII = re.compile("[\x7f-\U0010ffff]")


def render(report: Report) -> str:
    """Say a report as JSON."""
    whole = document(report)
    parts: list[str] = []
    for name in whole.__struct_fields__:
        parts += (",\n" if parts else "{", f'"{name}":', *_lines(getattr(whole, name)))
    return _printable("".join((*parts, "}\n")))


def document(report: Report) -> d.Document:
    """Make the document of the contract."""
    inventory = report.inventory
    observed: Mapping[str, list[Observation]] = defaultdict(list)
    for one in report.observations:
        observed[one.parameter].append(one)
    return d.Document(
        schema_version=1,
        target=inventory.target,
        source=d.Source(kind=inventory.kind, files=inventory.files, built_on=inventory.built_on),
        ruleset=_ruleset(report.plan),
        parameters=tuple(_parameter(one, observed.get(one.name, ())) for one in report.plan.decisions),
        groups=_groups(report.plan),
        totals=_totals(report),
        optimizers=tuple(map(_optimizer, report.optimizers)),
        findings=tuple(msgspec.convert(one, d.FindingSeen, from_attributes=True) for one in report.findings),
    )


def schema() -> dict[str, Any]:
    """Make the JSON Schema of the document, or of a list of them: the reports of the audits of pyproject.toml."""
    made = msgspec.json.schema(d.Document | tuple[d.Document, ...])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "decay-audit report, schema_version 1",
        **made,
    }


def _lines(value: object) -> Iterator[str]:
    """Encode a value; a list has a line for each of its members, so that a diff and a search show one."""
    if not isinstance(value, tuple) or not value:
        yield _encode(value)
        return
    before = "[\n"
    for each in value:
        yield before
        yield _encode(each)
        before = ",\n"
    yield "\n]"


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a name from a checkpoint may hold half a surrogate pair, which UTF-8 cannot say
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def _printable(text: str) -> str:
    """Escape what a terminal could act on and JSON may hold as it is: DEL, C1 controls, directional marks."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _BEYOND_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def _ruleset(plan: Plan) -> d.RuleSetUse:
    ruleset, matched = plan.ruleset, plan.matched()
    uses = [d.RuleUse(name=rule.name, matched=matched.get(rule.name, 0), line=rule.line) for rule in ruleset.rules]
    line = ruleset.default_location.rpartition(":")[2]
    default = d.RuleUse(name=DEFAULT, matched=matched.get(DEFAULT, 0), line=int(line) if line.isdigit() else 0)
    return d.RuleSetUse(
        name=ruleset.name,
        title=ruleset.title,
        source=ruleset.source,
        weight_decay=ruleset.weight_decay,
        rules=(*uses, default),
    )


def _parameter(decision: Decision, observations: Sequence[Observation]) -> d.ParameterSeen:
    subject, parameter = decision.classified, decision.classified.parameter
    return d.ParameterSeen(
        name=parameter.name,
        raw_name=parameter.raw_name,
        shape=parameter.shape,
        dtype=parameter.dtype,
        numel=parameter.numel,
        layer=subject.layer,
        role=subject.role,
        confidence=subject.confidence,
        evidence=tuple(d.EvidenceSeen(kind=one.kind, detail=one.detail) for one in subject.evidence),
        owner=parameter.owner.name,
        owner_type=parameter.owner.types[0] if parameter.owner.types else None,
        trainable=parameter.trainable,
        tied_to=parameter.tied_to,
        declared_no_decay=parameter.declared_no_decay,
        decay=decision.decays,
        weight_decay=decision.weight_decay,
        rule=decision.rule,
        lr_scale=decision.lr_scale,
        use=decision.use,
        observed=tuple(msgspec.convert(one, d.Observed, from_attributes=True) for one in observations),
    )


def _groups(plan: Plan) -> tuple[d.PlannedGroup, ...]:
    return tuple(
        d.PlannedGroup(
            weight_decay=group.weight_decay,
            lr_scale=group.lr_scale,
            use=group.use,
            parameters=tuple(one.name for one in group.decisions),
            numel=group.numel,
        )
        for group in plan.groups()
    )


def _totals(report: Report) -> d.Totals:
    plan = report.plan
    every, decayed = totals.count(plan.decisions), totals.count(totals.decayed(plan))
    return d.Totals(
        parameters=every.parameters,
        numel=every.numel,
        decayed_parameters=decayed.parameters,
        decayed_numel=decayed.numel,
        hidden=report.hidden,
        by_role={
            role: d.RoleTotal(
                parameters=len(members),
                numel=totals.count(members).numel,
                decayed_parameters=sum(one.decays for one in members),
            )
            for role, members in totals.by_role(plan.decisions).items()
        },
    )


def _optimizer(optimizer: Optimizer) -> d.OptimizerSeen:
    return d.OptimizerSeen(
        name=optimizer.name,
        class_=optimizer.type,
        groups=tuple(msgspec.convert(group, d.HeldGroup, from_attributes=True) for group in optimizer.groups),
        semantics=optimizer.semantics,
        origin=optimizer.origin,
    )
