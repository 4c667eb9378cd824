"""Write a Plan as a Python module that lists names: `param_groups(model)` and, on request, `make_optimizer(model)`.

The module needs torch and nothing of decay-audit. The names of parameters are literals in it, and it raises ValueError
for a model whose parameters have other names. The template is `templates/names.py.jinja`.
"""

from collections.abc import Sequence
from itertools import groupby

from decay_audit.emit.construction import Construction, imported_modules
from decay_audit.emit.groups import EmittedGroup, OriginalOptimizers, emitted_groups
from decay_audit.emit.python import template
from decay_audit.emit.python.literals import LINE_LENGTH, comment, names, string
from decay_audit.model.parameters import WRAPPER_PARTS
from decay_audit.rulesets.plan import Decision, Plan
from decay_audit.text import count_noun


def write_code(
    plan: Plan,
    target: str,
    constructions: Sequence[Construction],
    lr: float | None,
    originals: OriginalOptimizers | None = None,
) -> str:
    """Write the param groups of a plan as lists of names. The plan must have a group.

    Args:
        target: the target as the user wrote it, for the first comment.
        lr: the base learning rate; a group may have a multiple of it.
        originals: the existing optimizers that the code makes again; None for a new optimizer.
    """
    groups = emitted_groups([plan], originals)
    return template.render(
        "names.py.jinja",
        {
            "repr": repr,
            "string": string,
            "comment": comment,
            "names_by_rule": _names_by_rule,
            "elements": lambda texts, indent: "\n".join(names(texts, indent)),
        },
        target=target,
        ruleset=plan.ruleset,
        sizes=_sizes(plan),
        groups=groups,
        frozen=[decision.name for decision in plan.decisions if not decision.grouped],
        originals=originals,
        scales_lr=any(group.key.lr_scale != 1.0 for group in groups),
        lr=None if lr is None else float(lr),
        has_routes=any(group.key.use is not None for group in groups),
        from_file=not any(decision.classified.parameter.owner.types for decision in plan.decisions),
        wrappers=", ".join(map(string, sorted(WRAPPER_PARTS))),
        modules=sorted({"torch", *imported_modules(constructions), *(originals.modules if originals else ())}),
        optimizers=constructions,
        longest_line=LINE_LENGTH,
    )


def _sizes(plan: Plan) -> list[str]:
    """Count the parameters and elements that the plan decays, spares and skips."""
    parts = {
        "decayed": [decision for decision in plan.decisions if decision.grouped and decision.decays],
        "spared": [decision for decision in plan.decisions if decision.grouped and not decision.decays],
        "frozen": [decision for decision in plan.decisions if not decision.grouped],
    }
    return [_size(word, decisions) for word, decisions in parts.items() if decisions or word != "frozen"]


def _size(word: str, decisions: Sequence[Decision]) -> str:
    elements = sum(decision.numel for decision in decisions)
    return f"{word:<8} {count_noun(elements, 'element')} in {count_noun(len(decisions), 'parameter')}"


def _names_by_rule(group: EmittedGroup) -> list[tuple[str, list[str]]]:
    """List the names in a group by the rule that decided. Their order does not matter: the code uses the model's."""
    by_rule = groupby(sorted(group.decisions, key=_rule), key=_rule)
    return [
        (f"{rule} ({location})" if location else rule, [decision.name for decision in decisions])
        for (rule, location), decisions in by_rule
    ]


def _rule(decision: Decision) -> tuple[str, str]:
    return decision.rule, decision.location
