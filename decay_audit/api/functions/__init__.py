"""The functions that Python code calls. Their keywords are options of the command line: same names, same defaults."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decay_audit import roles, rulesets
from decay_audit.api.functions.audit_report import AuditReport, for_python
from decay_audit.api.loading import load
from decay_audit.api.options import AUTO, DEFAULT_RULES
from decay_audit.api.pipeline import make_plan, raise_on_findings, run
from decay_audit.api.request import LiveModel, Request
from decay_audit.errors import DecayAuditError
from decay_audit.model.choices import Device, ScheduleInterval, Severity
from decay_audit.model.inventory import Inventory
from decay_audit.model.parameters import Parameter
from decay_audit.roles.words import Classified
from decay_audit.rulesets.plan import Plan
from decay_audit.rulesets.ruleset import RuleSet

if TYPE_CHECKING:
    import torch


def read(
    target: "str | torch.nn.Module",
    *,
    device: Device = "auto",
    key: str | None = None,
    no_trace: bool = False,
    no_cache: bool = False,
) -> Inventory:
    """Read every parameter of a model: a target as on the command line, or a live module.

    Args:
        no_trace: do not run the forward pass on fake tensors. By default it runs, for a short time, where classes and
            names leave a role uncertain. The model is left as it was.
        no_cache: read headers behind a URL again; neither read nor write the cache.

    Raises:
        TargetError: the target cannot be found, loaded or built.
    """
    if isinstance(target, str):
        return load(Request(target=target, device=device, key=key, no_trace=no_trace, no_cache=no_cache)).inventory
    return load(Request(live=LiveModel(model=target), no_trace=no_trace)).inventory


def classify(parameters: Inventory | Iterable[Parameter]) -> tuple[Classified, ...]:
    """Find the role and the layer of every parameter, with evidence and confidence."""
    return roles.classify(parameters.parameters if isinstance(parameters, Inventory) else parameters)


def load_rules(name_or_file: "str | Path | RuleSet") -> RuleSet:
    """Load a preset by its name, or a ruleset from a YAML file.

    Raises:
        RulesError: there is no such preset or file, or the file has mistakes (all of them are listed).
    """
    return name_or_file if isinstance(name_or_file, RuleSet) else rulesets.load(str(name_or_file))


def plan(
    model: "str | torch.nn.Module | Inventory | tuple[Classified, ...]",
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    no_trace: bool = False,
) -> Plan:
    """Decide every parameter of a target, a live module, an inventory or classified parameters.

    Args:
        weight_decay: replaces the ruleset's base coefficient.
        no_trace: do not run the forward pass: see `read`.

    Raises:
        DecayAuditError: something cannot be read, the ruleset has no answer for a parameter, or the coefficient is not
            a number >= 0.
    """
    ruleset = load_rules(rules)
    if isinstance(model, tuple):
        return make_plan(model, ruleset, weight_decay)
    inventory = model if isinstance(model, Inventory) else read(model, no_trace=no_trace)
    return make_plan(classify(inventory), ruleset, weight_decay)


def audit(  # noqa: PLR0913 - options
    model: "torch.nn.Module",
    optimizer: object = None,
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    measure: bool | None = None,
    steps: int | None = None,
    epoch_steps: int | None = None,
    schedule: object = None,
    schedule_every: ScheduleInterval = "step",
    invariance: bool | str | None = None,
    no_trace: bool = False,
) -> AuditReport:
    """Compare a live model and its optimizer with a ruleset.

    Args:
        optimizer: an optimizer; a list, tuple or dict of optimizers; or an object that has them, such as a Trainer;
            None: nothing is compared.
        weight_decay: the base coefficient; by default the one that the optimizer uses.
        measure: whether to run step() on a copy of the optimizer and compare the result with the param groups; None:
            only if its class is not known.
        steps: the number of optimizer steps of the whole run: the report then has what decay comes to over it.
        epoch_steps: the number of steps of one epoch.
        schedule: the scheduler of the optimizer, or a list of them, or a function of the optimizer and the step that
            writes the groups. A copy of it is stepped, so that the optimizer stays as it is.
        schedule_every: whether training steps the scheduler after every `step` or after every `epoch`.
        invariance: whether to measure which parameters can be multiplied by 2 without a change of the output, on a copy
            of the model in float64 with random weights; or the shapes of its inputs, such as `1x3x224x224`.
        no_trace: do not run the forward pass: see `read`.

    Raises:
        DecayAuditError: the model or the optimizer cannot be read, the ruleset has no answer for a parameter, or the
            schedule cannot be stepped.
    """
    request = Request(
        live=LiveModel(model=model, optimizer=optimizer, schedule=schedule),
        ruleset=load_rules(rules),
        weight_decay=weight_decay,
        measure=measure,
        steps=steps,
        epoch_steps=epoch_steps,
        schedule_every=schedule_every,
        invariance=AUTO if invariance is True else invariance or None,
        no_trace=no_trace,
    )
    return for_python(run(request))


def assert_decay(  # noqa: PLR0913 - options
    model: "torch.nn.Module",
    optimizer: object,
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    measure: bool | None = None,
    steps: int | None = None,
    epoch_steps: int | None = None,
    schedule: object = None,
    schedule_every: ScheduleInterval = "step",
    no_trace: bool = False,
    ignore: Iterable[str] = (),
    fail_on: Severity = "error",
) -> AuditReport:
    """Audit, and fail if a finding is at least as severe as `fail_on`. The message has the findings.

    Args:
        steps, epoch_steps, schedule, schedule_every: the whole run, as for `audit`; they add DA801 and DA802 (notes).
        no_trace: do not run the forward pass: see `read`.
        ignore: prefixes of codes that do not count, such as `DA3`.

    Raises:
        DecayAssertionError: there are such findings; it is an AssertionError.
        DecayAuditError: as for `audit`; also if there is no optimizer, because nothing would be checked.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test, and not the code of this package
    if optimizer is None:
        raise DecayAuditError("there is no optimizer to check", "pass one; audit(model) decides without an optimizer")
    live = LiveModel(model=model, optimizer=optimizer, schedule=schedule)
    report = run(
        Request(
            live=live,
            ruleset=load_rules(rules),
            weight_decay=weight_decay,
            measure=measure,
            steps=steps,
            epoch_steps=epoch_steps,
            schedule_every=schedule_every,
            no_trace=no_trace,
            ignore=tuple(ignore),
        )
    )
    raise_on_findings(report, fail_on)
    return for_python(report)


