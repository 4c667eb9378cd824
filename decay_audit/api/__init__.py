"""The verbs as functions: a target or a live model goes in, a Report, a plan or code comes out.

torch is imported only inside the functions that build or touch a model.
"""

import warnings
from collections.abc import Container, Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from decay_audit import roles, rulesets
from decay_audit.api.emitting import code
from decay_audit.api.loading import DEFAULT_RULES, Loaded, Request, file_of, load
from decay_audit.api.observing import Observed, observe, observe_live
from decay_audit.checks import check, coefficient_in_use, selected_codes
from decay_audit.errors import DecayAssertionError, DecayAuditError
from decay_audit.model.choices import Severity
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, UpdateFormula
from decay_audit.model.parameters import Parameter
from decay_audit.reports.report import Report
from decay_audit.roles.words import Classified
from decay_audit.rulesets import diff, explanation, plan as decisions
from decay_audit.rulesets.diff import RulesetComparison, RulesetMatch
from decay_audit.rulesets.explanation import Explanation
from decay_audit.rulesets.plan import Plan
from decay_audit.rulesets.ruleset import RuleSet

if TYPE_CHECKING:
    import torch

    from decay_audit.model.choices import Device

__all__ = [
    "DEFAULT_RULES",
    "Loaded",
    "Request",
    "assert_decay",
    "audit",
    "classify",
    "code",
    "compare",
    "explain",
    "file_of",
    "load",
    "load_rules",
    "param_groups",
    "plan",
    "read",
    "report",
    "which",
    "with_codes",
]


def read(target: "str | torch.nn.Module", *, device: "Device" = "auto", key: str | None = None) -> Inventory:
    """Read every parameter of a model: a target as on the command line, or a live module.

    Raises:
        TargetError: the target cannot be found, loaded or built.
    """
    if isinstance(target, str):
        return load(Request(target=target, device=device, key=key)).inventory
    from decay_audit.sources import module

    return module.read(module.require_module(target))


def classify(what: Inventory | Iterable[Parameter]) -> tuple[Classified, ...]:
    """Name the role and layer of every parameter, with evidence and confidence."""
    return roles.classify(what.parameters if isinstance(what, Inventory) else what)


def load_rules(name_or_file: "str | Path | RuleSet") -> RuleSet:
    """Load a preset by name, or a ruleset from a YAML file.

    Raises:
        RulesError: there is no such preset or file, or the file has mistakes (all of them are listed).
    """
    return name_or_file if isinstance(name_or_file, RuleSet) else rulesets.load(str(name_or_file))


def plan(
    what: "str | torch.nn.Module | Inventory | tuple[Classified, ...]",
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
) -> Plan:
    """Decide every parameter of a target, a live module, an inventory or classified parameters.

    Args:
        weight_decay: replaces the ruleset's base coefficient.

    Raises:
        DecayAuditError: something cannot be read, the ruleset gives no answer, or the coefficient is no number >= 0.
    """
    _check(weight_decay)
    ruleset = load_rules(rules)
    if isinstance(what, tuple):
        return decisions.plan(what, ruleset, weight_decay)
    return decisions.plan(classify(what if isinstance(what, Inventory) else read(what)), ruleset, weight_decay)


def _check(weight_decay: float | None) -> None:
    if weight_decay is not None and not (isfinite(weight_decay) and weight_decay >= 0):
        raise DecayAuditError(f"weight_decay is {weight_decay}", "it must be a finite number, 0 or more")


def report(loaded: Loaded, request: Request) -> Report:
    """Decide and compare what was loaded.

    Raises:
        DecayAuditError: the ruleset cannot be loaded or gives no answer, or the optimizer cannot be made or stepped.
    """
    observed = observe(loaded, request)
    target = request.model or request.target  # where code for the parameters can be made and run
    return _compare(loaded.inventory, observed, load_rules(request.rules), request.weight_decay, target)


def audit(
    model: "torch.nn.Module",
    optimizer: object = None,
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    measure: bool = False,
) -> Report:
    """Compare a live model and its optimizer with a ruleset.

    Args:
        optimizer: one, several in a list, tuple or dict, or what holds them; None to decide only.
        weight_decay: the base coefficient; by default the one that the optimizer works with.
        measure: also step copies with a gradient of zero, and compare what they do with what the groups say.

    Raises:
        DecayAuditError: the model or the optimizer cannot be read, or the ruleset gives no answer.
    """
    inventory = read(model)
    observed = Observed() if optimizer is None else observe_live(model, inventory, optimizer, measure=measure)
    return _compare(inventory, observed, load_rules(rules), weight_decay)


def assert_decay(
    model: "torch.nn.Module",
    optimizer: object,
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    measure: bool = False,
    ignore: Iterable[str] = (),
    fail_on: Severity = "error",
) -> Report:
    """Audit, and fail with the findings in the message if any is as bad as `fail_on`.

    Args:
        ignore: prefixes of codes that do not count, such as `DA3`.

    Raises:
        DecayAssertionError: there are such findings; it is an AssertionError.
        DecayAuditError: as for `audit`; or there is no optimizer, which is a failure and not a pass.
    """
    if optimizer is None:
        raise DecayAuditError("there is no optimizer to assert anything of", "audit(model) decides without one")
    found = with_codes(
        audit(model, optimizer, rules, weight_decay, measure=measure), selected_codes.select_codes((), ignore)
    )
    if selected_codes.has_failure(found.findings, fail_on):
        from decay_audit import reports

        raise DecayAssertionError(f"{reports.verdict(found)}\n\n{reports.render_findings(found)}")
    return found


