"""Codebases whose configuration is a list of patterns: torchtitan, LLM Foundry, OLMo-core and basecls."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from decay_audit.errors import RulesError
from decay_audit.rulesets.importing.draft import Draft, DraftRule, WhenMapping, mapping_with, mappings, number, words

DEFAULTS = {"Adam": 0.0, "AdamW": 0.01, "SGD": 0.0, "Muon": 0.1}
"""The default weight_decay of torch's optimizers, for a group that gives none."""
_NORMS = (
    "torch.nn.modules.batchnorm._BatchNorm",
    "torch.nn.GroupNorm",
    "torch.nn.modules.instancenorm._InstanceNorm",
    "torch.nn.LayerNorm",
)
"""torch's classes that stand for MegEngine's classes of norms."""


def torchtitan(config: Any, name: str) -> Draft:  # noqa: ANN401 - plain values
    """Translate `param_groups`: a parameter is in the first group whose regular expression is found in its name."""
    groups = _groups(config, "param_groups", "pattern", 'param_groups=[ParamGroupConfig(pattern=".*", ...)]')
    options = [group.get("optimizer_kwargs") or {} for group in groups]
    optimizers = [str(group.get("optimizer_name", "AdamW")) for group in groups]
    coefficients = [
        _coefficient(option, optimizer, group["pattern"])
        for option, optimizer, group in zip(options, optimizers, groups, strict=True)
    ]
    conditions = _exclusive_conditions([group["pattern"] for group in groups])
    one_optimizer = len(set(optimizers)) == 1
    return Draft(
        name=name,
        title="Imported from a torchtitan configuration",
        source="pytorch/torchtitan, OptimizersContainer.param_groups",
        weight_decay=_most_frequent(coefficients),
        rules=_draft_rules([{"name_regex": group["pattern"]} for group in groups], coefficients),
        names="raw",
        refuses_rest=True,
        lr_scale=_scales(conditions, [option.get("lr") for option in options], options[-1].get("lr")),
        routes=()
        if one_optimizer
        else [({"name_regex": group["pattern"]}, use.lower()) for group, use in zip(groups, optimizers, strict=True)],
        notes=("torchtitan refuses a pattern that matches nothing; `decay-audit check` reports it as DA301.",),
        configuration=[
            {"pattern": group["pattern"], "optimizer_name": use, "optimizer_kwargs": option}
            for group, use, option in zip(groups, optimizers, options, strict=True)
        ],
    )


def llm_foundry(config: Any, name: str) -> Draft:  # noqa: ANN401
    """Translate `optimizer.param_groups`: a parameter is in the first group whose expression is found in its name."""
    example = "optimizer: {param_groups: [{param_str_match: ...}]}"
    optimizer = mapping_with(config, "param_groups", "disable_grad", example=example)
    groups = _groups(config, "param_groups", "param_str_match", example) if "param_groups" in optimizer else []
    base = number(optimizer.get("weight_decay", 0.0), "`weight_decay`")
    matches = [str(group["param_str_match"]) for group in groups]
    frozen = words(optimizer.get("disable_grad"))
    return Draft(
        name=name,
        title="Imported from an LLM Foundry configuration",
        source="mosaicml/llm-foundry, llmfoundry/utils/builders.py, _extract_param_groups",
        weight_decay=base,
        rules=_draft_rules(
            [{"name_regex": match} for match in matches],
            [number(group.get("weight_decay", base), "`weight_decay` of a group") for group in groups],
        ),
        frozen="include",
        lr_scale=_scales(_exclusive_conditions(matches), [group.get("lr") for group in groups], optimizer.get("lr")),
        notes=(
            *((f"disable_grad freezes what matches {', '.join(frozen)}: rules cannot say that.",) if frozen else ()),
            *(
                ("Composer's decoupled optimizers multiply by lr / initial lr, not by lr: coefficients differ.",)
                if str(optimizer.get("name", "")).startswith("decoupled")
                else ()
            ),
        ),
    )


