"""Make the groups of emitted code from plans: from the decisions, and from the settings of copied optimizers."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from decay_audit.emit.like.copies import GroupCopy, OptimizerCopy, Settings
from decay_audit.rulesets.plan import Decision, Plan


class GroupKey(Struct, frozen=True, kw_only=True):
    """The settings that all parameters of a group share: two parameters are in one group if their keys are equal.

    Attributes:
        use: the name of the optimizer that takes the group; None if there is only one.
        lr: the group's own learning rate, if a copied optimizer has another rate for this group; else None.
        settings: further settings: names, with values written as Python.
    """

    weight_decay: float
    lr_scale: float = 1.0
    use: str | None = None
    lr: float | None = None
    settings: tuple[tuple[str, str], ...] = ()


class EmittedGroup(Struct, frozen=True, kw_only=True, eq=False):
    """A group of the code, with the decisions on its parameters."""

    key: GroupKey
    decisions: tuple[Decision, ...]


class OriginalOptimizers(Struct, frozen=True, kw_only=True, eq=False):
    """Existing optimizers as data: the code makes these optimizers again, with the groups of a plan.

    Attributes:
        expression: the expression that made the optimizers, as the user wrote it.
        copies: each optimizer, by the `use` that its groups have in the code.
        group_copies: for each parameter, the `use` of its optimizer and the existing group with this parameter.
        settings: for the id of each group copy, the settings of the group: names, with values written as Python.
        routed: whether the ruleset itself says which optimizer takes a parameter.
        modules: the modules that the code must import for these settings.
        failure: the error of the executed code; "" if there was none, or the code was not executed.
    """

    expression: str
    copies: Mapping[str | None, OptimizerCopy]
    group_copies: Mapping[str, tuple[str | None, GroupCopy]]
    settings: Mapping[int, tuple[tuple[str, str], ...]]
    modules: frozenset[str] = frozenset()
    routed: bool = False
    failure: str = ""

    def lr(self, *, has_scaled_lr: bool) -> float | None:
        """Find one learning rate for all optimizers: the largest if rates are scaled; else None if they differ."""
        rates = {copy.lr for copy in self.copies.values()}
        if has_scaled_lr:
            group_rates = [group.lr for copy in self.copies.values() for group in copy.groups]
            return max((rate for rate in (*rates, *group_rates) if rate is not None), default=None)
        return rates.pop() if len(rates) == 1 else None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why code cannot make these optimizers; () if it can."""
        problems = [f"{copy.type}: {copy.problem}" for copy in self.copies.values() if copy.problem]
        return tuple(problems or ([self.failure] if self.failure else []))

    def key(self, decision: Decision, *, has_scaled_lr: bool) -> GroupKey:
        """Make the key of a parameter's group, from its decision and from the copied group with this parameter."""
        use, group = self.group_copies.get(decision.name, (self._main_use, None))
        if self.routed and use != decision.use:
            use, group = decision.use, None
        copy = self.copies.get(use)
        own_lr = group.lr if group is not None and copy is not None and group.lr != copy.lr else None
        return GroupKey(
            weight_decay=decision.weight_decay,
            lr_scale=decision.lr_scale,
            use=use,
            lr=None if has_scaled_lr else own_lr,
            settings=() if group is None else self.settings[id(group)],
        )

    @property
    def _main_use(self) -> str | None:
        """The `use` of the optimizer with the most parameters. Parameters that no optimizer has go to it, too."""
        counts = {use: sum(len(group.parameters) for group in copy.groups) for use, copy in self.copies.items()}
        return max(counts, key=lambda use: counts[use])


def group_key(decision: Decision, originals: OriginalOptimizers | None, *, has_scaled_lr: bool) -> GroupKey:
    """Make the key of the group for a parameter.

    Args:
        has_scaled_lr: whether the ruleset scales learning rates; copied groups then lose rates of their own.
    """
    if originals is not None:
        return originals.key(decision, has_scaled_lr=has_scaled_lr)
    return GroupKey(weight_decay=decision.weight_decay, lr_scale=decision.lr_scale, use=decision.use)


def emitted_groups(plans: Sequence[Plan], originals: OriginalOptimizers | None = None) -> tuple[EmittedGroup, ...]:
    """List the groups of all plans, in the order of `Plan.group_rank`: usually, groups that decay come first."""
    has_scaled_lr = scales_lr(plans)
    members: dict[GroupKey, list[Decision]] = {}
    for decision in _grouped(plans):
        members.setdefault(group_key(decision, originals, has_scaled_lr=has_scaled_lr), []).append(decision)
    rank = plans[0].group_rank
    ordered = sorted(members.items(), key=lambda item: rank(item[0].weight_decay, item[0].lr_scale, item[0].use))
    return tuple(EmittedGroup(key=key, decisions=tuple(decisions)) for key, decisions in ordered)


def scales_lr(plans: Iterable[Plan]) -> bool:
    """Whether the ruleset gives some parameters of these plans another learning rate."""
    return any(decision.lr_scale != 1.0 for decision in _grouped(plans))


def _grouped(plans: Iterable[Plan]) -> list[Decision]:
    return [decision for plan in plans for decision in plan.decisions if decision.grouped]


def assign_copies(expression: str, copies: Sequence[OptimizerCopy], plan: Plan) -> OriginalOptimizers:
    """Give each copied optimizer a name in the code, and find the group of each parameter.

    If the ruleset routes parameters to optimizers, a copied optimizer takes the groups that are routed to its class.
    """
    from decay_audit.emit.like.expressions import write  # imports torch where a value is a tensor

    uses = [*dict.fromkeys(decision.use for decision in _grouped([plan]) if decision.use is not None)]
    labels = _labels(copies, uses)
    by_group: dict[int, Settings] = {id(group): group.settings for copy in copies for group in copy.groups}
    expressions = {
        identity: [(key, write(value)) for key, value in settings] for identity, settings in by_group.items()
    }
    return OriginalOptimizers(
        expression=expression,
        copies=dict(zip(labels, copies, strict=True)),
        group_copies={
            name: (label, group)
            for label, copy in zip(labels, copies, strict=True)
            for group in copy.groups
            for name in group.parameters
        },
        settings={
            identity: tuple((key, expression.text) for key, expression in items)
            for identity, items in expressions.items()
        },
        modules=frozenset(
            module for items in expressions.values() for _, expression in items for module in expression.modules
        ),
        routed=bool(uses),
    )


def _labels(copies: Sequence[OptimizerCopy], uses: Sequence[str]) -> list[str | None]:
    """Choose the `use` of each copied optimizer: the route to its class, or its class in lower case, with a number."""
    if len(copies) == 1 and not uses:
        return [None]
    by_class = {use.lower(): use for use in uses}
    labels: list[str | None] = []
    for copy in copies:
        label = name = by_class.get(copy.type.lower(), copy.type.lower())
        count = 1
        while label in labels:
            count += 1
            label = f"{name}_{count}"
        labels.append(label)
    return labels
