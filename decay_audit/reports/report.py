"""The Report: all results of one audit in one value, which every format renders.

In Python and in a notebook: `print(report)` shows the findings or the table, a cell shows a tree, and the methods give
the report to other tools. The methods import what they need when they are called.
"""

from pathlib import Path
from typing import Any

from msgspec import Struct

from decay_audit.checks.codes import Finding
from decay_audit.model.choices import CoefficientSource
from decay_audit.model.inventory import Inventory
from decay_audit.model.observations import Observation, Optimizer
from decay_audit.rulesets.plan import Plan


class Report(Struct, frozen=True, kw_only=True, eq=False):
    """An inventory, the plan for it, what optimizers do, and the findings.

    Attributes:
        excepted: findings that do not count, because the project has an exception for them.
        weight_decay_from: where the base coefficient of the plan comes from.
        hidden: how many parameters of the model a filter has taken out of the inventory and the plan.
    """

    inventory: Inventory
    plan: Plan
    optimizers: tuple[Optimizer, ...] = ()
    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = ()
    excepted: tuple[Finding, ...] = ()
    hidden: int = 0
    weight_decay_from: CoefficientSource = "ruleset"

    def __repr__(self) -> str:
        """Keep the text short: the decisions on a large model have a million characters."""
        size = f"{len(self.plan.decisions)} parameters, {len(self.findings)} findings"
        return f"<Report {self.inventory.target!r} under {self.plan.ruleset.name}: {size}>"

    def __str__(self) -> str:
        """Show the findings, or the table where there is no finding, as the command line prints them."""
        from decay_audit import reports

        return reports.render_findings(self) if self.findings else reports.render(self)

    def _repr_html_(self) -> str:
        """Show the findings and the modules in a cell of a notebook."""
        from decay_audit import reports

        return reports.render_cell(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `--format json` as a dict."""
        from decay_audit import reports

        return reports.to_dict(self)

    def to_markdown(self) -> str:
        """Return the text of `--format markdown`."""
        from decay_audit import reports

        return reports.render(self, "markdown")

    def to_html(self, path: str | Path) -> None:
        """Write the page of `--output decay.html` to a file; without other rulesets and code.

        Raises:
            DecayAuditError: the file cannot be written.
        """
        from decay_audit import files, reports

        with files.atomic_write(Path(path)) as part:
            part.write_text(reports.render(self, "html"), encoding="utf-8")

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat row for each parameter, with the columns of CSV: `pandas.DataFrame(report.rows())`."""
        from decay_audit import reports

        return reports.rows(self)

    def scalars(self) -> dict[str, float]:
        """Return numbers to log: shares that decay, by role too, and findings by severity.

        >>> import torch, decay_audit
        >>> report = decay_audit.audit(torch.nn.Linear(3, 2))
        >>> report.scalars()["decay/parameters/bias"], report.scalars()["decay/parameters"]
        (0.0, 0.5)
        """
        from decay_audit import reports

        return reports.scalars(self)
