"""Everything one run has to say, as one value: what reports render and the JSON contract is made from."""

from msgspec import Struct

from decay_audit.checks.codes import Finding
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Plan


class Report(Struct, frozen=True, kw_only=True, eq=False):
    """An inventory, the plan for it, what optimizers do, and the findings.

    Attributes:
        hidden: how many of the model's parameters a selection has taken out of the inventory and the plan.
    """

    inventory: Inventory
    plan: Plan
    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = ()
    hidden: int = 0

    def __repr__(self) -> str:
        """Stay short where a session prints it: a large model has a million characters of decisions."""
        size = f"{len(self.plan.decisions)} parameters, {len(self.findings)} findings"
        return f"<Report {self.inventory.target!r} under {self.plan.ruleset.name}: {size}>"
