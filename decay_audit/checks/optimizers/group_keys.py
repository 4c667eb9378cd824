"""Keys of param groups that the optimizer's class does not read, or that it reads and a group lacks: DA208."""

import re
from collections.abc import Iterator, Sequence
from math import isclose

from decay_audit.checks.codes import Finding, finding
from decay_audit.checks.finding_text import group_names, peak_lr
from decay_audit.checks.observed_plan import ObservedPlan
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.text import first_few, join_words

_SETTING_NAME = re.compile(r"wd|decay|l2_?reg|learning_?rate|(^|_)(lr|l2)(_|$)", re.IGNORECASE)
"""Names that look like a weight decay or a learning rate."""
_FACTOR_NAME = re.compile(r"scale|mult|factor|ratio")
"""Names of factors. No class of torch reads one; a scheduler may."""
_SCHEDULER_KEYS = frozenset({"initial_lr", "swa_lr", "max_lr", "min_lr", "base_lr", "warmup_lr", "last_lr"})
"""Keys under which the schedulers of torch keep a learning rate in a group."""


def check_group_keys(observed: ObservedPlan) -> Iterator[Finding]:
    """Find groups of live optimizers that lack a key, or have a key that changes nothing."""
    for optimizer in observed.optimizers.values() if observed.origin == "live" else ():
        missing: dict[tuple[str, ...], list[int]] = {}
        unread: dict[str, list[int]] = {}
        for index, group in enumerate(optimizer.groups):
            if group.missing_keys and not _has_stepped(observed, optimizer):
                missing.setdefault(group.missing_keys, []).append(index)
            for key in _unread_keys(optimizer, group):
                if not _coefficients_contain_factor(optimizer, key):
                    unread.setdefault(key, []).append(index)
        yield from (_missing_keys_finding(observed, optimizer, keys, indices) for keys, indices in missing.items())
        yield from (_unread_key_finding(observed, optimizer, key, indices) for key, indices in unread.items())


def _has_stepped(observed: ObservedPlan, optimizer: Optimizer) -> bool:
    """Whether a step was measured: then the class does not need the keys that its groups lack."""
    return not optimizer.failed_measurement and any(
        observation.movement not in (None, "unknown")
        for _, observation in observed.pairs()
        if observation.optimizer == optimizer.name
    )


def _missing_keys_finding(
    observed: ObservedPlan, optimizer: Optimizer, keys: Sequence[str], indices: Sequence[int]
) -> Finding:
    groups, verb = _groups(observed, optimizer, indices), "lacks" if len(indices) == 1 else "lack"
    raises = "." not in optimizer.import_path  # a class of torch.optim: its step reads every key and has no defaults
    them = "it" if len(keys) == 1 else "them"
    ending = "the next step raises KeyError" if raises else f"a step that looks {them} up raises KeyError"
    return finding(
        "DA208",
        f"{groups} {verb} {first_few(keys, 3)}, which the class reads: {ending}",
        _names(optimizer, indices),
        expected=f"the keys {', '.join(keys)}",
        found="no such key",
        where=groups,
        fix="add the group through add_param_group of the optimizer whose step reads it, or give it these keys",
        severity="error" if raises else None,
    )


def _unread_keys(optimizer: Optimizer, group: ParamGroup) -> Iterator[str]:
    """Find keys that look like a setting and that the class does not read. Unknown classes are skipped."""
    if not (optimizer.group_keys and optimizer.class_is_known):
        return
    for key, value in group.hyperparameters.items():
        neutral = value is None or (value == 1 and _FACTOR_NAME.search(key)) or (value == 0 and key == "weight_decay")
        if key not in optimizer.group_keys and key not in _SCHEDULER_KEYS and _SETTING_NAME.search(key) and not neutral:
            yield key


def _unread_key_finding(observed: ObservedPlan, optimizer: Optimizer, key: str, indices: Sequence[int]) -> Finding:
    groups, verb = _groups(observed, optimizer, indices), "has" if len(indices) == 1 else "have"
    values = list(dict.fromkeys(repr(optimizer.groups[index].hyperparameters[key]) for index in indices))
    likely_key = "lr" if _is_of_lr(key) else "weight_decay"
    is_factor = _FACTOR_NAME.search(key) is not None
    if likely_key == "lr" and is_factor and _contain_factor(optimizer, key):
        ending = "the learning rates contain it already, and a scheduler that applies it as well would scale them twice"
        fix = "leave the key out, or check that no scheduler applies it"
    elif is_factor:
        ending, fix = "it changes nothing unless a scheduler of yours applies it", "check that the scheduler applies it"
    else:
        ending, fix = (
            "it changes nothing",
            f"call the key {likely_key}" if likely_key in optimizer.group_keys else "leave it out",
        )
    return finding(
        "DA208",
        f"{groups} {verb} the key {key}, which {optimizer.type} does not read: {ending}",
        _names(optimizer, indices),
        expected="a key of " + ", ".join(optimizer.group_keys),
        found=f"{key} {join_words(values[:3])}" + ("" if len(values) <= 3 else ", ..."),
        where=groups,
        fix=fix,
        severity="note" if is_factor else None,
    )


def _coefficients_contain_factor(optimizer: Optimizer, key: str) -> bool:
    """Whether the coefficients of the groups differ by the factor under this key: code has applied it."""
    if _FACTOR_NAME.search(key) is None or _is_of_lr(key):
        return False
    groups = [group for group in optimizer.groups if group.parameters]
    factors = [factor for group in groups if isinstance(factor := group.hyperparameters.get(key, 1), int | float)]
    if len(factors) < len(groups) or len(set(factors)) < 2:
        return False
    base = max(group.weight_decay for group in groups) / max(factors)
    return base > 0 and all(
        isclose(group.weight_decay, base * factor) for group, factor in zip(groups, factors, strict=True)
    )


def _is_of_lr(key: str) -> bool:
    word = key.lower()
    return "lr" in word or ("rate" in word and "decay" not in word)


def _contain_factor(optimizer: Optimizer, key: str) -> bool:
    """Whether the learning rates of the groups differ by the factor under this key."""
    groups = [group for group in optimizer.groups if group.parameters]
    factors = [group.hyperparameters.get(key, 1) for group in groups]
    rates = [peak_lr(group) for group in groups]
    bases = [
        rate / factor
        for rate, factor in zip(rates, factors, strict=True)
        if rate and isinstance(factor, int | float) and factor
    ]
    return len(set(factors)) > 1 and len(bases) == len(groups) and all(isclose(base, bases[0]) for base in bases)


def _groups(observed: ObservedPlan, optimizer: Optimizer, indices: Sequence[int]) -> str:
    return group_names(indices, len(optimizer.groups), observed.optimizer_name(optimizer))


def _names(optimizer: Optimizer, indices: Sequence[int]) -> list[str]:
    return [name for index in indices for name in optimizer.groups[index].parameters if name]
