"""AuditReport: the report for Python. It can be printed, shown in a notebook, saved, and passed to other tools."""

from pathlib import Path
from typing import Any

from decay_audit import files, reports
from decay_audit.api.functions.page_parts import page_parts
from decay_audit.reports import Options
from decay_audit.reports.report import Report


class AuditReport(Report, frozen=True, kw_only=True, eq=False):
    """A Report with methods for Python, notebooks, data frames and experiment trackers."""

    def __str__(self) -> str:
        """Show the findings, or the table where there is no finding, as the command line prints them."""
        return reports.render_findings(self) if self.findings else reports.render(self)

    def _repr_html_(self) -> str:
        """Show the findings and the modules in a cell of a notebook."""
        return reports.render_cell(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `--format json` as a dict."""
        return reports.to_dict(self)

    def to_markdown(self) -> str:
        """Return the text of `--format markdown`."""
        return reports.render(self, "markdown")

    def to_html(self, path: str | Path) -> None:
        """Write the page of `--output decay.html` to a file; it has no emitted code.

        Raises:
            DecayAuditError: the file cannot be written.
        """
        with files.atomic_write(Path(path)) as part:
            part.write_text(reports.render(self, "html", Options(page=page_parts(self))), encoding="utf-8")

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat row for each parameter, with the columns of CSV: `pandas.DataFrame(report.rows())`."""
        return reports.rows(self)

    def scalars(self) -> dict[str, float]:
        """Return numbers to log: shares that decay, by role too, and findings by severity.

        >>> import torch, decay_audit
        >>> report = decay_audit.audit(torch.nn.Linear(3, 2))
        >>> report.scalars()["decay/parameters/bias"], report.scalars()["decay/parameters"]
        (0.0, 0.5)
        """
        return reports.scalars(self)


def for_python(report: Report) -> AuditReport:
    """Make an AuditReport with the fields of a report."""
    return AuditReport(**{name: getattr(report, name) for name in report.__struct_fields__})
