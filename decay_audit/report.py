"""Everything one run has to say, as one value: what reports render and the JSON contract is made from."""

from msgspec import Struct

from decay_audit.findings import Finding
from decay_audit.inventory import Inventory
from decay_audit.observations import Observation, Optimizer
from decay_audit.decisions import Plan


class Report(Struct, frozen=True, kw_only=True, eq=False):
    """An inventory, the plan for it, what optimizers do, and the findings."""

    inventory: Inventory
    plan: Plan
    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = ()
