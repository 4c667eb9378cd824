"""Write plans of one ruleset as the text of a Python module, whose function `param_groups(model)` tests conditions.

The module needs torch and nothing of decay-audit. Its template is `templates/rule.py.jinja`.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from msgspec.structs import replace

from decay_audit.emit.construction import Construction, imported_modules
from decay_audit.emit.groups import GroupKey, OriginalOptimizers, emitted_groups, group_key, scales_lr
from decay_audit.emit.python import layout, template
from decay_audit.emit.python.literals import LINE_LENGTH, comment, number, string
from decay_audit.emit.rule.branches import BranchCode, write_branches
from decay_audit.emit.rule.classes import is_installed
from decay_audit.emit.rule.kinds import Kind, find_kinds
from decay_audit.emit.rule.layers import (
    TIMM_FUNCTION,
    LayerCode,
    find_layers,
    write_groups,
    write_last_layer,
    write_layer_function,
)
from decay_audit.emit.rule.optimizer_function import write_optimizer
from decay_audit.emit.rule.policy import policy_groups, write_policy
from decay_audit.emit.rule.rule_code import RuleCode, write_coefficient, write_rate
from decay_audit.emit.rule.search import find_branches
from decay_audit.emit.rule.summary import summarize
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.rulesets.ruleset import RuleSet

NAME_AND_SHAPE_KEYS = frozenset({"name", "leaf", "name_regex", "leaf_regex", "ndim", "numel", "shape", "trainable"})
"""If a ruleset uses only these keys, it decides for modules of any class: its code raises no error for unknown ones."""

WRAPPERS = r'WRAPPERS = r"{}_(orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module)\."'
"""A constant of the emitted code: a pattern for what torch.compile, FSDP and checkpointing add to names."""

GROUPS_RETURN = 'return [group for group in groups if group["params"]]'
"""The last line of the emitted function: groups without parameters are left out."""


def write_code(
    plans: Sequence[Plan],
    targets: Sequence[str],
    constructions: Sequence[Construction] = (),
    lr: float | None = None,
    *,
    guard: bool = True,
    known_classes: bool = True,
    library_rules: str = "",
    originals: OriginalOptimizers | None = None,
) -> str:
    """Write the param groups of several plans by one ruleset as one function.

    Args:
        targets: what each plan is for, as the user wrote it.
        lr: the learning rate of all optimizers.
        guard: whether the code raises an error for a parameter that fits no condition.
        known_classes: whether conditions may ask for the class of a module.
        library_rules: the ruleset, by name or file, with which the function calls decay-audit; "" for conditions.
        originals: the existing optimizers that the code makes again; None for new optimizers.
    """
    groups = tuple(group.key for group in emitted_groups(plans, originals))
    rule = RuleCode(
        plans=tuple(plans),
        groups=groups,
        variables=_variables(groups),
        branches=(),
        constructions=tuple(constructions),
        lr=lr,
        library_rules=library_rules,
        originals=originals,
    )
    group_of = _group_finder(plans, groups, originals)
    return _render_conditions(rule, targets, group_of, guard=guard, known_classes=known_classes)


def write_layered_code(
    plans: Sequence[Plan],
    targets: Sequence[str],
    constructions: Sequence[Construction] = (),
    lr: float | None = None,
    *,
    guard: bool = True,
    known_classes: bool = True,
    originals: OriginalOptimizers | None = None,
) -> str:
    """Write plans whose learning rates fall from layer to layer. The arguments are those of `write_code`.

    Raises:
        DecayAuditError: the layers do not follow from names, or the groups differ in more than layer and decay.
    """
    layers = find_layers(plans, (group.key for group in emitted_groups(plans, originals)))
    decisions = [decision for plan in plans for decision in plan.decisions if decision.grouped]
    groups = tuple(GroupKey(weight_decay=value) for value in sorted({d.weight_decay for d in decisions}, reverse=True))
    indexes = {key.weight_decay: index for index, key in enumerate(groups)}
    rule = RuleCode(
        plans=tuple(plans),
        groups=groups,
        variables=_variables(groups),
        branches=(),
        constructions=tuple(constructions),
        lr=lr,
        originals=originals,
        layers=layers,
    )
    return _render_conditions(
        rule, targets, lambda decision: indexes[decision.weight_decay], guard=guard, known_classes=known_classes
    )


def _render_conditions(
    rule: RuleCode,
    targets: Sequence[str],
    group_of: Callable[[Decision], int],
    *,
    guard: bool,
    known_classes: bool,
) -> str:
    """Find the conditions that select each group, and write the module with them.

    Args:
        group_of: gives the index of a decision's group.
    """
    kinds = find_kinds(rule.plans, group_of, known_classes=known_classes)
    keys = _ruleset_keys(rule.ruleset)
    spared = [index for index, key in enumerate(rule.groups) if key.weight_decay == 0.0]
    guard = guard and len(rule.groups) > 1 and not keys <= NAME_AND_SHAPE_KEYS
    # a single group of layers, and code that calls decay-audit, have no conditions
    needs_none = bool(rule.library_rules) or (rule.layers is not None and len(rule.groups) == 1)
    rule = replace(rule, branches=() if needs_none else find_branches(kinds, keys, spared, guard=guard))
    message = _guard_message(names_class=known_classes and any(kind.classes for kind in kinds))
    branch_code = write_branches(rule.branches, dict(enumerate(rule.variables)), message)
    if rule.layers is not None:
        helper = tuple(write_layer_function(rule.layers))
        imports = branch_code.imports | ({TIMM_FUNCTION} if rule.layers.by_timm else set())
        branch_code = replace(branch_code, helper=helper, uses_bare_names=True, imports=imports)
    return _render(rule, targets, kinds, branch_code)


def write_policy_code(
    plans: Sequence[Plan], targets: Sequence[str], constructions: Sequence[Construction] = (), lr: float | None = None
) -> str:
    """Write the ruleset of the plans as a function of any model.

    Raises:
        DecayAuditError: a condition of the ruleset cannot be asked without an audit of the model.
    """
    ruleset = plans[0].ruleset
    groups = policy_groups(ruleset)
    variables = _variables(groups)
    variable_of = {key.weight_decay: variable for key, variable in zip(groups, variables, strict=True)}
    branch_code = write_policy(ruleset, variable_of.__getitem__)
    rule = RuleCode(
        plans=tuple(plans),
        groups=groups,
        variables=variables,
        branches=(),
        constructions=tuple(constructions),
        lr=lr,
        is_policy=True,
    )
    return _render(rule, targets, (), branch_code)


def _render(rule: RuleCode, targets: Sequence[str], kinds: Sequence[Kind], branch_code: BranchCode) -> str:
    return template.render(
        "rule.py.jinja",
        {"comment": comment},
        ruleset=rule.ruleset.name,
        proofs=[_proof(plan, target) for plan, target in zip(rule.plans, targets, strict=True)],
        originals=rule.originals,
        imports=_imports(rule, branch_code),
        constants=[*_wrappers(kinds, branch_code), *branch_code.constants],
        function=[*branch_code.helper, *_function(rule, branch_code)],
        optimizer=write_optimizer(rule),
    )


def _guard_message(*, names_class: bool) -> str:
    """Write the f-string of the error for a parameter that fits no condition."""
    class_text = " of {type(module).__name__}" if names_class else ""
    return f'f"no param group for {{name}}{class_text}"'


def _group_finder(
    plans: Sequence[Plan], groups: Sequence[GroupKey], originals: OriginalOptimizers | None
) -> Callable[[Decision], int]:
    indexes = {key: index for index, key in enumerate(groups)}
    has_scaled_lr = scales_lr(plans)
    return lambda decision: indexes[group_key(decision, originals, has_scaled_lr=has_scaled_lr)]


def _wrappers(kinds: Iterable[Kind], branch_code: BranchCode) -> list[list[str]]:
    """Write the constant for the names of wrappers, if conditions ask for whole names.

    DDP puts `module.` before names; it is not removed if the model itself has a submodule of that name.
    """
    has_own_module = any(name.startswith("module.") for kind in kinds for name in kind.names)
    return [[WRAPPERS.format("" if has_own_module else r"^module\.|")]] if branch_code.uses_bare_names else []


def _ruleset_keys(ruleset: RuleSet) -> frozenset[str]:
    """List the keys of all conditions of a ruleset, including those for learning rates and optimizers."""
    conditions = [rule.when for rule in ruleset.rules]
    conditions += [scale.when for scale in ruleset.lr_scale]
    conditions += [route.when for route in ruleset.routes if route.when is not None]
    return frozenset(chain.from_iterable(condition.keys() for condition in conditions))


def _proof(plan: Plan, target: str) -> str:
    """Write the comment that names a model on which the code was checked, with the counts of its parameters."""
    grouped = [decision for decision in plan.decisions if decision.grouped]
    decayed = sum(decision.decays for decision in grouped)
    frozen = len(plan.decisions) - len(grouped)
    counts = f"{decayed:,} decayed, {len(grouped) - decayed:,} not" + (f", {frozen:,} frozen" if frozen else "")
    return f"checked on  {target}: {counts}" if target else f"checked on  a model with {counts}"


def _imports(rule: RuleCode, branch_code: BranchCode) -> list[str]:
    """Write the imports in three sections, as `isort` does: standard library, installed packages, user's modules."""
    names: dict[str, set[str]] = {"torch": {"nn", *(["optim"] if rule.constructions else [])}}
    for module, name in branch_code.imports:
        names.setdefault(module, set()).add(name)
    lines = {module: layout.write_import(module, sorted(names[module])) for module in sorted(names)}
    setting_modules = rule.originals.modules if rule.originals else ()
    library = ["decay_audit"] if rule.library_rules else []
    whole_modules = sorted({*imported_modules(rule.constructions), *setting_modules, *library})
    sections = [
        [
            *(["import re"] if branch_code.uses_bare_names or branch_code.uses_patterns else []),
            *(f"from {module} import {name}" for module, name in branch_code.standard_imports),
            "from typing import Any",
        ],
        *(
            [
                *(f"import {module}" for module in whole_modules if is_installed(module) is installed),
                *(line for module in lines if is_installed(module) is installed for line in lines[module]),
            ]
            for installed in (True, False)
        ),
    ]
    return [line for section in sections if section for line in ("", *section)][1:]  # without the first empty line


