"""One preset on one model: what the codebase does and what the preset decides, parameter by parameter."""

import warnings
from functools import cache
from math import isclose

from msgspec import Struct
from torch import nn

from decay_audit import roles, rulesets
from decay_audit.errors import PlanError
from decay_audit.roles.words import Classified
from decay_audit.rulesets.plan import decide
from decay_audit.rulesets.ruleset import RuleSet
from decay_audit.sources.module import read
from tests.parity.peers import Answer, Answers, Peer
from tests.parity.reimplementing import RefusesError

BASE = 0.0625
"""The base coefficient of every comparison: exact in binary, and no codebase's default."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of one comparison.

    Attributes:
        differences: a line for each parameter that differs.
        crash: the codebase itself failed, and this is why.
        refused: neither has an answer for some parameter: the codebase stops with an error, and so does the preset.
    """

    parameters: int = 0
    differences: tuple[str, ...] = ()
    crash: str = ""
    refused: str = ""


def classified(model: nn.Module) -> tuple[Classified, ...]:
    """Read and name the parameters of a model."""
    return roles.classify(read(model).parameters)


def compare(preset: str, peer: Peer, model: nn.Module, parameters: tuple[Classified, ...]) -> Outcome:
    """Ask the codebase and the preset about every parameter."""
    try:
        theirs = _asked(peer, model)
    except Exception as error:  # noqa: BLE001
        return Outcome(crash=f"{type(error).__name__}: {error}")
    ours = _decided(preset, peer, parameters)
    if isinstance(ours, str) and theirs is None:
        return Outcome(parameters=len(parameters), refused=ours)
    if isinstance(ours, str) or theirs is None:
        return Outcome(parameters=len(parameters), differences=(f"preset: {ours}", f"source: {theirs or 'refuses'}"))
    return Outcome(
        parameters=len(parameters),
        differences=tuple(
            f"{name}: preset {ours.get(name)}, source {theirs.get(name)}"
            for name in ours | theirs
            if not _same(ours.get(name), theirs.get(name))
        ),
    )


def _asked(peer: Peer, model: nn.Module) -> Answers | None:
    """What the codebase says; None where it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return peer.ask(model, BASE)
        except RefusesError:
            return None


def _decided(preset: str, peer: Peer, parameters: tuple[Classified, ...]) -> Answers | str:
    """What the preset says; the reason where it refuses."""
    try:
        plan = decide(parameters, ruleset(preset), weight_decay=BASE)
    except PlanError as error:
        return error.message
    return {
        decision.name: Answer(
            decision.weight_decay, decision.lr_scale if peer.lr else 1.0, decision.use if peer.use else None
        )
        for decision in plan.decisions
        if decision.grouped
    }


@cache
def ruleset(preset: str) -> RuleSet:
    """A preset, read once."""
    return rulesets.load(preset)


def _same(ours: Answer | None, theirs: Answer | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return (
        isclose(ours.weight_decay, theirs.weight_decay, rel_tol=1e-9)
        and isclose(ours.lr_scale, theirs.lr_scale, rel_tol=1e-9)
        and ours.use == theirs.use
    )
