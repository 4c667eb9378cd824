"""`check --write-baseline`: exceptions for today's findings, added at the end of the file with the settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from decay_audit import files
from decay_audit.api.options import OutputOptions
from decay_audit.cli import pyproject, screen
from decay_audit.model.choices import SEVERITIES
from decay_audit.text import count_noun

if TYPE_CHECKING:
    from decay_audit.cli.audits import Verdict


def write(verdicts: "Sequence[Verdict]", output: OutputOptions) -> None:
    """Add an exception for each finding of these audits that makes the check fail."""
    from decay_audit.checks import exceptions

    new_exceptions: list[exceptions.FindingException] = []
    for verdict in verdicts:
        request = verdict.audit.request
        failing_severities = SEVERITIES[: SEVERITIES.index(request.fail_on) + 1]
        new_exceptions += exceptions.make_baseline(
            [finding for finding in verdict.report.findings if finding.severity in failing_severities],
            [decision.name for decision in verdict.report.plan.decisions],
            verdict.audit.name or (verdict.report.inventory.target if verdict.audit.script else request.target),
        )
    file = pyproject.find(Path.cwd()) or Path("pyproject.toml")
    heading = "exceptions" if file.exists() and pyproject.is_whole_table(file) else "tool.decay-audit.exceptions"
    if new_exceptions:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        gap = "\n" if text and not text.endswith("\n\n") else ""
        with files.atomic_write(file, may_be_input=True) as path:
            path.write_text(
                text + gap + "\n".join(exceptions.as_toml(exception, heading) for exception in new_exceptions),
                encoding="utf-8",
                newline="\n",
            )
    count = count_noun(len(new_exceptions), "exception")
    hint = "; replace each `reason` by one of yours" if new_exceptions else ""
    screen.print_message(f"added {count} to {file.name}{hint}", quiet=output.quiet)
