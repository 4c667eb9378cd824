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


def settings_by_name(plan: Plan) -> dict[str, Setting]:
    """List the setting of each trainable parameter."""
    return {
        name: Setting(weight_decay=decision.weight_decay, lr_scale=decision.lr_scale, use=decision.use)
        for name, decision in trainable(plan).items()
    }


def differences(
    planned: Mapping[str, Setting], actual: Mapping[str, Setting], *, knows_rates: bool, knows_optimizers: bool
) -> dict[str, str]:
    """Find the parameters that a framework would treat in another way than the plan, and say how.

    Args:
        planned: the settings in the plan, by the names of parameters.
        actual: the settings that the framework would give them.
        knows_rates: whether the framework can scale learning rates; if not, it scales none.
        knows_optimizers: whether the framework can use several optimizers; if not, all parameters get the most
            frequent one.
    """
    uses = [setting.use for setting in planned.values()]
    main_use = max(dict.fromkeys(uses), key=uses.count, default=None)
    reasons: dict[str, str] = {}
    for name, setting_of_plan in planned.items():
        setting_of_framework = actual[name]
        if setting_of_framework.weight_decay != setting_of_plan.weight_decay:
            reasons[name] = f"weight_decay {setting_of_framework.weight_decay:g}, not {setting_of_plan.weight_decay:g}"
        elif setting_of_plan.lr_scale != (setting_of_framework.lr_scale if knows_rates else 1.0):
            reasons[name] = f"its learning rate is not scaled by {setting_of_plan.lr_scale:g}"
        elif setting_of_plan.use != (setting_of_framework.use if knows_optimizers else main_use):
            reasons[name] = f"it is not for the optimizer {setting_of_plan.use}"
    return reasons
