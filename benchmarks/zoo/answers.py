"""The reading of an architecture becomes three roles for each parameter: by structure, by use, by the state dict alone.

Structure means classes, names and shapes; use means the operators of a traced forward pass.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.zoo.readings import Reading
from decay_audit import RuleSet, classify, plan
from decay_audit.errors import DecayAuditError
from decay_audit.model.parameters import Owner, Parameter
from decay_audit.roles import by_usage
from decay_audit.roles.classification import FINER
from decay_audit.roles.words import Classified, Confidence, Evidence, Role
from tests.roles.naming import FAMILY


class Case(Struct, frozen=True, kw_only=True):
    """Parameters whose names are equal without numbers, and that got the same two different answers."""

    name: str
    shape: tuple[int, ...]
    owner: str
    structure: str
    other: str
    detail: str
    count: int = 1


class Answers(Struct, frozen=True, kw_only=True):
    """The answers for one architecture.

    Attributes:
        failure: why it could not be built; all other values are then empty.
        traced: whether the forward pass was traced to its end.
        stopped: why the pass was not traced to its end.
        used: the number of parameters that the pass used.
        answered: the number of used parameters whose use gives a role that is more certain than a guess.
        unclassified_by_structure: the number of the answered parameters that structure leaves unclassified.
        disagreements: differences between structure and use.
        structure: for each confidence of structure, how many parameters were answered, and how many differ from use.
        header: for each confidence of the state dict, how many parameters there are, and how many of them structure
            puts in another family.
        header_cases: differences between structure and the state dict.
        roles: for each role, the number of tensors and of elements.
        decayed: for each ruleset and role, the number of tensors that decay; empty if the ruleset refuses the model.
    """

    name: str
    failure: str | None = None
    traced: bool = False
    stopped: str = ""
    parameters: int = 0
    used: int = 0
    answered: int = 0
    unclassified_by_structure: int = 0
    disagreements: tuple[Case, ...] = ()
    structure: dict[str, tuple[int, int]] = {}
    header: dict[str, tuple[int, int]] = {}
    header_cases: tuple[Case, ...] = ()
    unclassified: tuple[Case, ...] = ()
    roles: dict[str, tuple[int, int]] = {}
    decayed: dict[str, dict[str, int]] = {}


def answer(reading: Reading, rulesets: Sequence[RuleSet]) -> Answers:
    """Compare the three answers."""
    if reading.failure is not None:
        return Answers(name=reading.name, failure=reading.failure)
    used = reading.restored()
    structure = classify(replace(parameter, uses=None) for parameter in used)
    final = classify(used)
    by_use = [next(iter(by_usage.evidence(parameter)), None) for parameter in used]
    header = classify(_state_dict(reading.tensors, used))
    answered = [
        (structural, use)
        for structural, use in zip(structure, by_use, strict=True)
        if use and use.confidence != "guess"
    ]
    return Answers(
        name=reading.name,
        traced=reading.traced,
        stopped="" if reading.traced or not reading.notes else reading.notes[-1],
        parameters=len(structure),
        used=sum(bool(parameter.uses) for parameter in used),
        answered=len(answered),
        unclassified_by_structure=sum(structural.role == "unclassified" for structural, _ in answered),
        disagreements=_folded(
            _case(structural, use.role, use.detail) for structural, use in answered if not agrees(structural, use)
        ),
        structure=_by_confidence((structural.confidence, not agrees(structural, use)) for structural, use in answered),
        header=_by_confidence(
            (other.confidence, FAMILY[structural.role] != FAMILY[other.role])
            for structural, other in zip(structure, header, strict=True)
        ),
        header_cases=_folded(
            _case(structural, other.role, f"{other.confidence}: {_why(other)}")
            for structural, other in zip(structure, header, strict=True)
            if FAMILY[structural.role] != FAMILY[other.role]
        ),
        unclassified=_folded(
            _case(structural, "", _why(structural)) for structural in final if structural.role == "unclassified"
        ),
        roles=_sizes(final),
        decayed={ruleset.name: _decayed(final, ruleset) for ruleset in rulesets},
    )


FINER_BY_USE: dict[Role, frozenset[Role]] = {
    "scale": frozenset({"layer_scale"}),
    "bias": frozenset({"norm_bias"}),
    "embedding": frozenset({"position_embedding", "relative_position_bias", "token"}),
}
"""The roles that use may find for a parameter of which its name or class shows only the kind."""


def agrees(structure: Classified, use: Evidence) -> bool:
    """Whether both give the same role, one gives none, or one gives a finer role of the same kind."""
    role = structure.role
    if role in {use.role, "unclassified"} or role in FINER.get(use.role, ()):
        return True
    certain = structure.confidence == "certain" and role != "embedding"
    return not certain and use.role in FINER_BY_USE.get(role, ())


def _case(classified: Classified, other: str, detail: str) -> Case:
    parameter = classified.parameter
    return Case(
        name=re.sub(r"\d+", "#", parameter.name),
        shape=parameter.shape,
        owner=parameter.owner.type_name,
        structure=f"{classified.role} ({classified.confidence})",
        other=other,
        detail=detail,
    )


def _why(classified: Classified) -> str:
    return classified.evidence[0].detail if classified.evidence else "nothing"


def _folded(cases: Iterable[Case]) -> tuple[Case, ...]:
    all_cases = list(cases)
    counts = Counter(replace(case, shape=()) for case in all_cases)
    shapes = {replace(case, shape=()): case.shape for case in reversed(all_cases)}
    return tuple(replace(case, shape=shapes[case], count=count) for case, count in counts.items())


def _by_confidence(answers: Iterable[tuple[Confidence, bool]]) -> dict[str, tuple[int, int]]:
    """Count the answers of each confidence, and the wrong answers among them."""
    wrong_by_confidence: dict[Confidence, list[bool]] = {}
    for confidence, wrong in answers:
        wrong_by_confidence.setdefault(confidence, []).append(wrong)
    return {confidence: (len(wrong), sum(wrong)) for confidence, wrong in wrong_by_confidence.items()}


def _sizes(classified: Sequence[Classified]) -> dict[str, tuple[int, int]]:
    tensors = Counter(item.role for item in classified)
    elements: Counter[str] = Counter()
    for item in classified:
        elements[item.role] += item.parameter.numel
    return {role: (count, elements[role]) for role, count in tensors.items()}


def _decayed(classified: tuple[Classified, ...], ruleset: RuleSet) -> dict[str, int]:
    try:
        decisions = plan(classified, ruleset, 1.0).decisions
    except DecayAuditError:
        return {}
    return dict(Counter(decision.classified.role for decision in decisions if decision.weight_decay))


def _state_dict(shapes: Mapping[str, tuple[int, ...]], parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """Make the parameters as a saved state dict shows them: names, shapes, and the other tensors of the module."""
    owners: dict[str, Owner] = {}
    tensors: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        owner, _, leaf = name.rpartition(".")
        tensors.setdefault(owner, {})[leaf] = shape
    for parameter in parameters:
        name = parameter.raw_name.rpartition(".")[0]
        yield Parameter(
            name=parameter.raw_name,
            raw_name=parameter.raw_name,
            shape=parameter.shape,
            dtype=parameter.dtype,
            owner=_owner_without_class(name, owners, tensors),
            trainable=None,
        )


def _owner_without_class(name: str, owners: dict[str, Owner], tensors: dict[str, dict[str, tuple[int, ...]]]) -> Owner:
    if name not in owners:
        parent = _owner_without_class(name.rpartition(".")[0], owners, tensors) if name else None
        owners[name] = Owner(name=name, parent=parent, tensors=tensors.get(name, {}))
    return owners[name]