def _compare(
    inventory: Inventory, observed: Observed, ruleset: RuleSet, weight_decay: float | None, target: str = ""
) -> Report:
    """Decide, and compare.

    Where an optimizer is seen and no coefficient is set, the ruleset takes over the one that is in use: a ruleset says
    which parameters decay, and its own number is only the default of where it comes from.
    """
    subjects, optimizers, observations = classify(inventory), observed.optimizers, observed.observations
    adopted = weight_decay is None and bool(observations)
    if adopted:
        decays_something = plan(subjects, ruleset, ruleset.weight_decay or 1.0)
        weight_decay = coefficient_in_use(decays_something, observations)
    decided = plan(subjects, ruleset, weight_decay)
    found = check(
        inventory,
        decided,
        optimizers,
        observations,
        target,
        coefficient_adopted=adopted,
        checkpoint=observed.beside,
    )
    return Report(inventory=inventory, plan=decided, optimizers=optimizers, observations=observations, findings=found)


def param_groups(
    model: "torch.nn.Module",
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    lr: float | None = None,
) -> list[dict[str, Any]]:
    """Make the param groups that a ruleset asks for, ready for an optimizer.

    Each group holds its tensors as `params` and sets `weight_decay`. Where the ruleset scales learning rates and `lr`
    is not given, it has `lr_scale`, which timm's schedulers read and torch ignores: a warning says so. Where the
    ruleset routes to several optimizers, `use` names the one that a group is for: give each optimizer its own.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    >>> groups = param_groups(model, weight_decay=0.05)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 0.05), (3, 0.0)]

    Raises:
        DecayAuditError: the ruleset cannot be loaded or gives no answer.
    """
    from decay_audit.sources import module

    tensors, groups = module.tensors_by_name(module.require_module(model)), plan(model, rules, weight_decay).groups()
    if lr is None and any(one.lr_scale != 1.0 for one in groups):
        warnings.warn("the ruleset scales learning rates, and torch ignores `lr_scale`: pass lr=...", stacklevel=2)
    return [
        {
            "params": [tensors[decision.classified.parameter.raw_name] for decision in group.decisions],
            "weight_decay": group.weight_decay,
            **_learning_rate(group.lr_scale, lr),
            **({} if group.use is None else {"use": group.use}),
        }
        for group in groups
    ]


def _learning_rate(scale: float, lr: float | None) -> dict[str, float]:
    unscaled = {} if scale == 1.0 else {"lr_scale": scale}
    return unscaled if lr is None else {"lr": lr * scale}


def explain(name: str, reported: Report) -> Explanation:
    """Tell one parameter's whole story, with what every other preset would decide.

    Raises:
        DecayAuditError: there is no such parameter.
    """
    here = reported.plan.ruleset
    others = [rulesets.load(preset) for preset in rulesets.presets() if preset != here.name]
    story = explanation.explain(reported.plan, name, others, reported.observations)
    updates = tuple(_update(one, reported) for one in story.observations)
    if story.decision.classified.parameter.trainable is False:  # no gradient at all: a step passes it by
        updates = tuple(replace(one, zero_gradient="") for one in updates)
    return replace(story, updates=updates)


def _update(observation: Observation, reported: Report) -> UpdateFormula:
    from decay_audit.optimizers import formulas

    place = (observation.optimizer, observation.origin)
    optimizer = next(one for one in reported.optimizers if (one.name, one.origin) == place)
    return formulas.update_formula(optimizer, optimizer.groups[observation.group])


def compare(
    loaded: Loaded, rules: "Sequence[str | Path | RuleSet]", weight_decay: float | None = None
) -> RulesetComparison:
    """Find the parameters that rulesets treat differently.

    Raises:
        DecayAuditError: a ruleset cannot be loaded, fewer than two have an answer, or the coefficient is no number.
    """
    _check(weight_decay)
    return diff.compare(classify(loaded.inventory), [load_rules(one) for one in rules], weight_decay)


def which(loaded: Loaded, request: Request) -> tuple[RulesetMatch, ...]:
    """Rank the presets by how well they tell what the optimizer of the request does, or the saved one.

    Raises:
        DecayAuditError: there is no optimizer, or it cannot be made.
    """
    observed = observe(loaded, request)
    if not observed.optimizers:
        raise DecayAuditError(
            "there is no optimizer to explain", "name one: --optimizer EXPRESSION, or a checkpoint that holds its state"
        )
    presets = [rulesets.load(name) for name in rulesets.presets()]
    groups = [group for optimizer in observed.optimizers for group in optimizer.groups]
    unplaced = [group.weight_decay for group in groups for name in group.parameters if not name]
    return diff.which(classify(loaded.inventory), observed.observations, presets, unplaced)


def with_codes(reported: Report, codes: Container[str]) -> Report:
    """Keep the findings of the codes that were asked for."""
    return replace(reported, findings=tuple(one for one in reported.findings if one.code in codes))
