"""The settings that a plan gives the trainable parameters. Frameworks leave frozen parameters out themselves."""

from collections.abc import Mapping

from msgspec import Struct

from decay_audit.rulesets.plan import Decision, Plan


class Setting(Struct, frozen=True, kw_only=True):
    """What a ruleset decides for a parameter."""

    weight_decay: float
    lr_scale: float = 1.0
    use: str | None = None


def trainable(plan: Plan) -> Mapping[str, Decision]:
    """List the decisions on trainable parameters by the names that the framework sees."""
    return {
        decision.classified.parameter.raw_name: decision
        for decision in plan.decisions
        if decision.grouped and decision.classified.parameter.trainable is not False
    }


def setting(decision: Decision) -> Setting:
    """Return the setting of a parameter."""
    return Setting(weight_decay=decision.weight_decay, lr_scale=decision.lr_scale, use=decision.use)


def settings_by_name(plan: Plan) -> dict[str, Setting]:
    """List the setting of each trainable parameter."""
    return {name: setting(decision) for name, decision in trainable(plan).items()}


def differences(
    wanted: Mapping[str, Setting], actual: Mapping[str, Setting], *, knows_rates: bool, knows_optimizers: bool
) -> dict[str, str]:
    """Find the parameters that a framework would treat in another way than the plan, and say how.

    Args:
        wanted: what the plan decides.
        actual: what the framework does.
        knows_rates: whether the framework can scale learning rates; if not, it scales none.
        knows_optimizers: whether the framework can use several optimizers; if not, all parameters get the most
            frequent one.
    """
    uses = [setting.use for setting in wanted.values()]
    main_use = max(dict.fromkeys(uses), key=uses.count, default=None)
    reasons: dict[str, str] = {}
    for name, planned in wanted.items():
        done = actual[name]
        if done.weight_decay != planned.weight_decay:
            reasons[name] = f"weight_decay {done.weight_decay:g}, not {planned.weight_decay:g}"
        elif planned.lr_scale != (done.lr_scale if knows_rates else 1.0):
            reasons[name] = f"its learning rate is not scaled by {planned.lr_scale:g}"
        elif planned.use != (done.use if knows_optimizers else main_use):
            reasons[name] = f"it is not for the optimizer {planned.use}"
    return reasons