def _variables(groups: Sequence[GroupKey]) -> tuple[str, ...]:
    """Choose a variable for each group: `decay`, `no_decay`, `muon`, `adamw_no_decay`."""
    uses = [key.use for key in groups]
    variables: list[str] = []
    for key in groups:
        words = [key.use] if key.use and key.use.isidentifier() and key.use.isascii() else []
        if not words or uses.count(key.use) > 1:
            words.append("no_decay" if key.weight_decay == 0.0 else "decay")
        name, count = "_".join(words), 1
        while name in variables:
            count += 1
            name = f"{'_'.join(words)}_{count}"
        variables.append(name)
    return tuple(variables)


def _function(rule: RuleCode, branch_code: BranchCode) -> list[str]:
    arguments = ["model: nn.Module"]
    if rule.scales_lr:
        arguments.append("lr: float" if rule.lr is None else f"lr: float = {number(rule.lr)}")
    if rule.has_weight_decay:
        arguments.append(rule.weight_decay_argument)
    if rule.layers is not None:
        arguments.append(rule.layers.argument)
    definition = layout.write_brackets("def param_groups(", arguments, ") -> list[dict[str, Any]]:", 0)
    if rule.library_rules:
        return [*definition, *_call_of_library(rule)]
    return [
        *definition,
        f'    """{_docstring(rule)}"""',
        *_body(rule, branch_code),
    ]


