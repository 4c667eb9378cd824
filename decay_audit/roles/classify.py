"""Parameters in, the same with role, layer and evidence out: all readers of evidence, weighed against each other.

Blocks of a model repeat, so the work is done once for each kind of owner and once for each kind of tensor in it.
"""

from collections.abc import Callable, Iterable, Mapping

from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles import by_header, by_name, by_owner, by_usage
from decay_audit.roles.conventions.convention import NO_DIGITS
from decay_audit.roles.tensor_context import tensor_context
from decay_audit.roles.words import CONFIDENCES, EVIDENCE_KINDS, Classified, Confidence, Evidence, Layer, Role

Tensors = tuple[tuple[str, tuple[int, ...]], ...]
_DIGITS = "0123456789"
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


def classify(parameters: Iterable[Parameter]) -> tuple[Classified, ...]:
    """Name every parameter, in the order given.

    The role is that of the strongest evidence, or a finer kind of it that a class or a name tells; evidence that
    disagrees is kept. A parameter's answer depends on nothing but the parameter.
    """
    kind_of = _numbering()
    verdicts: dict[object, Verdict] = {}
    classified = []
    for parameter in parameters:
        owner, uses, shape = parameter.owner, parameter.uses, parameter.shape
        leaf = parameter.name.rpartition(".")[2]
        # A tensor that stands among its owner's has its form counted there; one whose use was seen brings its sizes.
        odd = None if uses is None and owner.tensors.get(leaf) == shape else (shape, uses)
        key = (kind_of(owner), leaf, parameter.dtype, parameter.lazy, odd)
        verdict = verdicts.get(key)
        if verdict is None:
            verdict = verdicts[key] = _weigh(_gather(parameter))
        role, layer, confidence, evidence = verdict
        classified.append(
            Classified(parameter=parameter, role=role, layer=layer, confidence=confidence, evidence=evidence)
        )
    return tuple(classified)


def _numbering() -> Callable[[Owner], int]:
    """Make the function that gives owners the same number if they look alike to every reader of evidence.

    It does not recurse: names may be deeper than Python's stack.
    """
    numbers: dict[Owner, int] = {}
    kinds: dict[object, int] = {}
    forms: dict[Tensors, int] = {}
    distinct_forms: dict[object, int] = {}

    def number_of(owner: Owner) -> int:
        number = numbers.get(owner)
        if number is not None:
            return number
        fresh = [owner]
        while (parent := fresh[-1].parent) is not None and parent not in numbers:
            fresh.append(parent)
        number = -1 if parent is None else numbers[parent]
        for module in reversed(fresh):
            tensors = tuple(module.tensors.items())
            form = forms.get(tensors)
            if form is None:
                form = forms[tensors] = distinct_forms.setdefault(_form(tensors), len(distinct_forms))
            # A name counts without the number that it ends in, and only what the parent does not tell of it.
            above = module.parent
            name = module.name.translate(NO_DIGITS) if above is None else module.name[len(above.name) :].rstrip(_DIGITS)
            grouping = _grouping(module) if module.settings else None
            number = kinds.setdefault((number, name, module.types, form, grouping), len(kinds))
            numbers[module] = number
        return number

    return number_of


def _grouping(module: Owner) -> object:
    groups = module.settings.get("groups")
    return None if groups is None else (groups == module.settings.get("in_channels"), groups == 1)


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
