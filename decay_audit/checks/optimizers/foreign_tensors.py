"""Tensors in optimizers that are not parameters of the model, with a message for each kind: DA203."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import group_names
from decay_audit.checks.observed_plan import ObservedPlan
from decay_audit.model.choices import Severity
from decay_audit.model.observations import ForeignKind, ForeignSource, ParamGroup
from decay_audit.text import count_noun, first_few

_MAX_NAMES = 3
"""How many names one finding lists."""


class _Cause(Struct, frozen=True):
    """The text of the finding on one kind of foreign tensor.

    Attributes:
        description: what the tensor is; `{names}` stands for the names of the tensors.
        fix: what to do; `{options}` stands for the `--with` options that name their modules.
    """

    description: str
    fix: str
    severity: Severity


REBUILD_FIX = "create the optimizer from the model that is trained, after its layers are final"
_CAUSES: Mapping[ForeignKind, _Cause] = {
    "replaced": _Cause("that the model held as {names} until it was replaced", REBUILD_FIX, "error"),
    "same shapes": _Cause(
        "that is not a parameter of the model; it has the shape of {names}, which is in no optimizer, so it may come "
        "from a layer that was replaced, or from another copy of the model",
        REBUILD_FIX,
        "error",
    ),
    "float32 copy": _Cause(
        "that seems to be a float32 copy of {names}: its decay was not compared",
        "audit the optimizer before mixed precision copies the parameters",
        "warning",
    ),
    "another module": _Cause(
        "of another module, which was not audited: {names}",
        "audit both: add {options}; in Python, pass one module that holds both: "
        "nn.ModuleDict({{'model': model, 'loss': loss}})",
        "warning",
    ),
    "packed": _Cause("that packs parameters of the model", REBUILD_FIX, "warning"),
    "unknown": _Cause("that is not a parameter of the model", REBUILD_FIX, "error"),
}
_EXTRA_TENSOR = _Cause(
    "that is not a parameter of the model or of a module: its decay was not compared",
    "leave it out, unless it is trained on purpose, such as a learnable weight of a loss",
    "warning",
)
"""The text for a tensor of unknown origin, if the optimizers also hold all trainable parameters of the model."""
_UNUSED_TENSOR = _Cause(
    "that the model held as {names} until it was replaced; the optimizer also has all parameters that the model uses "
    "now",
    "create the optimizer after the model is final, so that it does not keep tensors that nothing uses",
    "warning",
)
"""The text for a replaced tensor, if the optimizers also hold all trainable parameters of the model, as after tying."""
_IF_ALL_ARE_TRAINED: Mapping[ForeignKind, _Cause] = {"unknown": _EXTRA_TENSOR, "replaced": _UNUSED_TENSOR}
"""The text for these kinds, if the optimizers also hold all trainable parameters of the model."""


def check_foreign_tensors(observed: ObservedPlan) -> Iterator[Finding]:
    """Find the tensors of optimizers that the model does not have, with one finding for each optimizer and kind."""
    trains_all = all(
        decision.name in observed.observations
        for decision in observed.plan.decisions
        if decision.classified.parameter.trainable is not False
    )
    for optimizer in observed.optimizers.values():
        kinds: dict[ForeignKind, list[tuple[str, ForeignSource]]] = {}
        groups: dict[ForeignKind, list[int]] = {}
        for index, group in enumerate(optimizer.groups):
            for kind, tensors in _by_kind(group).items():
                kinds.setdefault(kind, []).extend(tensors)
                groups.setdefault(kind, []).append(index)
        kinds.pop("packed", None)  # DA505 reports them
        for kind, tensors in kinds.items():
            where = group_names(groups[kind], len(optimizer.groups), observed.optimizer_name(optimizer))
            cause = _IF_ALL_ARE_TRAINED.get(kind, _CAUSES[kind]) if trains_all else _CAUSES[kind]
            yield _finding(cause, tensors, where, of_several_groups=len(groups[kind]) > 1)


def replaced_parameters(observed: ObservedPlan) -> frozenset[str]:
    """Name the parameters in whose place an optimizer has another tensor: an earlier one, or one of another copy."""
    groups = (group for optimizer in observed.optimizers.values() for group in optimizer.groups)
    sources = (source for group in groups for source in group.foreign_sources)
    return frozenset(source.name for source in sources if source.kind in ("replaced", "same shapes"))


def copied_parameters(observed: ObservedPlan) -> frozenset[str]:
    """Name the parameters that an optimizer updates through float32 copies, or packed into flat tensors."""
    groups = (group for optimizer in observed.optimizers.values() for group in optimizer.groups)
    sources = [source for group in groups for source in group.foreign_sources]
    copied = (source.name for source in sources if source.kind == "float32 copy")
    return frozenset([*copied, *(name for source in sources for name in source.packed)])


def _by_kind(group: ParamGroup) -> dict[ForeignKind, list[tuple[str, ForeignSource]]]:
    """Group the tensors by kind. A tensor is a pair of its description (dtype and shape) and its source."""
    sources = group.foreign_sources or (ForeignSource(kind="unknown"),) * len(group.foreign_tensors)
    kinds: dict[ForeignKind, list[tuple[str, ForeignSource]]] = {}
    for description, source in zip(group.foreign_tensors, sources, strict=True):
        kinds.setdefault(source.kind, []).append((description, source))
    return kinds


def _finding(
    cause: _Cause, tensors: list[tuple[str, ForeignSource]], where: str, *, of_several_groups: bool
) -> Finding:
    names = first_few([source.name for _, source in tensors], _MAX_NAMES)
    options = " ".join(f"--with {module}" for module in dict.fromkeys(source.module for _, source in tensors))
    text, fix = (cause.description, cause.fix) if len(tensors) == 1 else map(_plural, (cause.description, cause.fix))
    holds = "hold" if of_several_groups else "holds"
    return finding(
        "DA203",
        f"{where} {holds} {count_noun(len(tensors), 'tensor')} {text.format(names=names)}",
        expected="parameters of the model",
        found=first_few([description for description, _ in tensors], _MAX_NAMES),
        where=where,
        fix=fix.format(options=options),
        severity=cause.severity,
    )


def _plural(sentence: str) -> str:
    """Put a sentence about one tensor into the plural."""
    words = (
        ("that is not a parameter of the model or of a module", "that are not parameters of the model or of a module"),
        ("that is not a parameter", "that are not parameters"),
        ("it has the shape of {names}, which is", "they have the shapes of {names}, which are"),
        ("so it may", "so they may"),
        ("seems to be a float32 copy", "seem to be float32 copies"),
        ("its decay", "their decay"),
        ("until it was", "until they were"),
        ("leave it out, unless it is trained on purpose", "leave them out, unless they are trained on purpose"),
    )
    for singular, plural in words:
        sentence = sentence.replace(singular, plural)
    return sentence