def _body(rule: RuleCode, branch_code: BranchCode) -> list[str]:
    if rule.layers is not None:
        return _loop_over_layers(rule, rule.layers, branch_code)
    return _single_group(rule) if len(rule.groups) == 1 else _loop_over_parameters(rule, branch_code)


def _docstring(rule: RuleCode) -> str:
    """Say what does not decay, or give the title of a policy if it fits."""
    title = f"{rule.ruleset.title.rstrip('.')}."
    fits = len(title) <= LINE_LENGTH - 10 and title.isprintable() and not set(title) & set('"\\')
    if rule.is_policy:
        return title if rule.ruleset.title and fits else "Make the param groups of any model by this ruleset."
    return summarize(rule.plans, LINE_LENGTH - 10)


def _call_of_library(rule: RuleCode) -> list[str]:
    arguments = ["model", string(rule.library_rules), *(["weight_decay"] if rule.has_weight_decay else [])]
    arguments += ["lr=lr"] if rule.scales_lr else []
    return [
        '    """Make the param groups that the ruleset asks for."""',
        *layout.write_brackets("return decay_audit.param_groups(", arguments, ")", 4),
    ]


def _single_group(rule: RuleCode) -> list[str]:
    condition = " if p.requires_grad" if rule.ruleset.frozen == "skip" else ""
    return [
        f"    params = [p for p in model.parameters(){condition}]",
        *layout.write_brackets("return [", [_group(rule, rule.groups[0], "params")], "]", 4),
    ]


