"""The command that a script is run by, what the recorder wrote, and the reports on it."""

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from decay_audit.model.records import Record
from decay_audit.reports.report import Report

if TYPE_CHECKING:
    from decay_audit.sources.run.launch import LaunchResult
    from decay_audit.sources.run.read_records import ProcessRecords


class ScriptRun(Struct, frozen=True, kw_only=True):
    """A command to run under the recorder.

    Attributes:
        words: a script and its arguments, a module and its arguments, or a command.
        as_module: whether the first word is the name of a module, as after `python -m`.
        pretend: what to replace on this machine: `gpu`, `world` or `data`.
        watch: let the script train on, and print each change of its param groups.
        scratch: run in a temporary copy of the folder.
        folder: the folder to run in.
        until: when to stop it: `made` (when an optimizer exists), `first-step`, a number of steps, or `end`.
    """

    words: tuple[str, ...]
    as_module: bool = False
    until: str = "first-step"
    timeout: float | None = None
    pretend: tuple[str, ...] = ()
    scratch: bool = False
    watch: bool = False
    folder: Path = Path()


class ScriptResult(Struct, frozen=True, kw_only=True, eq=False):
    """The models and optimizers that a command made, and how it ended.

    Attributes:
        notes: how each process ended, what `--pretend` replaced, and which files the script wrote.
    """

    reports: tuple[Report, ...]
    records: tuple[Record, ...]
    launch_result: "LaunchResult"
    notes: tuple[str, ...]


class ScriptRecording(Struct, frozen=True, kw_only=True, eq=False):
    """What the recorder wrote while a command ran. Several audits can be made of it.

    Attributes:
        written: sentences that say which files the script wrote into its folder.
    """

    command: tuple[str, ...]
    launch_result: "LaunchResult"
    processes: "ProcessRecords"
    written: tuple[str, ...]
