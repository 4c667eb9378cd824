"""Make a Report for each model in the record of a process."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from decay_audit.api.loading import LoadedTarget, add_uses, uncertain_names
from decay_audit.api.observing import ObservedOptimizers
from decay_audit.api.pipeline import report_on
from decay_audit.api.request import Request
from decay_audit.checks import in_order, selected_codes
from decay_audit.checks.codes import Finding
from decay_audit.checks.training import check_outside, check_training
from decay_audit.errors import shell_join
from decay_audit.model.horizon import Horizon
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.model.records import Record
from decay_audit.optimizers import horizon, recorded
from decay_audit.reports.report import Report
from decay_audit.sources.run import facts, grouping, inventory

if TYPE_CHECKING:
    from decay_audit.sources.run.grouping import AuditGroup


def reports_of(record: Record, request: Request, *, several: bool, is_whole_run: bool = False) -> Iterator[Report]:
    """Audit each model of a record.

    Args:
        several: whether there are several records: the target of a report then names the rank.
        is_whole_run: whether the recorded steps are the whole run: reports then say what decay comes to over them.
    """
    audits = grouping.group_by_audit(record)
    for index, audit in enumerate(audits):
        program = Path(record.arguments[0]).name if record.arguments and record.arguments[0] else "script"
        rank = f" (rank {record.rank})" if several and record.world > 1 else ""
        report = _report(record, audit, f"{program}:{audit.name}{rank}", request, is_whole_run=is_whole_run)
        yield report if index else _with_findings(report, check_outside(record.outside), request)


def _with_findings(report: Report, findings: Iterable[Finding], request: Request) -> Report:
    """Add the findings that are selected."""
    codes = selected_codes.select_codes(request.select, request.ignore)
    selected = (finding for finding in findings if finding.code in codes)
    return replace(report, findings=in_order((*report.findings, *selected)))


def _report(record: Record, audit: "AuditGroup", target: str, request: Request, *, is_whole_run: bool) -> Report:
    contents = inventory.read(record, audit.models, target, audit.free_tensors)
    optimizers, observations = recorded.with_measurements(
        recorded.observe(record, audit.optimizers, contents.names),
        record,
        audit.optimizers,
        contents.names,
        known_classes=request.measure is True,
    )
    observed = ObservedOptimizers(
        optimizers=optimizers,
        observations=observations,
        horizon=_recorded_horizon(audit, optimizers, observations, contents.inventory) if is_whole_run else None,
    )
    traced = contents.inventory if request.no_trace else _with_traces(contents.inventory, record, audit)
    report = report_on(LoadedTarget(inventory=traced), observed, replace(request, target=""))
    training_findings = check_training(facts.training_facts(record, audit, contents.names), report.plan)
    kept_findings = tuple(finding for finding in report.findings if not _before_schedule(finding, optimizers))
    report = _with_findings(replace(report, findings=kept_findings), training_findings, request)
    return replace(report, findings=tuple(_with_fix_for_a_run(finding, request.target) for finding in report.findings))


def _recorded_horizon(
    audit: "AuditGroup",
    optimizers: Sequence[Optimizer],
    observations: Sequence[Observation],
    inventory: Inventory,
) -> Horizon | None:
    """Compute what decay came to over the steps that the script took; None if none was recorded."""
    steps_by_group = recorded.steps_of_groups(audit.optimizers)
    if not steps_by_group:
        return None
    count = max(sum(steps.count for steps in group) for group in steps_by_group.values())
    run = Horizon(steps=count)
    return horizon.over_run(optimizers, observations, inventory.parameters, run, steps_by_group)


def _with_traces(contents: Inventory, record: Record, audit: "AuditGroup") -> Inventory:
    """Add the uses of parameters whose role is uncertain, from the traces of their models."""
    is_single_model = len(audit.models) == 1 and not audit.free_tensors
    for model_trace in record.traces:
        model = record.models[model_trace.model]
        prefix = "" if is_single_model else f"{model.name}."
        names = frozenset(name for name in uncertain_names(contents) if name.startswith(prefix))
        if model in audit.models and names:
            contents = add_uses(contents, names, model_trace.trace, prefix)
    return contents


def _with_fix_for_a_run(finding: Finding, audit: str) -> Finding:
    """Replace the fixes that need a target or an option that `run` does not have.

    Args:
        audit: the target of the audit in pyproject.toml; "" without an audit.
    """
    if finding.code == "DA304":
        return replace(finding, fix="add a rule by name to a ruleset of yours, and name it: --rules FILE")
    if finding.code.startswith("DA7") and finding.fix.startswith("decay-audit lock "):
        if audit:
            return replace(finding, fix=shell_join(["decay-audit", "lock", "--update", "--audit", audit]))
        return replace(finding, fix="decay-audit lock TARGET --update, with the target that the lock names")
    return finding


def _before_schedule(finding: Finding, optimizers: Sequence[Optimizer]) -> bool:
    """Whether a finding compares groups whose learning rates a schedule has not set yet: all are 0."""
    groups = [group for optimizer in optimizers if optimizer.name == finding.where for group in optimizer.groups]
    return finding.code == "DA207" and bool(groups) and all(group.lr == 0 for group in groups)


def without_duplicates(records: Sequence[Record]) -> Iterator[Record]:
    """Of records with equal contents, such as those of several ranks, keep the first."""
    different: list[tuple[object, ...]] = []
    for record in records:
        contents = (record.models, record.modules, record.classes, _without_place(record), record.tensors)
        if contents not in different:
            different.append(contents)
            yield record


def _without_place(record: Record) -> tuple[object, ...]:
    return tuple(replace(optimizer, file="", line=0) for optimizer in record.optimizers)