def param_groups(
    model: "torch.nn.Module",
    rules: "str | Path | RuleSet" = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    lr: float | None = None,
    no_trace: bool = False,
) -> list[dict[str, Any]]:
    """Make the param groups that a ruleset asks for, ready for an optimizer.

    Each group holds its tensors as `params` and sets `weight_decay`. Where the ruleset scales learning rates and `lr`
    is not given, a group has `lr_scale`, which timm's schedulers read and torch ignores: a warning says so. Where the
    ruleset uses several optimizers, `use` names the one that a group is for: give each optimizer its own groups.

    Roles are those that `decay-audit inspect` shows: where classes and names leave a role uncertain, the forward pass
    runs on fake tensors, unless `no_trace` is true. Call it before the model is sharded over processes.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    >>> groups = param_groups(model, weight_decay=0.05)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 0.05), (3, 0.0)]

    Raises:
        DecayAuditError: the ruleset cannot be loaded or has no answer for a parameter.
    """
    from decay_audit.sources import module

    tensors = module.tensors_by_name(module.require_module(model))
    groups = plan(model, rules, weight_decay, no_trace=no_trace).groups()
    if lr is None and any(group.lr_scale != 1.0 for group in groups):
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
    lr_scale = {} if scale == 1.0 else {"lr_scale": scale}
    return lr_scale if lr is None else {"lr": lr * scale}
