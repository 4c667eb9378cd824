"""Judge the parameters of an observed module: three answers for each, and the roles that its dataflow allows."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.field.dataflow import ROLES_OF_ACTION
from benchmarks.field.observe import ObservedModule
from decay_audit import classify
from decay_audit.roles.words import Classified, Confidence, Role

DECAYED: frozenset[Role] = frozenset(
    {"conv_weight", "linear_weight", "recurrent_weight", "embedding", "adapter_weight", "unclassified"}
)
"""The roles that the default ruleset decays."""


class Answer(Struct, frozen=True):
    """A role, its confidence, and the strongest evidence."""

    role: Role
    confidence: Confidence
    evidence: str


class Verdict(Struct, frozen=True, kw_only=True):
    """The answers for one parameter, and what is right.

    Attributes:
        actions: the actions of the parameter in a real forward pass.
        accepted: the roles that its dataflow allows; () if the dataflow does not tell.
        by_class: its class is derived from a class of torch.nn, which tells the role.
        structure: the answer from classes, names and shapes.
        default: the answer with the automatic trace.
        traced: the answer with a trace on a real input.
    """

    owner: str
    name: str
    shape: tuple[int, ...]
    actions: tuple[str, ...]
    accepted: tuple[Role, ...]
    by_class: bool
    structure: Answer
    default: Answer
    traced: Answer

    @property
    def decays(self) -> bool | None:
        """Whether the accepted roles decay; None if some do and some do not."""
        decisions = {role in DECAYED for role in self.accepted}
        return decisions.pop() if len(decisions) == 1 else None

    def is_right(self, answer: Answer) -> bool:
        """Whether an answer is among the accepted roles."""
        return answer.role in self.accepted

    def is_wrong(self, answer: Answer) -> bool:
        """Whether an answer names a role that is not accepted."""
        return answer.role != "unclassified" and not self.is_right(answer)

    def decides_wrongly(self, answer: Answer) -> bool:
        """Whether the default ruleset decides the answer differently from the accepted roles."""
        return self.decays is not None and (answer.role in DECAYED) != self.decays


def verdicts(observed: ObservedModule) -> tuple[Verdict, ...]:
    """Judge the parameters of a module whose classes are outside torch.nn."""
    traced = observed.reading.restored()
    structure = classify(replace(parameter, uses=None) for parameter in traced)
    default = classify(replace(item, uses=observed.default_uses.get(item.raw_name)) for item in traced)
    return tuple(
        _verdict(answers, observed.actions.get(answers[0].parameter.raw_name, ()))
        for answers in zip(structure, default, classify(traced), strict=True)
        if not answers[0].parameter.owner.types[0].startswith("torch.nn.")
    )


def _verdict(answers: Sequence[Classified], actions: tuple[str, ...]) -> Verdict:
    parameter = answers[0].parameter
    judged = bool(actions) and all(action in ROLES_OF_ACTION for action in actions)
    accepted: set[Any] = set().union(*(ROLES_OF_ACTION[action] for action in actions)) if judged else set()
    structure, default, traced = map(_answer, answers)
    return Verdict(
        owner=parameter.owner.types[0],
        name=parameter.leaf,
        shape=parameter.shape,
        actions=actions,
        accepted=tuple(sorted(accepted)),
        by_class=any(evidence.kind == "owner" for evidence in answers[0].evidence),
        structure=structure,
        default=default,
        traced=traced,
    )


def _answer(classified: Classified) -> Answer:
    first = classified.evidence[0] if classified.evidence else None
    return Answer(classified.role, classified.confidence, f"{first.kind}: {first.detail}" if first else "nothing")
