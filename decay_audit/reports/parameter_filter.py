"""Choose the parameters that a report shows: --only, --role and --grep. Findings do not change."""

import re
from collections.abc import Sequence
from fnmatch import translate

from msgspec.structs import replace

from decay_audit.errors import DecayAuditError
from decay_audit.reports.report import Report
from decay_audit.roles.words import read_roles
from decay_audit.rulesets.plan import Decision


def filter_parameters(
    report: Report, *, globs: Sequence[str] = (), roles: Sequence[str] = (), grep: str | None = None
) -> Report:
    """Keep the parameters of these roles whose name, or a tied name, matches any of the globs and the expression.

    The report says how many it hides. Findings, optimizers and observations stay: they are about the whole model.

    Raises:
        DecayAuditError: there is no such role, the regular expression is invalid, or no parameter is left.
    """
    selected_roles = {role for text in roles for word in text.split(",") for role in read_roles(word)}
    glob = re.compile("|".join(map(translate, globs))) if globs else None
    regex = _regex(grep) if grep is not None else None

    def is_shown(decision: Decision) -> bool:
        names = (decision.name, *decision.classified.parameter.tied_to)
        return (
            (not selected_roles or decision.classified.role in selected_roles)
            and (glob is None or any(map(glob.match, names)))
            and (regex is None or any(map(regex.search, names)))
        )

    decisions = tuple(decision for decision in report.plan.decisions if is_shown(decision))
    hidden = len(report.plan.decisions) - len(decisions)
    if not hidden:
        return report
    if not decisions:
        raise DecayAuditError(
            "no parameter is left to show", "--only, --role and --grep exclude all: relax one of them"
        )
    return replace(
        report,
        inventory=replace(report.inventory, parameters=tuple(decision.classified.parameter for decision in decisions)),
        plan=replace(report.plan, decisions=decisions),
        hidden=report.hidden + hidden,
    )


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        hint = "--grep takes a regular expression; escape ( [ . with \\"
        raise DecayAuditError(f"--grep {text[:96]}: {error}", hint) from error