def _loop_over_parameters(rule: RuleCode, branch_code: BranchCode) -> list[str]:
    lines = [f"    {', '.join(rule.variables)} = {', '.join(['[]'] * len(rule.variables))}"]
    if len(lines[0]) > LINE_LENGTH or len(rule.variables) > 3:
        lines = [f"    {variable} = []" for variable in rule.variables]
    lines += [*branch_code.before_loop, *_loop_start(rule, branch_code)]
    groups = [_group(rule, key, variable) for key, variable in zip(rule.groups, rule.variables, strict=True)]
    return [
        *lines,
        *branch_code.lines,
        "    groups: list[dict[str, Any]] = [",
        *(line for group in groups for line in _element(group)),
        "    ]",
        f"    {GROUPS_RETURN}",
    ]


def _loop_over_layers(rule: RuleCode, layers: LayerCode, branch_code: BranchCode) -> list[str]:
    return [
        *write_last_layer(layers),
        *_loop_start(rule, branch_code),
        *write_groups(
            layers,
            branch_code.lines,
            decays=any(key.weight_decay for key in rule.groups),
            spares=any(not key.weight_decay for key in rule.groups),
        ),
    ]


def _loop_start(rule: RuleCode, branch_code: BranchCode) -> list[str]:
    """Write the beginning of the loop over parameters: what is skipped, and the variables of conditions."""
    lines = ["    for name, p in model.named_parameters():"]
    if rule.ruleset.frozen == "skip":
        lines += ["        if not p.requires_grad:", "            continue"]
    if branch_code.uses_module:
        lines.append('        module = model.get_submodule(name.rpartition(".")[0])')
    if branch_code.uses_bare_names:
        lines.append('        bare_name = re.sub(WRAPPERS, "", name)')
    return lines


def _element(group: str) -> list[str]:
    if len(group) + 9 <= LINE_LENGTH:  # 8 spaces and a comma
        return [f"        {group},"]
    items = group[1:-1].split(", ")
    return [*layout.write_brackets("{", items, "},", 8)]


def _group(rule: RuleCode, key: GroupKey, variable: str) -> str:
    items = [f'"params": {variable}', f'"weight_decay": {write_coefficient(rule, key)}']
    if rule.scales_lr:
        items.append(f'"lr": {write_rate(rule, key)}')
    elif key.lr is not None:
        items.append(f'"lr": {number(key.lr)}')
    if key.use is not None:
        items.append(f'"use": {string(key.use)}')
    items += [f"{string(name)}: {text}" for name, text in key.settings]
    return f"{{{', '.join(items)}}}"
