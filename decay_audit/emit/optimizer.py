"""The class and the settings of an optimizer, as the user writes them, become Python. torch is not imported."""

import ast
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from keyword import iskeyword
from math import isfinite
from typing import TypeGuard

from msgspec import Struct

from decay_audit.emit.python.literals import string
from decay_audit.errors import DecayAuditError

_CLASSES = "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax Muon NAdam RAdam RMSprop SGD"
TORCH_CLASSES = tuple(_CLASSES.split())
"""The classes of torch.optim that take param groups and a weight_decay."""

TWO_ALGORITHM_CLASSES = {"MuonWithAuxAdam": "muon", "SingleDeviceMuonWithAuxAdam": "muon"}
"""Classes with two algorithms, and the name of the first. Groups with `use_muon=True` use it; the others use Adam."""

_FILE = re.compile(r"\.py:")
_GROUP_KEYS = ("params", "weight_decay")
"""Keys that each param group has, so that no setting may have their names."""


class OptimizerClass(Struct, frozen=True, kw_only=True):
    """A class by its dotted path, e.g. `torch.optim.AdamW`."""

    module: str
    name: str


def parse_class(text: str) -> OptimizerClass:
    """Read the name of an optimizer class: of torch.optim, a dotted path, or the file that defines it.

    Raises:
        DecayAuditError: it is not written in any of these forms.
    """
    if text.endswith(".py"):
        raise DecayAuditError(f"{text!r} is not an optimizer class", f"name the class in it: {text}:CLASS")
    dotted = _FILE.sub(".", text).replace("/", ".") if _FILE.search(text) else text.replace(":", ".", 1)
    module, _, name = dotted.rpartition(".")
    if not all(part.isidentifier() and part.isascii() and not iskeyword(part) for part in dotted.split(".")):
        raise DecayAuditError(f"{text!r} is not an optimizer class", _accepted_forms(text))
    if module not in ("", "torch.optim"):
        return OptimizerClass(module=module, name=name)
    if name not in TORCH_CLASSES:
        raise DecayAuditError(
            f"torch.optim has no optimizer {name} that takes param groups and weight_decay", _accepted_forms(name)
        )
    return OptimizerClass(module="torch.optim", name=name)


def class_for_use(use: str | None, default: OptimizerClass) -> OptimizerClass:
    """Return the class of torch.optim that `use` names, in upper or lower case; if it names none, the default class.

    If the name of the default class contains the text of `use`, the default class is returned.

    >>> default = OptimizerClass(module="muon", name="SingleDeviceMuon")
    >>> [class_for_use(use, default).module for use in ("muon", "adamw")]
    ['muon', 'torch.optim']
    """
    if use and use.lower() in default.name.lower():
        return default
    return torch_class(use) or default


def torch_class(use: str | None) -> OptimizerClass | None:
    """Return the class of torch.optim that `use` names, in upper or lower case; None if it names none."""
    known = {name.lower(): name for name in TORCH_CLASSES}
    name = known.get((use or "").lower())
    return None if name is None else OptimizerClass(module="torch.optim", name=name)


def write_arguments(
    lr: float | None, settings: Iterable[str], uses: Collection[str | None]
) -> dict[str | None, dict[str, str]]:
    """Check the keyword arguments of each optimizer, by its use, and write their values as Python.

    Args:
        settings: each `name=value`, the value a Python literal or a word; `use.name=value` is for
            one of several optimizers.

    Raises:
        DecayAuditError: lr is not a number >= 0, or a setting is not `name=value`, is given twice, is for a use that no
            group has, or is one that each group sets.
    """
    if lr is not None and not (isfinite(lr) and lr >= 0):
        raise DecayAuditError(f"lr is {lr}", "it must be a finite number, 0 or more")
    common = {} if lr is None else {"lr": repr(float(lr))}
    by_use: dict[str | None, dict[str, str]] = {use: {} for use in uses}
    for setting in settings:
        path, equals, value = setting.partition("=")
        use, dot, name = path.rpartition(".")
        if not (equals and name.isidentifier() and name.isascii() and not iskeyword(name)):
            raise DecayAuditError(f"{setting!r} is not a setting", "write it as name=value, e.g. momentum=0.9")
        if dot and use not in uses:
            uses_text = ", ".join(other for other in uses if other is not None)
            raise DecayAuditError(
                f"{setting!r}: no group has the optimizer {use!r}",
                f"the groups are for {uses_text}" if uses_text else f"write {name}={value}",
            )
        if name in _GROUP_KEYS:
            raise DecayAuditError(
                f"{name} cannot be set here: each param group has its own", "use --weight-decay or the ruleset"
            )
        arguments = by_use[use] if dot else common
        if name in arguments:
            raise DecayAuditError(f"{path} is given twice", "give each setting once")
        arguments[name] = _value(name, value.strip())
    return {use: {**common, **settings_of_use} for use, settings_of_use in by_use.items()}


def _value(name: str, text: str) -> str:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    if not _is_literal(value):
        raise DecayAuditError(f"{name} cannot be {text!r}", "a value is a number, True, False, None, a word or a tuple")
    return _write(value)


def _is_literal(value: object) -> "TypeGuard[bool | int | float | str | tuple[object, ...] | list[object] | None]":
    match value:
        case float():
            return isfinite(value)
        case tuple() | list():
            return all(map(_is_literal, value))
        case _:
            return value is None or isinstance(value, bool | int | str)


def _write(value: object) -> str:
    match value:
        case str():
            return string(value)
        case list():
            return f"[{', '.join(map(_write, value))}]"
        case tuple():
            return f"({', '.join(map(_write, value))}{',' if len(value) == 1 else ''})"
        case _:
            return repr(value)


def _accepted_forms(text: str) -> str:
    known = {name.lower(): name for name in TORCH_CLASSES}
    near = get_close_matches(text.rpartition(".")[2].lower(), known, n=1, cutoff=0.5)
    guess = f"did you mean {known[near[0]]}? " if near else ""
    return f"{guess}it is a class of torch.optim ({', '.join(TORCH_CLASSES)}), or package.module:Class"
