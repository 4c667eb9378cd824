"""The optimizers that the emitted code makes: which class takes which groups, with which arguments."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from decay_audit.emit import optimizer as optimizers
from decay_audit.emit.groups import EmittedGroup, OriginalOptimizers, emitted_groups
from decay_audit.emit.like.expressions import write
from decay_audit.errors import DecayAuditError
from decay_audit.rulesets.plan import Plan


class Construction(Struct, frozen=True, kw_only=True):
    """An optimizer that the code makes.

    Attributes:
        use: the name by which the groups of this optimizer choose it; None if there is only one optimizer.
        arguments: the arguments of the constructor except the groups, as Python.
        shares_lr: its learning rate is `lr`, the argument of the emitted function that several optimizers may share.
        flag: for a class that contains two algorithms, Muon and Adam: `use_muon`, the key of a group that chooses
            between them; "" for other classes. Each algorithm has a construction; the code makes one optimizer of both.
        modules: the modules that the arguments need.
    """

    use: str | None
    class_path: str
    arguments: tuple[str, ...]
    shares_lr: bool = False
    flag: str = ""
    modules: frozenset[str] = frozenset()

    @property
    def flag_is_true(self) -> bool:
        """Whether the key `flag` is true in the groups of this algorithm."""
        return self.flag == f"use_{self.use}"


class RequestedOptimizer(Struct, frozen=True, kw_only=True):
    """The optimizer that the user asks for.

    Attributes:
        path: the class, as the user wrote it: a name in torch.optim, or a dotted path.
        settings: further arguments, each `name=value` or `use.name=value`.
    """

    path: str | None = None
    lr: float | None = None
    settings: tuple[str, ...] = ()


def construct(groups: Sequence[EmittedGroup], requested: RequestedOptimizer) -> tuple[Construction, ...]:
    """Find the class and the arguments of every optimizer that takes some of the groups.

    Raises:
        DecayAuditError: a class or a setting is not valid; a learning rate is missing, or comes without an optimizer.
    """
    path, lr, settings = requested.path, requested.lr, requested.settings
    arguments = optimizers.write_arguments(lr, settings, dict.fromkeys(group.key.use for group in groups))
    classes = _classes(groups, path)
    has_scaled_lr = any(group.key.lr_scale != 1.0 for group in groups)
    _check_settings(lr, settings, has_scaled_lr=has_scaled_lr, has_optimizer=bool(classes))
    return tuple(
        Construction(
            use=use,
            class_path=f"{optimizer.module}.{optimizer.name}",
            arguments=tuple(f"{name}={value}" for name, value in arguments[use].items()),
            shares_lr=lr is not None and arguments[use].get("lr") == repr(float(lr)),
            flag=_flag(optimizer),
        )
        for use, optimizer in classes.items()
    )


def construct_copies(
    groups: Sequence[EmittedGroup], originals: OriginalOptimizers, lr: float | None
) -> tuple[Construction, ...]:
    """Find how code makes copies of the optimizers that an expression made; () if it cannot copy all of them.

    If the expression made no optimizer for a `use` of the ruleset, the code makes the class of torch.optim with that
    name.

    Args:
        lr: the learning rate that they share; None if they do not.

    Raises:
        DecayAuditError: the ruleset names an optimizer that neither exists nor is a class of torch.optim.
    """
    if originals.problems:
        return ()
    return tuple(_construct_copy(use, originals, lr) for use in dict.fromkeys(group.key.use for group in groups))


def _construct_copy(use: str | None, originals: OriginalOptimizers, lr: float | None) -> Construction:
    copy = originals.copies.get(use)
    if copy is None:
        kind = optimizers.torch_class(use)
        if kind is None:
            raise DecayAuditError(
                f"the ruleset gives parameters to {use}, and {originals.expression} makes no such optimizer",
                "leave out --like, and name the class of the optimizer: --optimizer CLASS",
            )
        return Construction(use=use, class_path=f"{kind.module}.{kind.name}", arguments=())
    arguments = [(name, write(value)) for name, value in copy.arguments]
    return Construction(
        use=use,
        class_path=copy.class_path,
        arguments=tuple(f"{name}={expression.text}" for name, expression in arguments),
        shares_lr=lr is not None and copy.lr is not None,
        modules=frozenset(module for _, expression in arguments for module in expression.modules),
    )


def imported_modules(constructions: Iterable[Construction]) -> list[str]:
    """List the modules that the code imports for its optimizers, besides torch."""
    modules = {construction.class_path.rpartition(".")[0] for construction in constructions} - {"torch.optim"}
    return sorted(modules.union(*(construction.modules for construction in constructions)))


def notes(plan: Plan, optimizer: str | None = None) -> tuple[str, ...]:
    """Tell the user which optimizer takes which groups, where the ruleset names several optimizers."""
    groups = emitted_groups([plan])
    uses = [use for use in dict.fromkeys(group.key.use for group in groups) if use is not None]
    if not uses:
        return ()
    if optimizer is None:
        return (
            f"the key `use` of each group names its optimizer ({', '.join(uses)}); torch ignores that key. "
            "--optimizer AdamW --lr 3e-4 also writes make_optimizer, which gives each optimizer its groups",
        )
    chosen = _classes(groups, optimizer)
    if flag := next((_flag(optimizer_class) for optimizer_class in chosen.values()), ""):
        path = optimizers.parse_class(optimizer)
        return (f"{path.module}.{path.name} takes all groups; {flag} is true for those of {flag.removeprefix('use_')}",)
    classes = [f"{use} is {cls.module}.{cls.name}" for use, cls in chosen.items()]
    return (f"{', '.join(classes)}; --set {uses[0]}.lr=0.02 sets an argument of {uses[0]} alone",)


def _check_settings(lr: float | None, settings: Sequence[str], *, has_scaled_lr: bool, has_optimizer: bool) -> None:
    """Refuse settings without an optimizer, and scaled learning rates without one rate that they all scale."""
    sets_rate = any(setting.partition("=")[0].rpartition(".")[2] == "lr" for setting in settings)
    if has_scaled_lr and (sets_rate or (has_optimizer and lr is None)):
        hint = "leave out --set lr, and give the rate that it scales: --lr 3e-4"
        raise DecayAuditError(
            "the ruleset scales learning rates", hint if sets_rate else hint.removeprefix("leave out --set lr, and ")
        )
    if not has_optimizer and (settings or (lr is not None and not has_scaled_lr)):
        subject = "settings were" if settings else "a learning rate was"
        raise DecayAuditError(f"{subject} given without an optimizer", "name its class: --optimizer AdamW")


def _classes(groups: Iterable[EmittedGroup], optimizer: str | None) -> dict[str | None, optimizers.OptimizerClass]:
    if optimizer is None:
        return {}
    default = optimizers.parse_class(optimizer)
    if algorithm := optimizers.TWO_ALGORITHM_CLASSES.get(default.name):
        uses = dict.fromkeys(group.key.use for group in groups)
        if not all(use is not None and (use == algorithm or "adam" in use.lower()) for use in uses):
            others = ", ".join(use for use in uses if use is not None)
            raise DecayAuditError(
                f"{default.name} contains {algorithm} and Adam, and the ruleset "
                + (f"has groups for {others}" if others else "names no optimizer"),
                f"use a ruleset with `optimizer` entries for {algorithm} and adamw: --rules {algorithm}",
            )
        return dict.fromkeys(uses, default)
    return {group.key.use: optimizers.class_for_use(group.key.use, default) for group in groups}


def _flag(optimizer: optimizers.OptimizerClass) -> str:
    algorithm = optimizers.TWO_ALGORITHM_CLASSES.get(optimizer.name)
    return f"use_{algorithm}" if algorithm else ""
