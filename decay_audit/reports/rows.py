"""Decisions as the words of a table row, before any layout: what folds, and under which titles."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isclose

from decay_audit.checks.coefficients import TOLERANCE
from decay_audit.checks.observed_plan import effective_weight_decay
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.reports.fold import Entry, Row
from decay_audit.reports.report import Report
from decay_audit.reports.wording import factors
from decay_audit.roles.words import label
from decay_audit.rulesets.plan import FROZEN, Decision
from decay_audit.text import escape_control, first_few, format_coefficient, format_shape

SPARED = "-"
ABSENT = "absent"
UNKNOWN = "?"
LAZY = "not initialized"
DIFFERS = " !"
MOVES = ": "
LEGEND = {
    DIFFERS: "! an optimizer does otherwise than the ruleset decides",
    MOVES: ": what a measured step does, where that is not what its group says",
}
"""What stands in a cell, and what it means."""

Say = Callable[[Decision], str]


def columns(report: Report) -> dict[str, Say]:
    """Give each column after the role: its title, and the word that it has for a decision; "" says nothing."""
    return {
        "decay": decay,
        **_observed(report),
        "lr": lambda decision: "" if decision.lr_scale == 1 else factors([decision.lr_scale]),
        "optimizer": lambda decision: escape_control(decision.use or ""),
        "rule": lambda decision: escape_control(decision.rule),
        "": remarks,
    }


def entries(report: Report) -> list[Entry]:
    """Make an entry of each decision; its cells are the layer, then the columns."""
    says = tuple(columns(report).values())
    return [
        Entry(
            name=decision.name,
            shape=decision.classified.parameter.shape,
            role=role(decision),
            cells=(decision.classified.layer, *(say(decision) for say in says)),
        )
        for decision in report.plan.decisions
    ]


def shape(row: Row) -> str:
    """Say the shape of a row: `512x64..256`, and `?` before a lazy parameter has one."""
    return "?" if LAZY in row.cells[-1] else format_shape(row.shape)


def role(decision: Decision) -> str:
    """Say a role in a word, and how sure it is if it is less so than its source usually is."""
    subject = decision.classified
    usual = ("certain",) if subject.parameter.owner.types else ("certain", "likely")
    return label(subject.role) + ("" if subject.confidence in usual else f" ({subject.confidence})")


def decay(decision: Decision) -> str:
    """Say the coefficient, or that there is none."""
    return format_coefficient(decision.weight_decay) if decision.decays else SPARED


def _declared(place: str) -> str:
    """Say which hook declares it. Blocks that each declare their own are to fold, so none of them is named."""
    module, _, hook = place.rpartition(".")
    return f"declared in a submodule's {escape_control(hook)}" if module else f"declared in {escape_control(hook)}"


def remarks(decision: Decision) -> str:
    """Say what else a reader must know of a parameter."""
    parameter = decision.classified.parameter
    said = [
        "frozen" if parameter.trainable is False and decision.rule != FROZEN else "",
        LAZY if parameter.lazy else "",
        f"tied to {first_few([*map(escape_control, parameter.tied_to)], 3)}" if parameter.tied_to else "",
        _declared(parameter.declared_no_decay) if parameter.declared_no_decay is not None else "",
    ]
    return "; ".join(filter(None, said))


def _observed(report: Report) -> dict[str, Say]:
    """A column for each class of optimizers, live ones and saved ones apart: a run may have one for each parameter."""
    titles = {(one.origin, one.name): _title(one) for one in report.optimizers}
    held: dict[str, dict[str, list[Observation]]] = {title: defaultdict(list) for title in titles.values()}
    for seen in report.observations:
        held[titles[seen.origin, seen.optimizer]][seen.parameter].append(seen)
    absent = ABSENT if len(held) == len({origin for origin, _ in titles}) else ""
    partly = {_title(one) for one in report.optimizers if _is_partly_named(one)}
    return {title: partial(_does, found, UNKNOWN if title in partly else absent) for title, found in held.items()}


def _is_partly_named(optimizer: Optimizer) -> bool:
    """Whether a saved one has positions without a name: any parameter may be there."""
    return optimizer.origin == "checkpoint" and not all(name for one in optimizer.groups for name in one.parameters)


def _title(optimizer: Optimizer) -> str:
    return escape_control(f"saved {optimizer.type}" if optimizer.origin == "checkpoint" else optimizer.type)


def _does(held: Mapping[str, Sequence[Observation]], absent: str, decision: Decision) -> str:
    """What optimizers do to a parameter, marked where it differs from the decision."""
    observations = held.get(decision.name, ())
    if not observations:
        return absent
    words = ", ".join(map(_observation, observations))
    same = all(isclose(effective_weight_decay(one), decision.weight_decay, rel_tol=TOLERANCE) for one in observations)
    return words if same or not decision.grouped else words + DIFFERS


def _observation(one: Observation) -> str:
    """What the group holds, and what a step was measured to do where that is something else."""
    held, moved = format_coefficient(one.weight_decay) if one.weight_decay else SPARED, movement(one)
    if not moved:
        return held
    as_held = moved == held or (
        one.measured_rate is not None and isclose(one.measured_rate, one.weight_decay, rel_tol=1e-2)
    )
    return held if as_held and one.movement != "vanishing" else f"{held}{MOVES}{moved}"


def movement(one: Observation) -> str:
    """Say how a step with a gradient of zero moves a weight: the fraction per learning rate, or in which other way."""
    match one.movement, one.measured_rate:
        case (None, None):
            return ""
        case ("none", _) | (None | "proportional", 0.0):
            return SPARED
        case (None | "proportional", float() as measured):
            return f"{measured:.3g}"
        case (other, _):
            return str(other)
