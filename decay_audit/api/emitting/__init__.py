"""A plan becomes Python code, which is executed where the target's imports work and compared with the plan."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import roles, rulesets
from decay_audit.api import observing
from decay_audit.api.loading import LoadedTarget, import_context, load
from decay_audit.api.migrating.resuming import describe_resuming, keep_group_order
from decay_audit.api.options import AuditOptions, CodeOptions
from decay_audit.api.pipeline import coefficient_of_optimizers, make_plan
from decay_audit.api.request import no_progress, request_for
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import CodeStyle
from decay_audit.rulesets.plan import Plan
from decay_audit.sources import target as targets
from decay_audit.text import count_noun, first_few

if TYPE_CHECKING:
    from decay_audit.emit.groups import OriginalOptimizers
    from decay_audit.emit.like.copies import OptimizerCopy
    from decay_audit.model.observations import Observation

_LIBRARY_HINT = (
    "decay_audit.param_groups traces by itself, without an input: leave out --trace and --no-trace, "
    "or use --style rule or --style names"
)


class EmittedCode(Struct, frozen=True, kw_only=True):
    """Code that was executed and compared with the plan, and notes for the user."""

    text: str
    notes: tuple[str, ...] = ()


def emit_target(
    target: str, options: AuditOptions, code_options: CodeOptions, progress: Callable[[str], None] = no_progress
) -> EmittedCode:
    """Read a target, decide its parameters by a ruleset, and write the param groups as Python.

    Raises:
        DecayAuditError: something cannot be read or decided, or the code's groups differ from the plan.
    """
    _check_options(code_options)
    ruleset = rulesets.load(options.rules)

    loaded, copies, observations = load_with_copies(target, options, code_options.like, progress)
    weight_decay = options.weight_decay
    if weight_decay is None and observations:
        classified = roles.classify(loaded.inventory.parameters)
        weight_decay = coefficient_of_optimizers(classified, ruleset, observations)

    def decide(loaded: LoadedTarget) -> Plan:
        return make_plan(roles.classify(loaded.inventory.parameters), ruleset, weight_decay)

    others = [
        (other, decide(other)) for other in (load(request_for(name, options, progress)) for name in code_options.also)
    ]
    plan = decide(loaded)
    if code_options.keep_order_of is not None:
        plan = keep_group_order(plan, loaded, code_options.keep_order_of, options.key)
    with import_context(loaded):
        emitted = _emit(loaded, plan, options, code_options, others, copies)
    if options.checkpoint is None:
        return emitted
    return replace(emitted, notes=(*emitted.notes, describe_resuming(plan, loaded, options.checkpoint, options.key)))


def verify_function(
    target: str, options: AuditOptions, code_options: CodeOptions, progress: Callable[[str], None] = no_progress
) -> dict[str, dict[str, str]]:
    """Compare the groups that the function of `--verify` returns with the plan, for TARGET and each target of `--also`.

    Returns:
        For each target, the parameters that differ, with the reason.

    Raises:
        DecayAuditError: something cannot be read, or the function does not return param groups.
    """
    from decay_audit.emit.function_proof import find_differences
    from decay_audit.sources import module

    ruleset = rulesets.load(options.rules)
    differences: dict[str, dict[str, str]] = {}
    for name in (target, *code_options.also):
        loaded = load(request_for(name, options, progress))
        if loaded.built is None:
            raise DecayAuditError("a checkpoint alone has no model to call a function with", "name a model instead")
        plan = make_plan(roles.classify(loaded.inventory.parameters), ruleset, options.weight_decay)
        value = module.evaluate_optimizer(code_options.verify or "", loaded.built).value
        differences[name] = find_differences(value, plan, loaded.built.model)
    return differences


def _check_options(options: CodeOptions) -> None:
    if options.like is not None and (options.optimizer is not None or options.lr is not None or options.set_):
        raise DecayAuditError(
            "--like takes the class and all settings from an optimizer that exists",
            "leave out --optimizer, --lr and --set, or leave out --like",
        )
    if options.named and (options.style == "library" or options.for_ != "torch"):
        raise DecayAuditError(
            "--named is for groups that the emitted code makes itself for torch", "leave out --style library and --for"
        )
    if options.like is not None and options.keep_order_of is not None:
        raise DecayAuditError("--keep-order-of takes the groups of the ruleset alone", "leave out --like")


def _emit(
    loaded: LoadedTarget,
    plan: Plan,
    options: AuditOptions,
    code_options: CodeOptions,
    others: Sequence[tuple[LoadedTarget, Plan]],
    copies: "Sequence[OptimizerCopy]",
) -> EmittedCode:
    """Write the code. If it cannot make the optimizers of `--like` again, leave them out, and say why in a note."""
    from decay_audit import emit

    originals = emit.assign_copies(code_options.like or "", copies, plan) if copies else None
    if code_options.for_ != "torch":
        return _emit_for_framework(loaded, plan, options, code_options, others, originals)
    try:
        text = write_code(loaded, plan, code_options, options.rules, others, originals)
    except emit.DifferentOptimizerError as error:
        if originals is None:
            raise
        originals = replace(originals, failure=error.message)
        text = write_code(loaded, plan, code_options, options.rules, others, originals)
    fixed_rates = _note_on_fixed_rates(text, plan, code_options, others, originals)
    if originals is not None:
        left_out = [f"make_optimizer is left out: {why}" for why in originals.problems]
        return EmittedCode(text=text, notes=(*left_out, *fixed_rates))
    return EmittedCode(text=text, notes=(*emit.notes(plan, code_options.optimizer), *fixed_rates))


def _note_on_fixed_rates(
    text: str,
    plan: Plan,
    options: CodeOptions,
    others: Sequence[tuple[LoadedTarget, Plan]],
    originals: "OriginalOptimizers | None",
) -> tuple[str, ...]:
    """Say why code has the learning rates of layers as numbers, where the style `rule` has no function for them."""
    from decay_audit import emit

    has_layers = any(decision.layer_scale != 1.0 for decision in plan.decisions)
    if options.style != "rule" or not has_layers or "layer_decay: float" in text:
        return ()
    also = [(other.inventory.target, other_plan) for other, other_plan in others]
    reason = emit.layer_problem(plan, also, originals) or "a function of layers gives other groups than the ruleset"
    return (f"the learning rates of layers are numbers, for this model only: {reason}",)


def _emit_for_framework(
    loaded: LoadedTarget,
    plan: Plan,
    options: AuditOptions,
    code_options: CodeOptions,
    others: Sequence[tuple[LoadedTarget, Plan]],
    originals: "OriginalOptimizers | None",
) -> EmittedCode:
    """Write the code for a framework. If it calls code for torch, that code is first compared with the plan."""
    from decay_audit import emit
    from decay_audit.emit import frameworks

    framework = code_options.for_
    text = ""
    if framework in ("lightning", "trainer"):
        text = write_code(loaded, plan, code_options, options.rules, others, originals)
    types = type(loaded.built.model).__mro__ if loaded.built is not None else ()
    copy = next(iter(originals.copies.values())) if originals is not None else None
    request = frameworks.FrameworkRequest(
        plan=plan,
        target=loaded.inventory.target,
        optimizer=copy.type if copy is not None else code_options.optimizer or "AdamW",
        lr=copy.lr if copy is not None else code_options.lr,
        code=text,
        has_optimizer="def make_optimizer(" in text,
        is_lightning=any(kind.__name__ == "LightningModule" for kind in types),
    )
    written = frameworks.write(framework, request, approximate=code_options.approximate)
    if framework == "timm" and not written.differences and find_spec("timm") is not None:
        with import_context(loaded):
            emit.verify(written.text, plan, None if loaded.built is None else loaded.built.model)
    differing = [f"{name}: {reason}" for name, reason in written.differences.items()]
    approximations = [f"{framework} differs in {count_noun(len(differing), 'parameter')}: {first_few(differing, 5)}"]
    return EmittedCode(text=written.text, notes=(*written.notes, *(approximations if differing else ())))


def load_with_copies(
    target: str, options: AuditOptions, like: str | None, progress: Callable[[str], None]
) -> "tuple[LoadedTarget, tuple[OptimizerCopy, ...], tuple[Observation, ...]]":
    """Read a target, and copy the optimizers that an expression makes for it or that a checkpoint holds.

    Returns:
        The target; the copies; and what these optimizers do to each parameter. Without `like`, the last two are empty.

    Raises:
        DecayAuditError: the target cannot be read, or there is no optimizer.
    """
    request = request_for(target, options, progress)
    if like is None:
        return load(request), (), ()
    from decay_audit.emit.like import live, saved

    if targets.is_checkpoint(like):
        loaded = load(request)
        observed = observing.observe(loaded, replace(request, checkpoint=like))
        optimizers = [optimizer for optimizer in observed.optimizers if optimizer.origin == "checkpoint"]
        return loaded, saved.copy_saved_optimizers(optimizers), observed.observations
    request = replace(request, optimizer=like)
    loaded = load(request)
    if loaded.built is None or loaded.made_optimizers is None:
        raise DecayAuditError("a checkpoint alone cannot make an optimizer", "name its model as well: --model TARGET")
    from decay_audit.sources import module

    names = module.names_of_all(loaded.built.model, loaded.inventory, loaded.other_models)
    with import_context(loaded):
        copies = live.copy_optimizers(loaded.made_optimizers.optimizers, names, loaded.made_optimizers.log)
    return loaded, copies, observing.observe(loaded, request).observations


def write_code(
    loaded: LoadedTarget,
    plan: Plan,
    options: CodeOptions,
    rules: str = "",
    others: Sequence[tuple[LoadedTarget, Plan]] = (),
    originals: "OriginalOptimizers | None" = None,
) -> str:
    """Write the param groups of a plan as Python, execute the code, and compare its groups with the plan.

    If conditions on classes do not give the groups of the plan (a scripted module has lost its class), conditions on
    names are tried, and then lists of names.

    Args:
        rules: the ruleset as the user named it.
        others: other sizes of the model and their plans, for which the code must be right, too.
        originals: the optimizers that the code makes again, with their settings; `options` then has none.

    Raises:
        DecayAuditError: the optimizer is not known, or the code's groups differ from the plan.
    """
    from decay_audit import emit

    write = partial(_write_and_verify, loaded, plan, options, rules, others, originals)
    if options.style == "library":
        try:
            return write("library", known_classes=True)
        except emit.DifferentGroupsError as error:
            raise DecayAuditError(error.message, _LIBRARY_HINT) from error
    if options.style in ("names", "policy"):
        return write(options.style, known_classes=True)
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
    originals: "OriginalOptimizers | None",
    style: CodeStyle,
    *,
    known_classes: bool,
) -> str:
    """Write the code in a style, execute it for each target, and compare its groups with the target's plan."""
    from decay_audit import emit

    text = emit.write_code(
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
        originals=originals,
        named=options.named,
    )
    for target, target_plan in ((loaded, plan), *others):
        with import_context(target):
            emit.verify(text, target_plan, None if target.built is None else target.built.model, originals)
    return text
