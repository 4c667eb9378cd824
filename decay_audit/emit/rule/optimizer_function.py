"""Write the function `make_optimizer` of an emitted module, which makes the optimizer over the groups."""

from decay_audit.emit.construction import Construction
from decay_audit.emit.python import layout
from decay_audit.emit.python.literals import number, string
from decay_audit.emit.rule.rule_code import RuleCode


def write_optimizer(rule: RuleCode) -> list[str]:
    """Write the function `make_optimizer`; [] if no optimizer was asked for."""
    if not rule.constructions:
        return []
    arguments, passed = ["model: nn.Module"], ["model"]
    if rule.lr is not None and (rule.scales_lr or any(construction.shares_lr for construction in rule.constructions)):
        arguments.append(f"lr: float = {number(rule.lr)}")
        passed += ["lr"] if rule.scales_lr else []
    if rule.has_weight_decay:
        arguments.append(rule.weight_decay_argument)
        passed.append("weight_decay")
    if rule.layers is not None:
        arguments.append(rule.layers.argument)
        passed.append("layer_decay")
    call = f"param_groups({', '.join(passed)})"
    several = any(key.use is not None for key in rule.groups) and not rule.constructions[0].flag
    result = "dict[str, optim.Optimizer]" if several else "optim.Optimizer"
    return [
        *layout.write_brackets("def make_optimizer(", arguments, f") -> {result}:", 0),
        *(
            _several_optimizers(rule, call)
            if several
            else _optimizer_of_two_algorithms(rule, call)
            if rule.constructions[0].flag
            else _one_optimizer(rule, call)
        ),
    ]


def _one_optimizer(rule: RuleCode, call: str) -> list[str]:
    (construction,) = rule.constructions
    return [
        '    """Make the optimizer over the groups of `param_groups`."""',
        *layout.write_brackets(f"return {_class(construction)}(", [call, *_settings(rule, construction)], ")", 4),
    ]


def _several_optimizers(rule: RuleCode, call: str) -> list[str]:
    lines = [
        '    """Make each optimizer over the groups that name it as their `use`."""',
        f"    groups = {call}",
        "    return {",
    ]
    for construction in rule.constructions:
        if construction.use is None:
            key, groups = '"other"', '[group for group in groups if group.get("use") is None]'
        else:
            key = string(construction.use)
            groups = f'[group for group in groups if group.get("use") == {key}]'
        start = f"{key}: {_class(construction)}("
        lines += layout.write_brackets(start, [groups, *_settings(rule, construction)], "),", 8)
    return [*lines, "    }"]


def _optimizer_of_two_algorithms(rule: RuleCode, call: str) -> list[str]:
    """Write the body of `make_optimizer` for a class such as Muon with a built-in AdamW, chosen by a key of a group."""
    constructions = rule.constructions
    flag = constructions[0].flag
    flagged = [string(construction.use or "") for construction in constructions if construction.flag_is_true]
    settings = [
        f"{string(construction.use or '')}: {{{', '.join(_setting_items(rule, construction))}}}"
        for construction in constructions
    ]
    update = [f'"{flag}": use == {flagged[0]}' if flagged else f'"{flag}": False', "**settings[use]", "**group"]
    return [
        '    """Make one optimizer; a key of each group selects its algorithm."""',
        *layout.write_brackets("settings: dict[str, dict[str, Any]] = {", settings, "}", 4),
        f"    groups = {call}",
        "    for group in groups:",
        '        use = group.pop("use")',
        *layout.write_brackets("group.update({", update, "})", 8),
        f"    return {_class(constructions[0])}(groups)",
    ]


def _setting_items(rule: RuleCode, construction: Construction) -> list[str]:
    parts = (text.partition("=") for text in _settings(rule, construction))
    return [f"{string(name)}: {value}" for name, _, value in parts]


def _class(construction: Construction) -> str:
    return construction.class_path.removeprefix("torch.")


def _settings(rule: RuleCode, construction: Construction) -> list[str]:
    return [
        "lr=lr"
        if argument.startswith("lr=") and construction.shares_lr
        else "weight_decay=weight_decay"
        if argument.startswith("weight_decay=") and rule.has_weight_decay
        else argument
        for argument in construction.arguments
    ]
