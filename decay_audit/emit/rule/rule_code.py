"""The values from which an emitted module is written, and the learning rate and coefficient of each group."""

from msgspec import Struct

from decay_audit.emit.construction import Construction
from decay_audit.emit.groups import GroupKey, OriginalOptimizers
from decay_audit.emit.python.literals import number
from decay_audit.emit.rule.layers import LayerCode
from decay_audit.emit.rule.search import Branch
from decay_audit.rulesets.plan import Plan
from decay_audit.rulesets.ruleset import RuleSet


class RuleCode(Struct, frozen=True, kw_only=True):
    """The values from which the functions of the emitted module are written.

    Attributes:
        variables: the name of the list that collects each param group, in the order of the groups.
        library_rules: the ruleset, by name or file, if the code only calls `decay_audit.param_groups`.
        is_policy: the code is the ruleset itself, for any model.
        layers: how the layers of parameters are numbered, if learning rates fall from layer to layer.
    """

    plans: tuple[Plan, ...]
    groups: tuple[GroupKey, ...]
    variables: tuple[str, ...]
    branches: tuple[Branch, ...]
    constructions: tuple[Construction, ...]
    lr: float | None
    library_rules: str = ""
    originals: OriginalOptimizers | None = None
    is_policy: bool = False
    layers: LayerCode | None = None

    @property
    def ruleset(self) -> RuleSet:
        """The ruleset of all plans."""
        return self.plans[0].ruleset

    @property
    def scales_lr(self) -> bool:
        """Whether the learning rate of a group is written as a multiple of the argument `lr`."""
        return self.layers is not None or any(key.lr_scale != 1.0 or multiple_of_lr(self, key) for key in self.groups)

    @property
    def has_weight_decay(self) -> bool:
        """Whether a group decays by a multiple of the base coefficient; then the function takes `weight_decay`."""
        return any("weight_decay" in write_coefficient(self, key) for key in self.groups)

    @property
    def weight_decay_argument(self) -> str:
        """The argument `weight_decay` of the emitted functions, with the base coefficient as its default."""
        return f"weight_decay: float = {number(self.ruleset.weight_decay)}"


def write_rate(rule: RuleCode, key: GroupKey) -> str:
    """Write the learning rate of a group: a multiple of the argument `lr`, or a number."""
    factor = key.lr_scale if key.lr is None else multiple_of_lr(rule, key)
    if key.lr is not None and not factor:
        return number(key.lr)
    return "lr" if factor == 1.0 else f"{number(factor)} * lr"


def multiple_of_lr(rule: RuleCode, key: GroupKey) -> float:
    """Find the factor, of at most six digits, by which a group's own rate is a multiple of `lr`; 0 if there is none."""
    if key.lr is None or not rule.lr:
        return 0.0
    factor = float(f"{key.lr / rule.lr:.6g}")
    return factor if factor * rule.lr == key.lr else 0.0


def write_coefficient(rule: RuleCode, key: GroupKey) -> str:
    """Write the coefficient of a group: a multiple of the base if the ruleset has one, otherwise the number."""
    weight_decay, base = key.weight_decay, rule.ruleset.weight_decay
    if weight_decay == 0.0:
        return "0.0"
    if weight_decay == base:
        return "weight_decay"
    amounts = [entry.amount for entry in rule.ruleset.rules]
    times = [amount.times for amount in amounts if amount.weight_decay is None and amount.times * base == weight_decay]
    return f"{number(times[0])} * weight_decay" if times else number(weight_decay)
