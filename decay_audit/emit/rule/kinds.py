"""Plans become kinds of parameters: those that have the same owner class, leaf name, dimensions and param group.

The numbers in a name tell blocks apart, not kinds: `blocks.0.norm.weight` and `blocks.1.norm.weight` are of one kind.
"""

from collections.abc import Callable, Sequence
from itertools import islice

from msgspec import Struct

from decay_audit.emit.rule.classes import TORCH_NN
from decay_audit.rulesets.plan import Decision, Plan

_GENERAL_CLASSES = frozenset({"torch.nn.Module", "torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"})
"""Classes that say nothing about the parameters of a module; no condition asks for them."""


class Kind(Struct, frozen=True, kw_only=True):
    """Parameters that differ only by the numbers in their names.

    Attributes:
        names: their canonical names.
        classes: the qualified names of the owner's class and of its base classes in torch.nn; empty if the target is
            a file, which has no classes.
        containers: the classes among them whose modules contain other modules with parameters.
        ndim: the number of dimensions; None if a lazy parameter has no shape yet.
        attributes: the attributes of the tensors that are true.
        group: the index of their param group.
        rule: the rule of the ruleset that decided.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    containers: tuple[str, ...]
    ndim: int | None
    attributes: tuple[str, ...]
    group: int
    rule: str

    @property
    def leaf(self) -> str:
        """The last part of the names."""
        return self.names[0].rpartition(".")[2]


def find_kinds(
    plans: Sequence[Plan], group_of: Callable[[Decision], int], *, known_classes: bool = True
) -> tuple[Kind, ...]:
    """Sort the parameters that are in a param group into kinds.

    Args:
        group_of: finds the index of the group of a parameter.
        known_classes: whether the kinds have the classes of their owners.
    """
    containers = {
        owner.types[0]
        for plan in plans
        for decision in plan.decisions
        for owner in islice(decision.classified.parameter.owner.lineage(), 1, None)
        if owner.types
    }
    names_by_key: dict[tuple[object, ...], dict[str, None]] = {}
    first_decisions: dict[tuple[object, ...], tuple[Decision, tuple[str, ...], int]] = {}
    for plan in plans:
        for decision in plan.decisions:
            if decision.grouped:
                parameter = decision.classified.parameter
                classes = _classes(parameter.owner.types) if known_classes else ()
                ndim = None if parameter.lazy else len(parameter.shape)
                group = group_of(decision)
                key = (without_numbers(decision.name), classes, ndim, parameter.attributes, group)
                names_by_key.setdefault(key, {})[decision.name] = None
                first_decisions.setdefault(key, (decision, classes, group))
    return tuple(
        Kind(
            names=tuple(names_by_key[key]),
            classes=classes,
            containers=tuple(name for name in classes if name in containers),
            ndim=None if decision.classified.parameter.lazy else len(decision.classified.parameter.shape),
            attributes=decision.classified.parameter.attributes,
            group=group,
            rule=decision.rule,
        )
        for key, (decision, classes, group) in first_decisions.items()
    )


def without_numbers(name: str) -> str:
    """Write `#` for each part of a name that is a number.

    >>> without_numbers("blocks.10.attn.qkv2.weight")
    'blocks.#.attn.qkv2.weight'
    """
    return ".".join("#" if part.isdecimal() else part for part in name.split("."))


def _classes(types: Sequence[str]) -> tuple[str, ...]:
    own_class, *bases = types or ("",)
    classes = [own_class, *(base for base in bases if base.startswith(TORCH_NN))]
    return tuple(name for name in classes if name and name not in _GENERAL_CLASSES)
