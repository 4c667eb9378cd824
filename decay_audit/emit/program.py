"""A Plan becomes the text of a Python module: `param_groups(model)` and, if asked for, `make_optimizer(model)`.

The module needs torch and nothing of decay-audit. Names are literals, and it refuses a model that has other ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from decay_audit.emit import optimizer as optimizers
from decay_audit.emit.literals import comment, names, string
from decay_audit.errors import DecayAuditError
from decay_audit.model.parameters import WRAPPER_PARTS
from decay_audit.rulesets.plan import Decision, Plan, PlanGroup
from decay_audit.text import counted

NAMES_INDENT = 16
_SEVERAL = (
    "#",
    "# Each group says in `use` which optimizer takes it. Torch does not look at that: one that is given",
    "# all groups takes them all, so give each its own.",
)


def code(
    plan: Plan,
    *,
    target: str = "",
    optimizer: str | None = None,
    lr: float | None = None,
    settings: Iterable[str] = (),
) -> str:
    """Write the param groups of a plan as Python.

    Args:
        target: what the plan is for; the first comment says it.
        optimizer: a class of torch.optim, or a dotted path; where the plan has a `use` channel, a use that names no
            class of torch.optim gets this one.
        lr: learning rate of the optimizer, and of groups that scale it.
        settings: more arguments of the optimizer, each `name=value`, or `use.name=value` where there are several.

    Raises:
        DecayAuditError: the optimizer or a setting is not one or is for none, or the plan has no param group.
    """
    groups = plan.groups()
    if not groups:
        raise DecayAuditError("the plan has no param group: every parameter is frozen and the ruleset skips those")
    settings = tuple(settings)
    written = optimizers.arguments(lr, settings, dict.fromkeys(group.use for group in groups))
    classes = _classes(groups, optimizer)
    scaled = any(group.lr_scale != 1.0 for group in groups)
    _check(lr, settings, scaled=scaled, made=bool(classes))
    sections = [
        _header(plan, target, groups),
        optimizers.imports(classes.values()),
        ["", *_function(plan, groups, lr if scaled else None)],
        ["", *optimizers.function(classes, written)] if classes else [],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def notes(plan: Plan, optimizer: str | None = None) -> tuple[str, ...]:
    """Say which optimizer takes which groups, where a ruleset asks for more than one."""
    groups = plan.groups()
    uses = [use for use in dict.fromkeys(group.use for group in groups) if use is not None]
    if not uses:
        return ()
    if optimizer is None:
        return (
            f"each group says in `use` which optimizer takes it ({', '.join(uses)}), and torch does not look at that: "
            "--optimizer AdamW --lr 3e-4 writes make_optimizer, which does",
        )
    classes = [f"{use} is {one.module}.{one.name}" for use, one in _classes(groups, optimizer).items()]
    return (f"{', '.join(classes)}; --set {uses[0]}.lr=0.02 is for one of them",)


def _check(lr: float | None, settings: Sequence[str], *, scaled: bool, made: bool) -> None:
    """Refuse what would be written nowhere, and an optimizer that would not get the rates that its groups scale."""
    sets_rate = any(one.partition("=")[0].rpartition(".")[2] == "lr" for one in settings)
    if scaled and (sets_rate or (made and lr is None)):
        raise DecayAuditError("the ruleset scales learning rates", "give the one that it scales: --lr 3e-4")
    if not made and (settings or (lr is not None and not scaled)):
        what = "settings are" if settings else "a learning rate is"
        raise DecayAuditError(f"{what} for an optimizer", "name its class: --optimizer AdamW")


def _classes(groups: Iterable[PlanGroup], optimizer: str | None) -> dict[str | None, optimizers.OptimizerClass]:
    if optimizer is None:
        return {}
    named = optimizers.find(optimizer)
    return {group.use: optimizers.for_use(group.use, named) for group in groups}


def _header(plan: Plan, target: str, groups: Sequence[PlanGroup]) -> list[str]:
    # The docstring comes first: a target that looks like a coding cookie means nothing below line 2.
    parts = {
        "decayed": [decision for decision in plan.decisions if decision.grouped and decision.decays],
        "spared": [decision for decision in plan.decisions if decision.grouped and not decision.decays],
        "frozen": [decision for decision in plan.decisions if not decision.grouped],
    }
    return [
        '"""Weight decay as param groups: written by decay-audit, run, and compared with the ruleset."""',
        "",
        *([f"# target   {comment(target)}"] if target else []),
        f"# ruleset  {comment(plan.ruleset.name)}, weight_decay {plan.ruleset.weight_decay!r}",
        *(_count(word, decisions) for word, decisions in parts.items() if decisions or word != "frozen"),
        "#",
        "# An optimizer finds its saved state by position. State that was saved with other groups does not",
        "# load into these, or loads with its settings in the wrong groups: move it by name, or start afresh.",
        *(_SEVERAL if any(group.use is not None for group in groups) else ()),
    ]


def _count(word: str, decisions: Sequence[Decision]) -> str:
    elements = sum(decision.numel for decision in decisions)
    return f"# {word:<8} {counted(len(decisions), 'tensor')}, {counted(elements, 'element')}"


def _function(plan: Plan, groups: Sequence[PlanGroup], lr: float | None) -> list[str]:
    scaled = any(group.lr_scale != 1.0 for group in groups)
    default = "" if lr is None else f" = {float(lr)!r}"
    frozen = [decision.name for decision in plan.decisions if not decision.grouped]
    from_file = not any(decision.classified.parameter.owner.types for decision in plan.decisions)
    return [
        f"def param_groups(model: torch.nn.Module{f', lr: float{default}' if scaled else ''}) -> list[dict]:",
        '    """Split the parameters of `model`; raise ValueError if it is not the model written for."""',
        "    groups = [",
        *(line for group in groups for line in _group(group, scaled=scaled)),
        "    ]",
        *(["    frozen = [", *names(frozen, 8), "    ]"] if frozen else []),
        *_lookup(every_name=from_file, frozen=bool(frozen)),
        *(_ties() if from_file else []),
        *_refusals(frozen=bool(frozen)),
        *_filling(skip_frozen=plan.ruleset.frozen == "skip"),
    ]


def _group(group: PlanGroup, *, scaled: bool) -> Iterator[str]:
    yield "        {"
    yield f'            "weight_decay": {group.weight_decay!r},'
    if scaled:
        yield f'            "lr": lr * {group.lr_scale!r},'
    if group.use is not None:
        yield f'            "use": {string(group.use)},'
    yield '            "params": ['
    # Order within the list is free: the tensors are taken in the model's order.
    for (rule, place), decisions in groupby(sorted(group.decisions, key=_rule), key=_rule):
        yield f"{' ' * NAMES_INDENT}# {comment(f'{rule} ({place})' if place else rule)}"
        yield from names([decision.name for decision in decisions], NAMES_INDENT)
    yield "            ],"
    yield "        },"


def _rule(decision: Decision) -> tuple[str, str]:
    return decision.rule, decision.location


def _lookup(*, every_name: bool, frozen: bool) -> list[str]:
    wrappers = ", ".join(map(string, sorted(WRAPPER_PARTS)))
    return [
        '    group_of = {name: group for group in groups for name in group["params"]}',
        *(["    group_of.update(dict.fromkeys(frozen))"] if frozen else []),
        "",
        "    # Compiled, distributed or not: the names of the bare model.",
        f"    wrappers = {{{wrappers}}}",
        "    tensors = {}",
        f"    for name, tensor in model.named_parameters({'remove_duplicate=False' if every_name else ''}):",
        '        bare = ".".join(part for part in name.split(".") if part not in wrappers)',
        "        if tensors.setdefault(name if name in group_of else bare, tensor) is not tensor:",
        '            raise ValueError(f"two parameters are called {bare}")',
        "    while tensors and not group_of.keys() <= tensors.keys():",
        '        if not all(name.startswith("module.") for name in tensors):',
        "            break",
        '        tensors = {name.removeprefix("module."): tensors[name] for name in tensors}',
    ]


def _ties() -> list[str]:
    """A file names a tied parameter once or for each place, and cannot tell; the model can."""
    return [
        "",
        "    # Of tied names, keep the first one that has a group.",
        "    names_of = {}",
        "    for name, tensor in tensors.items():",
        "        names_of.setdefault(tensor, []).append(name)",
        "    for names in names_of.values():",
        "        homes = [group_of.pop(name) for name in names if name in group_of]",
        "        if any(home is not homes[0] for home in homes):",
        '            raise ValueError(f"tied, but in several groups: {names}")',
        "        if homes:",
        "            group_of[names[0]] = homes[0]",
        "    tensors = {names[0]: tensor for tensor, names in names_of.items()}",
    ]


def _refusals(*, frozen: bool) -> list[str]:
    thawed = [
        "    thawed = [name for name in frozen if tensors[name].requires_grad]",
        "    if thawed:",
        '        raise ValueError(f"frozen when this was written, and no longer: {thawed}")',
    ]
    return [
        "",
        "    missing = [name for name in group_of if name not in tensors]",
        "    unknown = [name for name in tensors if name not in group_of]",
        "    if missing or unknown:",
        '        raise ValueError(f"this is another model: {missing=} {unknown=}")',
        *(thawed if frozen else []),
        "",
    ]


def _filling(*, skip_frozen: bool) -> list[str]:
    every, chosen = "tensor for name, tensor in tensors.items()", "if group_of[name] is group"
    filtered = ["tensor", every.removeprefix("tensor "), f"{chosen} and tensor.requires_grad"]
    return [
        "    for group in groups:",
        '        group["params"] = [',
        *(f"            {line}" for line in (filtered if skip_frozen else [f"{every} {chosen}"])),
        "        ]",
        "    return groups",
    ]
