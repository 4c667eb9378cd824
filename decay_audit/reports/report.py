"""The Report: all results of one audit in one value, which every format renders."""

from msgspec import Struct

from decay_audit.checks.codes import Finding
from decay_audit.model.choices import CoefficientSource
from decay_audit.model.horizon import Horizon
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Plan


class Report(Struct, frozen=True, kw_only=True, eq=False):
    """An inventory, the plan for it, what optimizers do, and the findings.

    Attributes:
        excepted: findings that do not count, because the project has an exception for them.
        weight_decay_from: where the base coefficient of the plan comes from.
        horizon: what decay comes to over the whole run; None if the length of the run is not known.
        hidden: how many parameters of the model a filter has taken out of the inventory and the plan.
    """

    inventory: Inventory
    plan: Plan
    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = ()
    excepted: tuple[Finding, ...] = ()
    horizon: Horizon | None = None
    hidden: int = 0
    weight_decay_from: CoefficientSource = "ruleset"

    def __repr__(self) -> str:
        """Keep the text short: the decisions on a large model have a million characters."""
        size = f"{len(self.plan.decisions)} parameters, {len(self.findings)} findings"
        return f"<Report {self.inventory.target!r} under {self.plan.ruleset.name}: {size}>"