def olmo_core(config: Any, name: str) -> Draft:  # noqa: ANN401
    """Translate `group_overrides`: globs over whole names, with options that replace the optimizer's own."""
    optimizer = mapping_with(
        config, "group_overrides", example='group_overrides: [{params: ["embeddings.weight"], opts: {...}}]'
    )
    base = number(optimizer.get("weight_decay", DEFAULTS["AdamW"]), "`weight_decay`")
    overrides = optimizer["group_overrides"] or []
    options = [override.get("opts") or {} for override in overrides]
    conditions: list[WhenMapping] = [{"name": words(override["params"])} for override in overrides]
    return Draft(
        name=name,
        title="Imported from an OLMo-core configuration",
        source="allenai/OLMo-core, olmo_core/optim/config.py, OptimConfig.build_groups",
        weight_decay=base,
        rules=_draft_rules(
            conditions,
            [number(option.get("weight_decay", base), "`weight_decay` of an override") for option in options],
        ),
        lr_scale=_scales(conditions, [option.get("lr") for option in options], optimizer.get("lr")),
        notes=("OLMo-core refuses overrides that overlap or match nothing; here the first that matches decides.",),
    )


def basecls(config: Any, name: str) -> Draft:  # noqa: ANN401
    """Translate `weight_decay`: pairs of a coefficient and a pattern or classes, then the coefficient of the rest."""
    values = (mapping.get("weight_decay") for mapping in mappings(config))
    policy = next((value for value in values if isinstance(value, list) and value), None)
    if policy is None:
        raise RulesError("the file has no list `weight_decay`", 'expected something like: [(0, "bias"), 1e-4]')
    *pairs, last = policy
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise RulesError("every entry of `weight_decay` but the last must be a pair of a coefficient and a pattern")
    base = number(last, "the last entry of `weight_decay`")
    return Draft(
        name=name,
        title="Imported from a basecls configuration",
        source="megvii-research/basecls, basecls/solver/weight_decay.py, get_param_groups",
        weight_decay=base,
        rules=_draft_rules(
            [_basecls_condition(pattern) for _, pattern in pairs],
            [number(value, "a coefficient") for value, _ in pairs],
        ),
        frozen="include",
    )


def _basecls_condition(pattern: Any) -> WhenMapping:  # noqa: ANN401
    """Make a condition: a quoted word is a pattern, and names that are not quoted are classes of MegEngine."""
    if type(pattern) is str:
        return {"name_regex": pattern}
    classes = [
        torch_class
        for name in map(str, pattern if isinstance(pattern, list) else [pattern])
        for torch_class in (_NORMS if name.endswith("NORM_TYPES") else (f"torch.nn.{name.rpartition('.')[2]}",))
    ]
    return {"owner": classes}


def _groups(config: Any, key: str, needed: str, example: str) -> list[dict[str, Any]]:  # noqa: ANN401
    """Find the non-empty list of mappings under a key."""
    for mapping in mappings(config):
        groups = mapping.get(key)
        if isinstance(groups, list) and groups and all(isinstance(group, dict) and needed in group for group in groups):
            return groups
    raise RulesError(
        f"the file has no list `{key}` whose entries have a `{needed}`", f"expected something like: {example}"
    )


def _draft_rules(conditions: Iterable[WhenMapping], coefficients: Iterable[float]) -> list[DraftRule]:
    pairs = enumerate(zip(conditions, coefficients, strict=True), start=1)
    return [DraftRule(name=f"group-{index}", when=when, weight_decay=value) for index, (when, value) in pairs]


def _coefficient(options: dict[str, Any], optimizer: str, pattern: str) -> float:
    value = options.get("weight_decay", DEFAULTS.get(optimizer))
    if value is None:
        raise RulesError(
            f"the group of `{pattern}` gives no `weight_decay`, and the default of {optimizer} is not known here",
            "write it into the group's optimizer_kwargs",
        )
    return number(value, f"`weight_decay` of the group of `{pattern}`")


def _most_frequent(coefficients: Sequence[float]) -> float:
    counts = Counter(value for value in reversed(coefficients) if value)
    return counts.most_common(1)[0][0] if counts else 0.0


def _exclusive_conditions(matches: Sequence[str]) -> list[WhenMapping]:
    """Make conditions that exclude the earlier patterns, because every matching `lr_scale` entry applies."""
    return [
        {"name_regex": match, "not": {"name_regex": list(matches[:index])}} if index else {"name_regex": match}
        for index, match in enumerate(matches)
    ]


def _scales(conditions: Iterable[WhenMapping], rates: Iterable[Any], base: Any) -> list[tuple[WhenMapping, float]]:  # noqa: ANN401
    """Express learning rates as factors on the base rate, if the base is a number; other rates are left out."""
    if isinstance(base, bool) or not isinstance(base, int | float) or base == 0:
        return []
    return [
        (when, rate / base)
        for when, rate in zip(conditions, rates, strict=True)
        if isinstance(rate, int | float) and rate != base
    ]
