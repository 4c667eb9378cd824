"""The words of findings: parameters counted by kind, coefficients, rules, and fixes as a command or as Python."""

from collections import Counter
from collections.abc import Iterable, Sequence

from decay_audit.errors import shell_join
from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.roles.words import FAMILIES, NOUNS, Role
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import count_noun, format_coefficient, join_words, list_numbers

_KIND_NOUNS: dict[Role, tuple[str, str]] = {
    **NOUNS,
    **dict.fromkeys(FAMILIES["norm"], ("norm parameter", "norm parameters")),
    **dict.fromkeys(FAMILIES["weight"], ("weight", "weights")),
}
"""Singular and plural; norm weights and norm biases are counted together, and so are plain weights."""

_SCHEDULED_LR_KEYS = ("initial_lr", "max_lr", "peak_lr")
"""Keys under which schedulers keep a learning rate in a group: before the schedule, or at its top as in OneCycleLR."""


def count_by_kind(decisions: Sequence[Decision]) -> str:
    """Count parameters by kind, the most frequent first: `62 norm parameters and 1 bias`."""
    counts = Counter(_KIND_NOUNS[decision.classified.role] for decision in decisions)
    return join_words([count_noun(count, singular, plural) for (singular, plural), count in counts.most_common()])


def coefficient_text(value: float) -> str:
    """Write a coefficient that may have been measured, to 6 significant digits: `5e-4`, `0.05`, `0`."""
    return format_coefficient(float(f"{value:.6g}"))


def rules_with_locations(decisions: Iterable[Decision]) -> str:
    """Name the rules that decided, with their locations: `rule norms (no-norm-no-bias.yaml:9)`."""
    rules = {
        f"{decision.rule} ({decision.location})" if decision.location else decision.rule: None for decision in decisions
    }
    return f"{'rules' if len(rules) > 1 else 'rule'} {', '.join(rules)}"


def emit_command(plan: Plan, target: str, options: Sequence[str] = ()) -> str:
    """Write the command that makes the ruleset's param groups. For a model in memory (`target` is ""), write Python.

    Args:
        options: the options with which `emit` reads the target, and makes the optimizers again.
    """
    ruleset = plan.ruleset
    rules = ruleset.name if ruleset.preset else ruleset.file or ruleset.name
    if not target:
        return f"decay_audit.param_groups(model, rules={rules!r}, weight_decay={ruleset.weight_decay:.12g})"
    words = (target, "--rules", rules, "--weight-decay", f"{ruleset.weight_decay:.12g}", *options)
    return f"decay-audit emit {shell_join(words)}"


_TOO_LARGE_FOR_ADAMW = 0.1
"""A learning rate that suits LBFGS or SGD is not offered for AdamW."""


def use_another_class(plan: Plan, optimizers: Sequence[Optimizer], target: str, options: Sequence[str] = ()) -> str:
    """Say what to do where the optimizer's class has no weight decay, or ignores its coefficient."""
    types = join_words(list(dict.fromkeys(optimizer.type for optimizer in optimizers)))
    # `--like` keeps the class, which is at fault here; it is the last option
    kept = options[: options.index("--like")] if "--like" in options else options
    live = [lr for optimizer in optimizers for group in optimizer.groups if (lr := peak_lr(group))]
    rates = [lr for lr in live if lr < _TOO_LARGE_FOR_ADAMW]
    scales_lr = any(decision.lr_scale != 1.0 for decision in plan.decisions)
    lr_words = ["--lr", coefficient_text(max(rates, default=1e-3))] if rates or scales_lr else []
    words = [*kept, "--optimizer", "AdamW", *lr_words] if target else []
    return f"{types} applies no weight decay; use a class that does: {emit_command(plan, target, words)}"


def group_names(indices: Sequence[int], count: int, optimizer: str) -> str:
    """Name some of the `count` groups of an optimizer: `group 0 of SGD`, `both groups of SGD`, `all 3 groups of SGD`.

    >>> group_names([0, 2], 4, "AdamW"), group_names([*range(9)], 12, "AdamW")
    ('groups 0 and 2 of AdamW', 'groups 0-8 of AdamW')
    """
    if len(indices) == 1:
        return f"group {indices[0]} of {optimizer}"
    if len(indices) == count:
        return f"both groups of {optimizer}" if count == 2 else f"all {count} groups of {optimizer}"
    return f"groups {list_numbers(indices)} of {optimizer}"


def peak_lr(group: ParamGroup) -> float | None:
    """Find the largest learning rate of a group: now, or where its schedule starts or peaks. None if it has none."""
    scheduled = [group.hyperparameters.get(key) for key in _SCHEDULED_LR_KEYS]
    return max((lr for lr in (group.lr, *scheduled) if isinstance(lr, int | float)), default=None)
