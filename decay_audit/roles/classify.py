"""Parameters in, the same with role, layer and evidence out: all readers of evidence, weighed against each other.

Blocks of a model repeat, so the work is done once for each kind of owner and once for each kind of tensor in it.
"""

from collections.abc import Iterable, Mapping

from decay_audit.parameters import Owner, Parameter
from decay_audit.roles import by_header, by_name, by_owner, by_usage
from decay_audit.roles.conventions import NO_DIGITS
from decay_audit.roles.subject import subject as look_at
from decay_audit.roles.words import CONFIDENCES, EVIDENCE_KINDS, Classified, Confidence, Evidence, Layer, Role

Verdict = tuple[Role, Layer, Confidence, tuple[Evidence, ...]]

FINER: Mapping[Role, frozenset[Role]] = {
    "embedding": frozenset({"position_embedding", "relative_position_bias", "token", "adapter_weight"}),
    "linear_weight": frozenset({"adapter_weight"}),
    "conv_weight": frozenset({"adapter_weight"}),
    "scale": frozenset({"activation", "state_space"}),
    "layer_scale": frozenset({"state_space"}),
    "bias": frozenset({"activation", "state_space"}),
}
"""Kinds of one role, which a class or an operator cannot tell apart and a name can."""


def classify(parameters: Iterable[Parameter]) -> tuple[Classified, ...]:
    """Name every parameter, in the order given.

    The role is that of the strongest evidence, or of weaker evidence for a finer kind of it; evidence that disagrees is
    kept. A parameter's answer depends on nothing but the parameter.
    """
    kinds: dict[Owner, int] = {}
    known_kinds: dict[object, int] = {}
    verdicts: dict[object, Verdict] = {}
    named = []
    for parameter in parameters:
        owner = parameter.owner
        kind = kinds.get(owner)
        if kind is None:
            kind = _kind(owner, kinds, known_kinds)
        shape, dtype, uses = parameter.shape, parameter.dtype, parameter.uses
        key = (kind, parameter.name.rpartition(".")[2], shape, dtype, uses, parameter.lazy)
        verdict = verdicts.get(key)
        if verdict is None:
            verdict = verdicts[key] = _weigh(_gather(parameter))
        role, layer, confidence, evidence = verdict
        named.append(Classified(parameter=parameter, role=role, layer=layer, confidence=confidence, evidence=evidence))
    return tuple(named)


def _kind(owner: Owner, kinds: dict[Owner, int], known: dict[object, int]) -> int:
    """Number the owner among those that look alike to every reader of evidence.

    A name counts without the number it ends in, and only the part that the modules above do not tell.
    """
    parent, settings = owner.parent, owner.settings
    if parent is None:
        above, name = -1, owner.name.translate(NO_DIGITS)
    else:
        found = kinds.get(parent)
        above = _kind(parent, kinds, known) if found is None else found
        name = owner.name[len(parent.name) :].rstrip("0123456789")
    tensors = tuple(owner.tensors.items())
    key = (above, name, owner.types, tensors, settings.get("groups"), settings.get("in_channels"))
    kinds[owner] = kind = known.setdefault(key, len(known))
    return kind


def _gather(parameter: Parameter) -> tuple[Evidence, ...]:
    """All evidence that says something of its own: a name that repeats what the class says is left out."""
    subject = look_at(parameter)
    by_class = by_owner.evidence(subject)
    said = {one.role for one in by_class}
    told = (*by_class, *(one for one in by_name.evidence(subject) if one.role not in said))
    if not (subject.types and told):
        told = (*told, *by_header.evidence(subject))
    return (*by_usage.evidence(parameter), *told)


def _weigh(evidence: tuple[Evidence, ...]) -> Verdict:
    """Let the strongest evidence decide: by confidence, and of equal confidence by kind."""
    if not evidence:
        return "unclassified", "other", "guess", ()
    ordered = tuple(
        sorted(evidence, key=lambda one: (CONFIDENCES.index(one.confidence), EVIDENCE_KINDS.index(one.kind)))
    )
    strongest = ordered[0]
    decisive = next((one for one in ordered if one.role in FINER.get(strongest.role, ())), strongest)
    return decisive.role, _layer(strongest, ordered), decisive.confidence, ordered


def _layer(strongest: Evidence, evidence: tuple[Evidence, ...]) -> Layer:
    """The layer is the kind of the owner, which its class and name know better than an operator does."""
    agreeing = (one.layer for one in evidence if one.role == strongest.role and one.kind != "usage")
    return next((layer for layer in agreeing if layer != "other"), strongest.layer)
