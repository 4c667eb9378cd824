"""Parameters in, the same with role, layer and evidence out: all readers of evidence, weighed against each other.

Blocks of a model repeat, so the work is done once for each kind of owner and once for each kind of tensor in it.
"""

from collections.abc import Iterable, Mapping

from decay_audit.parameters import Owner, Parameter
from decay_audit.roles import by_header, by_name, by_owner
from decay_audit.roles.subject import subject as look_at
from decay_audit.roles.words import Classified, Confidence, Evidence, Layer, Role

Verdict = tuple[Role, Layer, Confidence, tuple[Evidence, ...]]

FINER: Mapping[Role, frozenset[Role]] = {
    "embedding": frozenset({"position_embedding", "relative_position_bias", "token", "adapter_weight"}),
    "linear_weight": frozenset({"adapter_weight"}),
    "conv_weight": frozenset({"adapter_weight"}),
}
"""Kinds of one role, which a class or an operator cannot tell apart and a name can."""

_NO_DIGITS = str.maketrans("", "", "0123456789")


def classify(parameters: Iterable[Parameter]) -> tuple[Classified, ...]:
    """Name every parameter, in the order given.

    Role, layer and confidence are those of the strongest evidence, or of weaker evidence for a finer kind of the same
    role; evidence that disagrees is kept. A parameter's answer depends on nothing but the parameter.
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
    """Number the owner among those that look alike to every reader of evidence: names without their digits."""
    above = -1
    if owner.parent is not None:
        found = kinds.get(owner.parent)
        above = _kind(owner.parent, kinds, known) if found is None else found
    settings = owner.settings
    key = (
        above,
        owner.name.translate(_NO_DIGITS),
        owner.types,
        tuple(owner.tensors.items()),
        settings.get("groups"),
        settings.get("in_channels"),
    )
    kinds[owner] = kind = known.setdefault(key, len(known))
    return kind


def _gather(parameter: Parameter) -> tuple[Evidence, ...]:
    """All evidence, strongest first."""
    subject = look_at(parameter)
    told = (*by_owner.evidence(subject), *by_name.evidence(subject))
    if subject.types and told:
        return told
    return (*told, *by_header.evidence(subject))


def _weigh(evidence: tuple[Evidence, ...]) -> Verdict:
    if not evidence:
        return "unclassified", "other", "guess", ()
    strongest = evidence[0]
    finer = next((one for one in evidence[1:] if one.role in FINER.get(strongest.role, ())), None)
    if finer is None:
        return strongest.role, strongest.layer, strongest.confidence, evidence
    return finer.role, strongest.layer, finer.confidence, evidence
