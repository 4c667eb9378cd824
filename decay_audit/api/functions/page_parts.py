"""Make what only an HTML page shows: the param groups as code, other rulesets' decisions, each group's update."""

import re
from collections.abc import Hashable, Iterator

from msgspec.structs import replace

from decay_audit import rulesets
from decay_audit.api import emitting
from decay_audit.api.loading import LoadedTarget
from decay_audit.api.options import CodeOptions
from decay_audit.errors import DecayAuditError
from decay_audit.optimizers.formulas import update_formula
from decay_audit.reports.options import OtherRuleset, PageParts
from decay_audit.reports.report import Report
from decay_audit.roles.words import Classified
from decay_audit.rulesets.diff import ANY_BASE
from decay_audit.rulesets.plan import decide

_BLOCK_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")
"""A part of a name that is a number, as `nn.ModuleList` makes it."""


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
    """Decide the parameters by each other preset; a preset that refuses a parameter is left out.

    Parameters that differ only in the numbers of their blocks are decided once: no rule of a preset names a number.
    """
    first_of: dict[Hashable, int] = {}
    distinct: list[Classified] = []
    positions: list[int] = []
    for key, decision in zip(_keys(report), report.plan.decisions, strict=True):
        if key not in first_of:
            first_of[key] = len(distinct)
            distinct.append(decision.classified)
        positions.append(first_of[key])
    others = []
    for name in rulesets.presets():
        if name == report.plan.ruleset.name:
            continue
        # learning rates and optimizers do not matter here
        ruleset = replace(rulesets.load(name), layer_decay=None, lr_scale=(), routes=())
        try:
            plan = decide(distinct, ruleset, ruleset.weight_decay or ANY_BASE)
        except DecayAuditError:
            continue
        decays = tuple(plan.decisions[position].decays for position in positions)
        others.append(OtherRuleset(name=name, title=ruleset.title, decays=decays))
    return others


def _keys(report: Report) -> Iterator[Hashable]:
    """Yield a key of each parameter: all facts that the rules of a preset may ask for, names without block numbers."""
    owners: dict[int, Hashable] = {}
    for decision in report.plan.decisions:
        classified = decision.classified
        parameter = classified.parameter
        lineage = tuple(parameter.owner.lineage())
        if any(owner.declaration is not None for owner in lineage):
            yield parameter.name  # a declaration may name a block
            continue
        owner_id = id(parameter.owner)
        if owner_id not in owners:
            owners[owner_id] = tuple((_without_numbers(owner.name), owner.types) for owner in lineage)
        yield (
            *map(_without_numbers, (parameter.name, parameter.raw_name, *parameter.tied_to)),
            owners[owner_id],
            parameter.shape,
            parameter.dtype,
            parameter.trainable,
            parameter.lazy,
            parameter.attributes,
            parameter.declared_no_decay,
            classified.role,
            classified.layer,
        )


def _without_numbers(name: str) -> str:
    return _BLOCK_NUMBER.sub("0", name)
