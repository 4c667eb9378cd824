"""`decay-audit sweep`: many checkpoints, one row each."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api.options import AuditOptions, Option, OutputOptions
from decay_audit.cli import screen
from decay_audit.cli.command import takes
from decay_audit.errors import DecayAuditError
from decay_audit.text import count_noun, escape_control

if TYPE_CHECKING:
    from decay_audit.api.functions.sweeping import SweepRow

_MAX_LISTED = 20
"""The most checkpoints that could not be read that are listed at the end."""

Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="GLOB|FOLDER|URL...",
        help="Checkpoint files, patterns such as 'runs/**/*.pt' or 's3://bucket/*/last.pt', folders with all that is "
        "below them, URLs, and hf://ORG for all models of an organisation.",
        show_default=False,
    ),
]
Rows = Annotated[
    str | None,
    Option(
        "Output",
        "The file for the rows: .csv, .jsonl or .parquet; by default CSV on standard output.",
        metavar="FILE",
        short="-o",
    ),
]
Resume = Annotated[bool, Option("Output", "Continue the file: leave out the checkpoints that it has rows of.")]
Processes = Annotated[int | None, Option("Output", "How many processes read; by default one a core.", metavar="N")]
Cluster = Annotated[
    str | None,
    Option(
        "Output",
        "Let the workers of a Dask cluster read: the address of its scheduler.",
        metavar="ADDRESS",
    ),
]


def sweep(
    targets: Targets,
    *,
    output: Rows = None,
    resume: Resume = False,
    processes: Processes = None,
    cluster: Cluster = None,
    options: Annotated[AuditOptions, takes("Ruleset", names=("key", "no_cache", "select", "ignore"))],
    messages: Annotated[OutputOptions, takes(names=("color", "quiet"))],
) -> None:
    """Read many checkpoints, and write one row for each.

    A row has the form, the parameters and elements, the share that decays by role, the saved optimizer and its
    coefficient, and the findings. A checkpoint that cannot be read gets a row with the reason, and the exit code is
    then 2. Findings do not change the exit code.
    """
    from decay_audit.api.functions import sweep_files, sweeping

    names: set[str] = set()
    if output is not None:
        sweep_files.require_format(output, resume=resume)
        names = sweep_files.read_names(output) if resume else names
    elif resume:
        raise DecayAuditError("--resume needs the file to continue", "-o FILE")
    rows = sweeping.sweep(
        sweeping.find_targets(targets, output=output),
        options,
        processes=processes or os.cpu_count() or 1,
        cluster=cluster,
        skip=names,
    )
    on_same_terminal = output is None and sys.stdout.isatty()
    summary = _Summary()
    table = sweep_files.open_rows(output, resume=resume) if output is not None else _rows_on_screen()
    with screen.progress(replace(messages, quiet=messages.quiet or on_same_terminal)) as progress, table as write:
        for row in rows:
            write(row)
            summary.add(row)
            progress(f"{count_noun(summary.rows, 'checkpoint')}, {len(summary.failures):,} not read")
    _print_summary(summary, len(names), messages)
    if summary.failures:
        raise typer.Exit(2)


class _Summary(Struct, kw_only=True):
    """Counts the rows, and keeps those of checkpoints that could not be read."""

    rows: int = 0
    with_optimizer: int = 0
    with_findings: int = 0
    failures: list["SweepRow"] = []

    def add(self, row: "SweepRow") -> None:
        """Count a row."""
        self.rows += 1
        self.with_optimizer += bool(row.optimizer)
        self.with_findings += bool(row.findings)
        if row.error:
            self.failures.append(row)


@contextmanager
def _rows_on_screen() -> Iterator[Callable[["SweepRow"], None]]:
    """Write rows as CSV to standard output."""
    from decay_audit.api.functions import sweep_files

    screen.write(sweep_files.csv_header())
    yield lambda row: screen.write(sweep_files.csv_line(row))


def _print_summary(summary: _Summary, skipped: int, messages: OutputOptions) -> None:
    failures = summary.failures
    before = f"; {skipped:,} were in the file before" if skipped else ""
    screen.print_message(
        f"{count_noun(summary.rows - len(failures), 'checkpoint')} read, {summary.with_optimizer:,} with a saved "
        f"optimizer, {summary.with_findings:,} with findings{before}",
        quiet=messages.quiet,
    )
    if not failures:
        return
    screen.print_message(f"error: {count_noun(len(failures), 'checkpoint')} could not be read:", style="error")
    for row in failures[:_MAX_LISTED]:
        screen.print_message(f"  {escape_control(row.name)}: {escape_control(row.error)}")
    if len(failures) > _MAX_LISTED:
        screen.print_message(f"  and {len(failures) - _MAX_LISTED:,} more: the rows have the column `error`")
