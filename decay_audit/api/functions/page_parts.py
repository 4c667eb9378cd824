"""Make what an HTML page shows besides the report: code for the param groups, other rulesets, each group's update."""

from decay_audit import rulesets
from decay_audit.api import emitting
from decay_audit.api.loading import LoadedTarget
from decay_audit.api.options import CodeOptions
from decay_audit.errors import DecayAuditError
from decay_audit.optimizers.formulas import update_formula
from decay_audit.reports.options import OtherRuleset, PageParts
from decay_audit.reports.report import Report
from decay_audit.rulesets.diff import ANY_BASE
from decay_audit.rulesets.plan import decide


def page_parts(report: Report, loaded: LoadedTarget | None = None) -> PageParts:
    """Make the parts of a page.

    Args:
        loaded: the target of the report; the code is tested on it. Without a target, the page has no code.
    """
    return PageParts(
        code="" if loaded is None or report.hidden else _code(report, loaded),
        other_rulesets=tuple(_other_rulesets(report)),
        updates={
            (optimizer.name, index): update_formula(optimizer, group)
            # live optimizers stand first; in reverse order, a live one replaces a saved one of the same name
            for optimizer in reversed(report.optimizers)
            for index, group in enumerate(optimizer.groups)
        },
    )


def _code(report: Report, loaded: LoadedTarget) -> str:
    """Write the groups of the plan as code; "" where no code gives exactly these groups, or torch is not installed."""
    try:
        return emitting.write_code(loaded, report.plan, CodeOptions(), report.plan.ruleset.name)
    except DecayAuditError:
        return ""
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return ""


def _other_rulesets(report: Report) -> "list[OtherRuleset]":
    """Decide the parameters by each other preset; a preset that refuses a parameter is left out."""
    classified = tuple(decision.classified for decision in report.plan.decisions)
    others = []
    for name in rulesets.presets():
        if name == report.plan.ruleset.name:
            continue
        ruleset = rulesets.load(name)
        try:
            plan = decide(classified, ruleset, ruleset.weight_decay or ANY_BASE)
        except DecayAuditError:
            continue
        decays = tuple(decision.decays for decision in plan.decisions)
        others.append(OtherRuleset(name=name, title=ruleset.title, decays=decays))
    return others
