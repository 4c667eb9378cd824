"""The styles in which a plan can be written as code, and the function that writes any of them."""

import re
from collections.abc import Iterable, Sequence

from decay_audit.emit import names
from decay_audit.emit.construction import Construction, RequestedOptimizer, construct, construct_copies
from decay_audit.emit.groups import OriginalOptimizers, emitted_groups, scales_lr
from decay_audit.emit.rule import source
from decay_audit.emit.rule.layers import find_layers, has_layers
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import CodeStyle
from decay_audit.rulesets.plan import Plan

MOST_LEARNING_RATES = 3
"""Code lists the names of the parameters of a plan with more learning rates, if it cannot number the layers."""

_PAIRS = (
    (r"^( +\w+)\.append\(p\)", r"\1.append((name, p))"),
    (r"^( +groups\.setdefault\(\(layer, decays(?:, scale)?\), \[\]\))\.append\(p\)", r"\1.append((name, p))"),
    (r"^(    params = )\[p for p in model\.parameters\(\)", r"\1[(name, p) for name, p in model.named_parameters()"),
    (r"^( +)tensor$", r"\1(name, tensor)"),
    (r"^( +)tensor for name, tensor in", r"\1(name, tensor) for name, tensor in"),
)
"""Regexes for emitted lines that select a parameter, and the text that selects it together with its name. The regexes
match no name of the model: such names are in quotes or in comments."""


def write_code(  # noqa: PLR0913  (its keywords are the options of the verb)
    plan: Plan,
    *,
    style: CodeStyle = "rule",
    target: str = "",
    rules: str = "",
    also: Sequence[tuple[str, Plan]] = (),
    optimizer: str | None = None,
    lr: float | None = None,
    settings: Iterable[str] = (),
    guard: bool = True,
    known_classes: bool = True,
    originals: OriginalOptimizers | None = None,
    named: bool = False,
) -> str:
    """Write the param groups of a plan as Python.

    Args:
        style: `rule` writes conditions, or names for a plan with more than MOST_LEARNING_RATES rates; `names` lists
            the names of the parameters, `library` calls decay-audit, `policy` writes the ruleset itself as a function
            of any model.
        target: the target as the user wrote it, for the first comment.
        rules: the ruleset by its name or file, for the style `library`; by default its own name.
        also: other targets and their plans by the same ruleset, for which the code must be right, too; the style
            `names` does not use them.
        optimizer: the class of the optimizer: a name in torch.optim, or a dotted path. A group whose `use` names
            another class of torch.optim gets that class.
        lr: learning rate of the optimizer, and of groups that scale it.
        settings: more arguments of the optimizer, each `name=value`, or `use.name=value` where there are several.
        guard: whether the code raises an error for a parameter that fits no condition.
        known_classes: whether conditions may ask for the class of a module.
        named: whether the groups hold pairs of a name and a parameter, as torch takes them since version 2.6.
        originals: the user's optimizers (`--like`). The code makes copies of them, with its own param groups.

    Raises:
        DecayAuditError: the optimizer or a setting is not valid, or the plan has no group.
    """
    if not plan.groups():
        raise DecayAuditError("the plan has no param group: every parameter is frozen and the ruleset skips those")
    plans, targets = [plan, *(other for _, other in also)], [target, *(name for name, _ in also)]
    requested = RequestedOptimizer(path=optimizer, lr=lr, settings=tuple(settings))
    constructions, lr = _constructions(plans, requested, originals)
    if style == "library":
        return source.write_code(plans, targets, constructions, lr, library_rules=rules or plan.ruleset.name)
    if style == "policy":
        code = source.write_policy_code(plans, targets, constructions, lr)
    elif style == "rule" and has_layers(plans) and not layer_problem(plan, also, originals):
        code = source.write_layered_code(
            plans, targets, constructions, lr, guard=guard, known_classes=known_classes, originals=originals
        )
    elif style == "names" or len({group.lr_scale for group in plan.groups()}) > MOST_LEARNING_RATES:
        code = names.write_code(plan, target, constructions, lr, originals)
    else:
        code = source.write_code(
            plans, targets, constructions, lr, guard=guard, known_classes=known_classes, originals=originals
        )
    return with_names(code) if named else code


def layer_problem(
    plan: Plan, also: Sequence[tuple[str, Plan]] = (), originals: OriginalOptimizers | None = None
) -> str:
    """Say why learning rates by layer cannot be written as a function; "" if they can, or if there are none."""
    plans = [plan, *(other for _, other in also)]
    try:
        if has_layers(plans):
            find_layers(plans, (group.key for group in emitted_groups(plans, originals)))
    except DecayAuditError as error:
        return error.message
    return ""


def with_names(code: str) -> str:
    """Change emitted code so that its groups hold pairs of a name and a parameter."""
    for parameters, pairs in _PAIRS:
        code = re.sub(parameters, pairs, code, flags=re.MULTILINE)
    return code


def _constructions(
    plans: Sequence[Plan], requested: RequestedOptimizer, originals: OriginalOptimizers | None
) -> tuple[tuple[Construction, ...], float | None]:
    """Find the optimizers that the code makes, and the learning rate that the emitted functions take."""
    if originals is None:
        return construct(emitted_groups(plans[:1]), requested), requested.lr
    lr = originals.lr(has_scaled_lr=scales_lr(plans))
    return construct_copies(emitted_groups(plans, originals), originals, lr), lr
