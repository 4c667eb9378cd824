"""A plan becomes Python code, which is executed where the target's imports work and compared with the plan."""

from collections.abc import Callable, Sequence
from functools import partial

from decay_audit.api.loading import LoadedTarget, import_context
from decay_audit.api.options import CodeOptions
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import CodeStyle
from decay_audit.rulesets.plan import Plan

_NO_TRACE_IN_LIBRARY = (
    "roles here come from a traced forward pass, and decay_audit.param_groups does not trace: "
    "use --style rule, --style names or --no-trace"
)


def code(
    loaded: LoadedTarget,
    plan: Plan,
    options: CodeOptions,
    rules: str = "",
    others: Sequence[tuple[LoadedTarget, Plan]] = (),
) -> str:
    """Write the param groups of a plan as Python, execute the code, and compare its groups with the plan.

    If conditions on classes do not give the groups of the plan (a scripted module has lost its class), conditions on
    names are tried, and then lists of names.

    Args:
        rules: the ruleset as the user named it.
        others: other sizes of the model and their plans, for which the code must be right, too.

    Raises:
        DecayAuditError: the optimizer is not known, or the code's groups differ from the plan.
    """
    from decay_audit import emit

    write = partial(_write_and_verify, loaded, plan, options, rules, others)
    if options.style == "library":
        return _write_library_call(write, loaded)
    if options.style == "names":
        return write("names", known_classes=True)
    for known_classes in (True, False):
        try:
            return write("rule", known_classes=known_classes)
        except emit.DifferentGroupsError:
            if others and not known_classes:
                raise
    return write("names", known_classes=True)


def _write_and_verify(
    loaded: LoadedTarget,
    plan: Plan,
    options: CodeOptions,
    rules: str,
    others: Sequence[tuple[LoadedTarget, Plan]],
    style: CodeStyle,
    *,
    known_classes: bool,
) -> str:
    """Write the code in a style, execute it for each target, and compare its groups with the target's plan."""
    from decay_audit import emit

    text = emit.code(
        plan,
        style=style,
        rules=rules,
        target=loaded.inventory.target,
        also=[(other.inventory.target, other_plan) for other, other_plan in others],
        optimizer=options.optimizer,
        lr=options.lr,
        settings=options.set_,
        guard=not options.open_,
        known_classes=known_classes,
    )
    for target, target_plan in ((loaded, plan), *others):
        with import_context(target):
            emit.verify(text, target_plan, None if target.built is None else target.built.model)
    return text


def _write_library_call(write: Callable[..., str], loaded: LoadedTarget) -> str:
    """Write the call of `decay_audit.param_groups`, and refuse it where roles are only known from a trace."""
    from decay_audit import emit

    try:
        return write("library", known_classes=True)
    except emit.DifferentGroupsError as error:
        if all(parameter.uses is None for parameter in loaded.inventory.parameters):
            raise
        raise DecayAuditError(error.message, _NO_TRACE_IN_LIBRARY) from error
