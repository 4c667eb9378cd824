"""Parameters in, the same with role, layer and evidence out: all readers of evidence, weighed against each other.

Blocks of a model repeat, so the work is done once for each kind of owner and once for each kind of tensor in it.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles import by_header, by_name, by_owner, by_usage
from decay_audit.roles.conventions.convention import NO_DIGITS
from decay_audit.roles.tensor_context import tensor_context
from decay_audit.roles.words import CONFIDENCES, EVIDENCE_KINDS, Classified, Confidence, Evidence, Layer, Role

Tensors = tuple[tuple[str, tuple[int, ...]], ...]
Verdict = tuple[Role, Layer, Confidence, tuple[Evidence, ...]]

FINER: Mapping[Role, frozenset[Role]] = {
    "embedding": frozenset({"position_embedding", "relative_position_bias", "token", "adapter_weight"}),
    "position_embedding": frozenset({"token", "bias", "relative_position_bias"}),
    "linear_weight": frozenset({"adapter_weight"}),
    "conv_weight": frozenset({"adapter_weight"}),
    "norm_weight": frozenset({"adapter_weight"}),
    "token": frozenset({"position_embedding", "embedding", "adapter_weight", "bias"}),
    "scale": frozenset({"activation", "state_space", "norm_weight", "adapter_weight"}),
    "layer_scale": frozenset({"state_space", "activation", "adapter_weight"}),
    "bias": frozenset({"activation", "state_space", "token"}),
}
"""Kinds of one role, which a class or an operator cannot tell apart and a name can. A name is final."""


class _Seen(Struct, frozen=True):
    """What one call has met so far: numbers for owners that look alike to every reader of evidence."""

    owners: dict[Owner, int] = field(default_factory=dict)
    kinds: dict[object, int] = field(default_factory=dict)
    forms: dict[Tensors, int] = field(default_factory=dict)
    distinct_forms: dict[object, int] = field(default_factory=dict)


def classify(parameters: Iterable[Parameter]) -> tuple[Classified, ...]:
    """Name every parameter, in the order given.

    The role is that of the strongest evidence, or a finer kind of it that a class or a name tells; evidence that
    disagrees is kept. A parameter's answer depends on nothing but the parameter.
    """
    seen = _Seen()
    verdicts: dict[object, Verdict] = {}
    classified = []
    for parameter in parameters:
        owner, uses, shape = parameter.owner, parameter.uses, parameter.shape
        kind = seen.owners.get(owner)
        if kind is None:
            kind = _kind(owner, seen)
        leaf = parameter.name.rpartition(".")[2]
        # A tensor that stands among its owner's has its form counted there; one whose use was seen brings its sizes.
        odd = uses is not None or owner.tensors.get(leaf) != shape
        key = (kind, leaf, parameter.dtype, parameter.lazy, (shape, uses) if odd else None)
        verdict = verdicts.get(key)
        if verdict is None:
            verdict = verdicts[key] = _weigh(_gather(parameter))
        role, layer, confidence, evidence = verdict
        classified.append(
            Classified(parameter=parameter, role=role, layer=layer, confidence=confidence, evidence=evidence)
        )
    return tuple(classified)


def _kind(owner: Owner, seen: _Seen) -> int:
    """Number the owner, after the modules around it that have none yet; not by recursion, for names may be deep."""
    numbers = seen.owners
    module: Owner | None = owner
    fresh = []
    while module is not None and module not in numbers:
        fresh.append(module)
        module = module.parent
    for module in reversed(fresh):
        numbers[module] = _number(module, seen)
    return numbers[owner]


def _number(module: Owner, seen: _Seen) -> int:
    """Number one module. A name counts without the number it ends in, and only what the parent does not tell of it."""
    parent, groups = module.parent, module.settings.get("groups")
    if parent is None:
        above, name = -1, module.name.translate(NO_DIGITS)
    else:
        above, name = seen.owners[parent], module.name[len(parent.name) :].rstrip("0123456789")
    tensors = tuple(module.tensors.items())
    form = seen.forms.get(tensors)
    if form is None:
        form = seen.forms[tensors] = seen.distinct_forms.setdefault(_form(tensors), len(seen.distinct_forms))
    grouping = None if groups is None else (groups == module.settings.get("in_channels"), groups == 1)
    return seen.kinds.setdefault((above, name, module.types, form, grouping), len(seen.kinds))


def _form(tensors: Tensors) -> object:
    """Keep of shapes what readers of evidence look at: which sizes are 0, 1 or more, and which shapes are equal."""
    first: dict[tuple[int, ...], int] = {}
    return tuple(
        (name, tuple(min(size, 2) for size in shape), first.setdefault(shape, len(first))) for name, shape in tensors
    )


def _gather(parameter: Parameter) -> tuple[Evidence, ...]:
    """All evidence that says something of its own: a name that repeats what the class says is left out."""
    tensor = tensor_context(parameter)
    by_class = by_owner.evidence(tensor)
    said = {one.role for one in by_class}
    told = (*by_class, *(one for one in by_name.evidence(tensor) if one.role not in said))
    if not (tensor.types and told):
        told = (*told, *by_header.evidence(tensor))
    return (*by_usage.evidence(parameter), *told)


def _weigh(evidence: tuple[Evidence, ...]) -> Verdict:
    """Let the strongest evidence decide: by confidence, and of equal confidence by kind."""
    if not evidence:
        return "unclassified", "other", "guess", ()
    ordered = tuple(
        sorted(evidence, key=lambda one: (CONFIDENCES.index(one.confidence), EVIDENCE_KINDS.index(one.kind)))
    )
    strongest = ordered[0]
    finer = FINER.get(strongest.role, frozenset()) if strongest.kind in {"usage", "owner"} else frozenset()
    decisive = next((one for one in ordered if one.role in finer and one.kind != "usage"), strongest)
    return decisive.role, _layer(strongest, ordered), decisive.confidence, ordered


def _layer(strongest: Evidence, evidence: tuple[Evidence, ...]) -> Layer:
    """The layer is the kind of the owner, which its class and name know better than an operator does."""
    agreeing = (one.layer for one in evidence if one.role == strongest.role and one.kind != "usage")
    return next((layer for layer in agreeing if layer != "other"), strongest.layer)
