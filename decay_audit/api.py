"""The verbs as functions: a target or a live model goes in, a Report, a plan or code comes out.

torch is imported only inside the functions that build or touch a model.
"""

from collections.abc import Callable, Container, Iterable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from decay_audit import decisions, explanation, roles, rulefile
from decay_audit.checks import check
from decay_audit.decisions import Plan
from decay_audit.errors import DecayAuditError
from decay_audit.explanation import Explanation
from decay_audit.inventory import Inventory
from decay_audit.parameters import Parameter
from decay_audit.report import Report
from decay_audit.roles.words import Classified
from decay_audit.rules import RuleSet
from decay_audit.sources import target as targets

if TYPE_CHECKING:
    import torch

    from decay_audit.sources.module import Built, Device

DEFAULT_RULES = "no-norm-no-bias"


def quiet(_: str) -> None:
    """Report no progress."""


class Request(Struct, frozen=True, kw_only=True):
    """What to read and how to decide: the options of the command line, by the same names."""

    target: str
    rules: str = DEFAULT_RULES
    weight_decay: float | None = None
    device: "Device" = "auto"
    key: str | None = None
    progress: Callable[[str], None] = quiet


class Loaded(Struct, frozen=True, kw_only=True, eq=False):
    """What was read from a target, and the built model where there is one."""

    inventory: Inventory
    built: "Built | None" = None


def load(request: Request) -> Loaded:
    """Read a target of any form.

    Raises:
        TargetError: it cannot be found, loaded or built, or holds no parameter.
    """
    spec = targets.parse(request.target)
    if isinstance(spec, targets.CheckpointTarget):
        from decay_audit.sources import checkpoint

        request.progress(f"reading {request.target}")
        return _with_parameters(Loaded(inventory=checkpoint.read(spec.path, target=request.target, key=request.key)))
    request.progress("importing torch")
    from decay_audit.sources import module

    built = module.build(spec, device=request.device, progress=request.progress)
    return _with_parameters(Loaded(inventory=built.inventory, built=built))


def _with_parameters(loaded: Loaded) -> Loaded:
    if not loaded.inventory.parameters:
        raise DecayAuditError(
            f"{loaded.inventory.target} has no parameters",
            "no input is a failure, not a pass: name a model that has some",
        )
    return loaded


def read(target: "str | torch.nn.Module", *, device: "Device" = "auto", key: str | None = None) -> Inventory:
    """Read every parameter of a model: a target as on the command line, or a live module.

    Raises:
        TargetError: the target cannot be found, loaded or built.
    """
    if isinstance(target, str):
        return load(Request(target=target, device=device, key=key)).inventory
    from decay_audit.sources import module

    return module.read(target)


def classify(what: Inventory | Iterable[Parameter]) -> tuple[Classified, ...]:
    """Name the role and layer of every parameter, with evidence and confidence."""
    return roles.classify(what.parameters if isinstance(what, Inventory) else what)


def load_rules(name_or_file: "str | Path | RuleSet") -> RuleSet:
    """Load a preset by name, or a ruleset from a YAML file.

    Raises:
        RulesError: there is no such preset or file, or the file has mistakes (all of them are listed).
    """
    return name_or_file if isinstance(name_or_file, RuleSet) else rulefile.load(str(name_or_file))


def plan(
    what: "str | torch.nn.Module | Inventory | Iterable[Classified]",
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
) -> Plan:
    """Decide every parameter of a target, a live module, an inventory or classified parameters.

    Args:
        weight_decay: replaces the ruleset's base coefficient.

    Raises:
        DecayAuditError: something cannot be read, the ruleset gives no answer, or the coefficient is no number >= 0.
    """
    if weight_decay is not None and not (isfinite(weight_decay) and weight_decay >= 0):
        raise DecayAuditError(f"weight_decay is {weight_decay}", "it must be a finite number, 0 or more")
    ruleset = load_rules(rules)
    if isinstance(what, Inventory):
        return decisions.plan(classify(what), ruleset, weight_decay)
    if isinstance(what, Iterable) and not isinstance(what, str) and not hasattr(what, "named_parameters"):
        return decisions.plan(what, ruleset, weight_decay)
    return decisions.plan(classify(read(what)), ruleset, weight_decay)


def report(loaded: Loaded, request: Request) -> Report:
    """Decide and compare what was loaded."""
    decided = plan(loaded.inventory, request.rules, request.weight_decay)
    return Report(inventory=loaded.inventory, plan=decided, findings=check(loaded.inventory, decided))


def param_groups(
    model: "torch.nn.Module",
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    lr: float | None = None,
) -> list[dict[str, Any]]:
    """Make the param groups that a ruleset asks for, ready for an optimizer.

    Each group holds its tensors as `params` and sets `weight_decay`; where the ruleset scales learning rates, it has
    `lr` (if `lr` is given) or else `lr_scale`.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    >>> groups = param_groups(model, weight_decay=0.05)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 0.05), (3, 0.0)]

    Raises:
        DecayAuditError: the ruleset cannot be loaded or gives no answer.
    """
    tensors = dict(model.named_parameters())
    return [
        {
            "params": [tensors[decision.subject.parameter.raw_name] for decision in group.decisions],
            "weight_decay": group.weight_decay,
            **_learning_rate(group.lr_scale, lr),
            **({} if group.use is None else {"use": group.use}),
        }
        for group in plan(model, rules, weight_decay).groups()
    ]


def _learning_rate(scale: float, lr: float | None) -> dict[str, float]:
    if scale == 1.0:
        return {} if lr is None else {"lr": lr}
    return {"lr_scale": scale} if lr is None else {"lr": lr * scale}


def code(loaded: Loaded, decided: Plan, *, optimizer: str | None = None, **options: Any) -> str:  # noqa: ANN401
    """Write the param groups of a plan as Python, execute it, and compare it with the plan.

    Raises:
        DecayAuditError: the optimizer is not known, or the code's groups differ from the plan.
    """
    from decay_audit import emit

    text = emit.code(decided, target=loaded.inventory.target, optimizer=optimizer, **options)
    emit.verify(text, decided, None if loaded.built is None else loaded.built.model)
    return text


def explain(name: str, reported: Report) -> Explanation:
    """Tell one parameter's whole story, with what every other preset would decide.

    Raises:
        DecayAuditError: there is no such parameter.
    """
    here = reported.plan.ruleset
    others = [rulefile.load(preset) for preset in rulefile.presets() if preset != here.name]
    return explanation.explain(reported.plan, name, others, reported.observations)


def with_codes(reported: Report, codes: Container[str]) -> Report:
    """Keep the findings of the codes that were asked for."""
    return replace(reported, findings=tuple(one for one in reported.findings if one.code in codes))
