"""A Plan becomes the text of a Python module: `param_groups(model)` and, if asked for, `make_optimizer(model)`.

The module needs torch and nothing of decay-audit. The names of parameters are literals in it, and it raises ValueError
for a model whose parameters have other names. The template is `templates/param_groups.py.jinja`.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from decay_audit.emit import optimizer as optimizers
from decay_audit.emit.literals import LINE, comment, names, string
from decay_audit.errors import DecayAuditError
from decay_audit.model.parameters import WRAPPER_PARTS
from decay_audit.rulesets.plan import Decision, Plan, PlanGroup
from decay_audit.text import count_noun


class Construction(Struct, frozen=True, kw_only=True):
    """An optimizer that the code makes: the `use` of its groups, its class, and its other arguments as Python."""

    use: str | None
    class_path: str
    arguments: list[str]


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
        target: the target as the user wrote it, for the first comment.
        optimizer: a class of torch.optim, or a dotted path; where the plan has a `use` channel, a use that names no
            class of torch.optim gets this one.
        lr: learning rate of the optimizer, and of groups that scale it.
        settings: more arguments of the optimizer, each `name=value`, or `use.name=value` where there are several.

    Raises:
        DecayAuditError: the optimizer or a setting is not valid, or the plan has no param group.
    """
    groups = plan.groups()
    if not groups:
        raise DecayAuditError("the plan has no param group: every parameter is frozen and the ruleset skips those")
    settings = tuple(settings)
    arguments = optimizers.write_arguments(lr, settings, dict.fromkeys(group.use for group in groups))
    classes = _classes(groups, optimizer)
    scales_lr = any(group.lr_scale != 1.0 for group in groups)
    _check(lr, settings, scaled=scales_lr, has_optimizer=bool(classes))
    code: str = _template().render(
        target=target,
        ruleset=plan.ruleset,
        sizes=_sizes(plan),
        groups=groups,
        frozen=[decision.name for decision in plan.decisions if not decision.grouped],
        scales_lr=scales_lr,
        lr=None if lr is None else float(lr),
        has_routes=any(group.use is not None for group in groups),
        from_file=not any(decision.classified.parameter.owner.types for decision in plan.decisions),
        wrappers=", ".join(map(string, sorted(WRAPPER_PARTS))),
        modules=optimizers.modules(classes.values()),
        optimizers=[
            Construction(
                use=use,
                class_path=f"{chosen.module}.{chosen.name}",
                arguments=[f"{name}={value}" for name, value in arguments[use].items()],
            )
            for use, chosen in classes.items()
        ],
        longest_line=LINE,
    )
    return code


def notes(plan: Plan, optimizer: str | None = None) -> tuple[str, ...]:
    """Say which optimizer takes which groups, if the ruleset uses several optimizers."""
    groups = plan.groups()
    uses = [use for use in dict.fromkeys(group.use for group in groups) if use is not None]
    if not uses:
        return ()
    if optimizer is None:
        return (
            f"the key `use` of each group names its optimizer ({', '.join(uses)}); torch ignores that key. "
            "--optimizer AdamW --lr 3e-4 also writes make_optimizer, which gives each optimizer its groups",
        )
    classes = [f"{use} is {chosen.module}.{chosen.name}" for use, chosen in _classes(groups, optimizer).items()]
    return (f"{', '.join(classes)}; --set {uses[0]}.lr=0.02 is for one of them",)


def _check(lr: float | None, settings: Sequence[str], *, scaled: bool, has_optimizer: bool) -> None:
    """Refuse settings without an optimizer, and groups that scale a learning rate which is not given."""
    sets_rate = any(setting.partition("=")[0].rpartition(".")[2] == "lr" for setting in settings)
    if scaled and (sets_rate or (has_optimizer and lr is None)):
        raise DecayAuditError("the ruleset scales learning rates", "give the one that it scales: --lr 3e-4")
    if not has_optimizer and (settings or (lr is not None and not scaled)):
        what = "settings were" if settings else "a learning rate was"
        raise DecayAuditError(f"{what} given without an optimizer", "name its class: --optimizer AdamW")


def _classes(groups: Iterable[PlanGroup], optimizer: str | None) -> dict[str | None, optimizers.OptimizerClass]:
    if optimizer is None:
        return {}
    given = optimizers.parse_class(optimizer)
    return {group.use: optimizers.class_for_use(group.use, given) for group in groups}


def _template() -> Any:  # noqa: ANN401  (jinja2 is imported by the one verb that needs it)
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("decay_audit.emit"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  (it writes Python: every name passes through `string` or `comment`)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "repr": repr,
        "string": string,
        "comment": comment,
        "by_rule": _by_rule,
        "elements": lambda texts, indent: "\n".join(names(texts, indent)),
    }
    return environment.get_template("param_groups.py.jinja")


def _sizes(plan: Plan) -> list[str]:
    """How many parameters and elements the plan decays, spares and leaves out."""
    parts = {
        "decayed": [decision for decision in plan.decisions if decision.grouped and decision.decays],
        "spared": [decision for decision in plan.decisions if decision.grouped and not decision.decays],
        "frozen": [decision for decision in plan.decisions if not decision.grouped],
    }
    return [_size(word, decisions) for word, decisions in parts.items() if decisions or word != "frozen"]


def _size(word: str, decisions: Sequence[Decision]) -> str:
    elements = sum(decision.numel for decision in decisions)
    return f"{word:<8} {count_noun(elements, 'element')} in {count_noun(len(decisions), 'parameter')}"


def _by_rule(group: PlanGroup) -> list[tuple[str, list[str]]]:
    """The names in a group under the rules that decided: the order is free, for the code keeps the model's."""
    by_rule = groupby(sorted(group.decisions, key=_rule), key=_rule)
    return [
        (f"{rule} ({location})" if location else rule, [decision.name for decision in decisions])
        for (rule, location), decisions in by_rule
    ]


def _rule(decision: Decision) -> tuple[str, str]:
    return decision.rule, decision.location
