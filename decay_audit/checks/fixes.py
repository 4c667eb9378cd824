"""What a fix says: the command, or the Python, that makes groups as a plan wants them. Optimizers come in as data."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from decay_audit.checks.phrases import number
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.rulesets.plan import Plan
from decay_audit.text import join_words

_USUAL: Mapping[str, object] = {"momentum": 0.0, "nesterov": False, "betas": (0.9, 0.999)}
_OF_A_CLASS: Mapping[str, Mapping[str, object]] = {
    "Lion": {"betas": (0.9, 0.99)},
    "Muon": {"momentum": 0.95, "nesterov": True},
}
"""The settings that make another algorithm of a class, as they are when nobody sets them."""


def groups(plan: Plan, optimizers: Sequence[Optimizer], target: str) -> str:
    """Say how to make groups as the ruleset wants them: a command for a target, Python where there is only a model."""
    ruleset = plan.ruleset
    rules = ruleset.name if ruleset.preset else ruleset.file or ruleset.name
    if not target:
        return f"decay_audit.param_groups(model, rules={rules!r}, weight_decay={ruleset.weight_decay:.12g})"
    words = (target, "--rules", rules, "--weight-decay", f"{ruleset.weight_decay:.12g}", *_optimizer(optimizers))
    return f"decay-audit emit {shlex.join(words)}"


def another(plan: Plan, optimizers: Sequence[Optimizer], target: str) -> str:
    """Say what to do where a class has no weight decay at all: it takes another class."""
    types = join_words(list(dict.fromkeys(one.type for one in optimizers)))
    ending = " --optimizer AdamW" if target else ""
    return f"{types} has no weight decay: use an optimizer that has, as in {groups(plan, (), target)}{ending}"


def migration(target: str) -> str:
    """Say the command that moves a saved state to new groups by name; capitals stand for what the user knows."""
    model = shlex.quote(target) if target else "TARGET"
    return f"decay-audit migrate CHECKPOINT --to EXPRESSION --model {model} --output NEW"


def peak(group: ParamGroup) -> float | None:
    """The learning rate that a group has been given, whatever a schedule has made of it so far; None without one."""
    first = group.hyperparameters.get("initial_lr")
    known = [rate for rate in (group.lr, first) if isinstance(rate, int | float)]
    return max(known, default=None)


def _optimizer(optimizers: Sequence[Optimizer]) -> Iterator[str]:
    """The class and its settings, those of the first group; nothing where classes differ, which no one class is for."""
    if len({one.type for one in optimizers}) != 1:
        return
    seen = optimizers[0]
    told = seen.type.rpartition("(")[2].rstrip(")").partition(" ")[0] if seen.origin == "checkpoint" else ""
    kind = seen.import_path or told
    if not kind:
        return
    yield from ("--optimizer", kind)
    first = seen.groups[0]
    if lr := peak(first):
        yield from ("--lr", number(lr))
    usual = {**_USUAL, **_OF_A_CLASS.get(kind.rpartition(".")[2], {})}
    for name, value in first.hyperparameters.items():
        if name in usual and value != usual[name] and _is_plain(value):
            yield from ("--set", f"{name}={value}")


def _is_plain(value: object) -> bool:
    match value:
        case bool() | int():
            return True
        case float():
            return isfinite(value)
        case tuple():
            return all(map(_is_plain, value))
        case _:
            return False
