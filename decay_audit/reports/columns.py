"""The columns of a table of parameters: for each, a function from a decision to the text of its cell.

A Report becomes entries that can be folded. Tables in the terminal and in Markdown have the same columns.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import isclose
from operator import attrgetter

from decay_audit.checks.observed_plan import effective_weight_decay, has_known_decay
from decay_audit.checks.optimizers.coefficients import TOLERANCE
from decay_audit.model.horizon import DecayOverRun, Horizon
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.reports.folding import FoldedRow, ParameterEntry
from decay_audit.reports.report import Report
from decay_audit.reports.totals import factors
from decay_audit.roles.words import Confidence, label
from decay_audit.rulesets.plan import FROZEN, Decision
from decay_audit.text import escape_control, first_few, format_coefficient, format_kept, format_number, format_shape

# Texts of cells, and the marks after roles and coefficients that `legend` explains.
SPARED = "-"
ABSENT = "absent"
UNKNOWN = "unknown"
NOT_INITIALIZED = "not initialized"
LIKELY = " ~"
GUESS = " ?"
DIFFERS = " !"
LENIENTLY_DIFFERS = " *"
MEASURED_SEPARATOR = ": "
"""Stands between the weight_decay of a group and what a measured step does."""
_CONFIDENCE_MARKS: dict[Confidence, str] = {"certain": "", "likely": LIKELY, "guess": GUESS}

_MAX_SIZES = 3
"""The most sizes of one dimension that a cell lists; of more, it has the smallest and the largest."""

Cell = Callable[[Decision], str]
"""Makes the text of a cell from a decision; "" is an empty cell."""


def columns(report: Report, *, over_run: bool = False) -> dict[str, Cell]:
    """List the columns after the role, by title. The last column has no title; it holds the remarks.

    Args:
        over_run: whether there are columns on what decay comes to over the run, if its length is known.
    """
    return {
        "decay": decay,
        **_optimizer_columns(report),
        **(_over_run_columns(report.horizon) if over_run and report.horizon is not None else {}),
        "lr": lambda decision: "" if decision.lr_scale == 1 else factors([decision.lr_scale]),
        "optimizer": lambda decision: escape_control(decision.use or ""),
        "rule": lambda decision: escape_control(decision.rule),
        "": remarks,
    }


def _over_run_columns(horizon: Horizon) -> dict[str, Cell]:
    """Make the columns `kept` and `remembers`: the part that decay alone leaves, and the time scale in steps."""
    decays: dict[str, list[DecayOverRun]] = defaultdict(list)
    for group in horizon.groups:
        for name in group.parameters:
            decays[name].append(group.decay)

    def kept(decision: Decision) -> str:
        return ", ".join(
            UNKNOWN if decay.kept is None else ("about " if decay.approximate else "") + format_kept(decay.kept)
            for decay in decays.get(decision.name, ())
        )

    def remembers(decision: Decision) -> str:
        steps = [decay.timescale_steps for decay in decays.get(decision.name, ()) if decay.timescale_steps]
        return ", ".join(f"{format_number(value)} steps" for value in steps)

    return {"kept": kept, "remembers": remembers}


def entries(report: Report, *, over_run: bool = False) -> list[ParameterEntry]:
    """Make an entry for each decision; its cells are the layer, then the columns.

    Decisions with equal results share their cells, unless there are optimizers: these treat each parameter by itself.
    """
    cells = tuple(columns(report, over_run=over_run).values())
    has_optimizers = bool(report.optimizers)
    shared: dict[object, tuple[str, tuple[str, ...]]] = {}
    parameter_entries = []
    for decision in report.plan.decisions:
        key = decision.name if has_optimizers else _results(decision)
        texts = shared.get(key)
        if texts is None:
            texts = shared[key] = role(decision), (decision.classified.layer, *(cell(decision) for cell in cells))
        parameter = decision.classified.parameter
        parameter_entries.append(
            ParameterEntry(name=parameter.name, shape=parameter.shape, role=texts[0], cells=texts[1])
        )
    return parameter_entries


_results = attrgetter(
    "weight_decay",
    "rule",
    "lr_scale",
    "use",
    "classified.role",
    "classified.confidence",
    "classified.layer",
    "classified.parameter.trainable",
    "classified.parameter.lazy",
    "classified.parameter.tied_to",
    "classified.parameter.declared_no_decay",
)
"""Returns all that the cells of a decision depend on, but for its optimizers."""


def shape_text(row: FoldedRow) -> str:
    """Write the shapes of a row: `512x{64,256}x1x1`, `3 shapes`; `lazy` for a parameter that has none yet."""
    return "lazy" if NOT_INITIALIZED in row.cells[-1] else format_shapes(row.shapes)


def format_shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    """Write shapes that have the same number of dimensions.

    Shapes that differ in one size become one text with all its values, or with the smallest and the largest. So do
    shapes in which several sizes differ but are equal to each other. All others are counted.

    >>> format_shapes([(512, 64, 1, 1), (512, 256, 1, 1)]), format_shapes([(64,), (128,), (256,), (512,)])
    ('512x{64,256}x1x1', '{64..512}')
    >>> format_shapes([(64, 64, 3, 3), (128, 128, 3, 3)]), format_shapes([(64, 3), (128, 64), (256, 128)])
    ('NxNx3x3, N {64,128}', '3 shapes')
    """
    varying = [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    if not varying:
        return format_shape(shapes[0])
    if any(len({shape[axis] for axis in varying}) > 1 for shape in shapes):
        return f"{len(shapes):,} shapes"
    sizes = sorted({shape[varying[0]] for shape in shapes})
    values = f"{{{','.join(map(str, sizes)) if len(sizes) <= _MAX_SIZES else f'{sizes[0]}..{sizes[-1]}'}}}"
    word = values if len(varying) == 1 else "N"
    text = format_shape(tuple(word if axis in varying else size for axis, size in enumerate(shapes[0])))
    return text if len(varying) == 1 else f"{text}, N {values}"


def legend(report: Report, rows: Sequence[FoldedRow]) -> Iterator[str]:
    """Explain the marks that occur in these rows, one line for each kind of mark."""
    roles = {role for row in rows for role in row.roles}
    marks = {LIKELY: "~ a likely role", GUESS: "? a guess"}
    if meanings := [meaning for mark, meaning in marks.items() if any(role.endswith(mark) for role in roles)]:
        yield f"{', '.join(meanings)}: {_more_about_roles(report)}"
    texts = {text for row in rows for text in row.cells[2:-2]}  # without layer, decay, rule and remarks
    if any(text.endswith(DIFFERS) for text in texts):
        yield "! differs from what the ruleset decides"
    if any(text.endswith(LENIENTLY_DIFFERS) for text in texts):
        yield "* differs where the ruleset is lenient: it accepts both"
    if any(MEASURED_SEPARATOR in text for text in texts):
        yield "A: B means weight_decay A in the group, and B in a measured step"


def _more_about_roles(report: Report) -> str:
    if any(parameter.owner.types for parameter in report.inventory.parameters):
        return "decay-audit explain TARGET NAME shows the evidence"
    return "a checkpoint has no classes; --model TARGET adds them"


def role(decision: Decision) -> str:
    """Write a role, marked where it is not certain."""
    return label(decision.classified.role) + _CONFIDENCE_MARKS[decision.classified.confidence]


def decay(decision: Decision) -> str:
    """Write the coefficient, or a dash where nothing decays."""
    return format_coefficient(decision.weight_decay) if decision.decays else SPARED


def remarks(decision: Decision) -> str:
    """Write whether a parameter is frozen, lazy, tied, or declared no_weight_decay by the model."""
    parameter = decision.classified.parameter
    texts = [
        "frozen" if parameter.trainable is False and decision.rule != FROZEN else "",
        NOT_INITIALIZED if parameter.lazy else "",
        f"tied to {first_few([*map(escape_control, parameter.tied_to)], 3)}" if parameter.tied_to else "",
        _declaration(parameter.declared_no_decay) if parameter.declared_no_decay is not None else "",
    ]
    return "; ".join(filter(None, texts))


def _declaration(declared: str) -> str:
    """Name the declaring method but not its submodule, so that submodules with the same method share a row."""
    module, _, method = declared.rpartition(".")
    return f"declared in a submodule's {escape_control(method)}" if module else f"declared in {escape_control(method)}"


def differing_names(report: Report) -> frozenset[str]:
    """Name the parameters that an optimizer treats in another way than the ruleset decides, where it is strict."""
    cells = tuple(_optimizer_columns(report).values())
    return frozenset(
        decision.name for decision in report.plan.decisions if any(cell(decision).endswith(DIFFERS) for cell in cells)
    )


def _optimizer_columns(report: Report) -> dict[str, Cell]:
    """Make one column for each class of live optimizers, and one for each class of saved optimizers.

    A run may have an optimizer for each parameter; all of one class share a column.
    """
    titles = {(optimizer.origin, optimizer.name): _title(optimizer) for optimizer in report.optimizers}
    by_title: dict[str, dict[str, list[Observation]]] = {title: defaultdict(list) for title in titles.values()}
    for observation in report.observations:
        by_title[titles[observation.origin, observation.optimizer]][observation.parameter].append(observation)
    # with several classes, most parameters are in one optimizer only: an empty cell is enough in the other columns
    absent = ABSENT if len(by_title) == len({origin for origin, _ in titles}) else ""
    partly_named = {_title(optimizer) for optimizer in report.optimizers if _is_partly_named(optimizer)}
    return {
        title: partial(_observed_cell, by_parameter, UNKNOWN if title in partly_named else absent)
        for title, by_parameter in by_title.items()
    }


def _is_partly_named(optimizer: Optimizer) -> bool:
    """Whether it is a saved optimizer in which the parameter at some position is not known."""
    return optimizer.origin == "checkpoint" and not all(name for group in optimizer.groups for name in group.parameters)


def _title(optimizer: Optimizer) -> str:
    return escape_control(f"saved {optimizer.type}" if optimizer.origin == "checkpoint" else optimizer.type)


def _observed_cell(by_parameter: Mapping[str, Sequence[Observation]], absent: str, decision: Decision) -> str:
    """Write what optimizers do to a parameter, marked where it differs from the decision."""
    observations = by_parameter.get(decision.name, ())
    if not observations:
        return absent
    text = ", ".join(map(_observation, observations))
    agrees = all(
        not has_known_decay(observation)
        or isclose(effective_weight_decay(observation), decision.weight_decay, rel_tol=TOLERANCE)
        for observation in observations
    )
    if agrees or not decision.grouped:
        return text
    return text + (LENIENTLY_DIFFERS if decision.lenient else DIFFERS)


def _observation(observation: Observation) -> str:
    """Write the group's coefficient, and what a measured step does if that differs from the coefficient."""
    coefficient = observation.weight_decay
    declared, measured = format_coefficient(coefficient) if coefficient else SPARED, movement(observation)
    rate = observation.measured_rate
    agrees = measured == declared or (rate is not None and isclose(rate, coefficient, rel_tol=1e-2))
    if not measured or (agrees and observation.movement != "vanishing"):
        return declared
    return f"{declared}{MEASURED_SEPARATOR}{measured}"


def movement(observation: Observation) -> str:
    """Write how a step with a gradient of zero moves a weight: as a fraction divided by lr, or the movement's name."""
    match observation.movement, observation.measured_rate:
        case (None, None):
            return ""
        case ("none", _) | (None | "proportional", 0.0):
            return SPARED
        case (None | "proportional", float() as measured):
            return f"{measured:.3g}"
        case (other, _):
            return str(other).replace("_", " ")
