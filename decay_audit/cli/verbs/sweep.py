"""`decay-audit sweep`: many checkpoints, one row each."""

import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

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
        help="Checkpoint files, patterns such as 'runs/**/*.pt', folders with all that is below them, and URLs.",
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


def sweep(
    targets: Targets,
    *,
    output: Rows = None,
    resume: Resume = False,
    processes: Processes = None,
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
        sweeping.find_targets(targets), options, processes=processes or os.cpu_count() or 1, skip=names
    )
    failures: list[SweepRow] = []
    counts = [0, 0, 0]
    watched = _watched(rows, failures, counts, quiet=messages.quiet)
    if output is None:
        screen.write(sweep_files.csv_header())
        for row in watched:
            screen.write(sweep_files.csv_line(row))
    else:
        with sweep_files.open_rows(output, resume=resume) as write:
            for row in watched:
                write(row)
    _print_summary(counts, failures, len(names), messages)
    if failures:
        raise typer.Exit(2)


def _watched(
    rows: "Iterator[SweepRow]", failures: "list[SweepRow]", counts: list[int], *, quiet: bool
) -> "Iterator[SweepRow]":
    """Count the rows that pass, keep failures, and show the number and the elapsed time once a second."""
    begin = shown = time.monotonic()
    on_terminal = sys.stderr.isatty()
    for row in rows:
        counts[0] += 1
        counts[1] += bool(row.optimizer)
        counts[2] += bool(row.findings)
        if row.error:
            failures.append(row)
        now = time.monotonic()
        if not quiet and now - shown > (1 if on_terminal else 30):
            shown = now
            text = f"{count_noun(counts[0], 'checkpoint')} in {now - begin:.0f} s, {len(failures):,} not read"
            print(f"\r{text}" if on_terminal else text, end="" if on_terminal else "\n", file=sys.stderr, flush=True)
        yield row
    if on_terminal and shown != begin:
        print(file=sys.stderr)


def _print_summary(counts: list[int], failures: "list[SweepRow]", skipped: int, messages: OutputOptions) -> None:
    read = counts[0] - len(failures)
    before = f"; {skipped:,} were in the file before" if skipped else ""
    screen.print_message(
        f"{count_noun(read, 'checkpoint')} read, {counts[1]:,} with a saved optimizer, "
        f"{counts[2]:,} with findings{before}",
        quiet=messages.quiet,
    )
    if not failures:
        return
    screen.print_message(f"error: {count_noun(len(failures), 'checkpoint')} could not be read:", style="error")
    for row in failures[:_MAX_LISTED]:
        screen.print_message(f"  {escape_control(row.name)}: {escape_control(row.error)}")
    if len(failures) > _MAX_LISTED:
        screen.print_message(f"  and {len(failures) - _MAX_LISTED:,} more: the rows have the column `error`")
