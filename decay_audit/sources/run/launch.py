"""Run a command with the recorder in its Python processes, and wait until they end, or until they take too long.

The command's standard output goes to standard error: standard output belongs to the report. Interrupts reach all
processes of the command, and none of them is left when `run` returns.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from decay_audit.errors import DecayAuditError

HOOKS = Path(__file__).parent / "hooks"
"""The folder of the recorder. It is put on PYTHONPATH, so that each Python process of the command imports it."""
SETTINGS_VARIABLE = "DECAY_AUDIT_RUN"
"""The environment variable that gives the recorder its settings, as JSON."""

_POLL_SECONDS = 0.05
_SECONDS_AFTER_STOP = 20.0
"""After the recorder has stopped one process, the other processes of the command may run for this time."""
_SECONDS_TO_WRITE = 5.0
"""Interrupted processes may run for this time, to write their records. Then they are killed."""


class Launch(Struct, frozen=True, kw_only=True):
    """A command to run, and where and how to run it.

    Attributes:
        command: words of the command line.
        folder: where the command runs.
        records: an empty folder for what the recorder writes.
        settings: further settings of the recorder.
        timeout: seconds after which the command is interrupted; None for never.
    """

    command: tuple[str, ...]
    folder: Path
    records: Path
    settings: Mapping[str, object]
    timeout: float | None = None


class LaunchResult(Struct, frozen=True, kw_only=True):
    """How a command ended.

    Attributes:
        code: its exit code; negative for a signal.
        timed_out: it was interrupted because it took too long.
        ended_after_stop: it was interrupted because it did not end after the recorder had stopped one of its processes.
    """

    code: int
    seconds: float
    timed_out: bool = False
    ended_after_stop: bool = False


def run(launch: Launch) -> LaunchResult:
    """Run the command.

    Raises:
        DecayAuditError: it cannot be started.
        KeyboardInterrupt: the user interrupted it; its processes were interrupted, too.
    """
    with _interrupted_by_termination():
        return _run(launch)


def _run(launch: Launch) -> LaunchResult:
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            launch.command,
            cwd=launch.folder,
            env=_environment(launch),
            stdout=_stderr(),
            start_new_session=True,
        )
    except OSError as error:
        raise _no_command(launch.command[0], launch.folder, error) from error
    try:
        timed_out, ended_after_stop = _wait(process, launch, started)
    finally:
        _end_all(process, launch.records)
    return LaunchResult(
        code=process.returncode,
        seconds=time.monotonic() - started,
        timed_out=timed_out,
        ended_after_stop=ended_after_stop,
    )


def _no_command(command: str, folder: Path, error: OSError) -> DecayAuditError:
    if (folder / command).is_dir():
        return DecayAuditError(f"{command} is a folder", "give a script in it, or its module: -m package.module")
    if (folder / command).is_file():
        return DecayAuditError(
            f"{command} is neither a Python script (.py) nor a command",
            f"name the program that runs it: `decay-audit run -- bash {command}`",
        )
    return DecayAuditError(
        f"cannot run {command}: {error.strerror}", "give a script (train.py) or a command that exists"
    )


def _wait(process: "subprocess.Popen[bytes]", launch: Launch, started: float) -> tuple[bool, bool]:
    """Wait for the end. Returns `timed_out` and `ended_after_stop` of the LaunchResult."""
    stopped_at: float | None = None
    while process.poll() is None:
        now = time.monotonic()
        if stopped_at is None and any(launch.records.glob("reached-stop-*")):
            stopped_at = now
        if stopped_at is not None and now - stopped_at > _SECONDS_AFTER_STOP:
            return False, True
        if launch.timeout is not None and now - started > launch.timeout:
            return True, False
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return False, False


def _end_all(process: "subprocess.Popen[bytes]", records: Path) -> None:
    """Interrupt all processes of the command, so that each can write its record; then end them."""
    if _signal_all(process, records, signal.SIGINT):
        deadline = time.monotonic() + _SECONDS_TO_WRITE
        while time.monotonic() < deadline and _signal_all(process, records, 0):
            time.sleep(_POLL_SECONDS)
        _signal_all(process, records, signal.SIGKILL)
    process.wait()


def _signal_all(process: "subprocess.Popen[bytes]", records: Path, number: int) -> bool:
    """Send a signal to all processes of the command; return whether any of them exists.

    Launchers such as torchrun start their workers in sessions of their own, so the process group is not enough.
    """
    process.poll()
    exists = _send_signal(os.killpg, process.pid, number)
    for pid in _process_ids(records):
        exists = _send_signal(os.kill, pid, number) or exists
    return exists


def _process_ids(records: Path) -> Iterator[int]:
    """Yield the processes that have the folder of records in their environment, as each process of the command has.

    A process that has ended has no environment. Systems without /proc give none.
    """
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(records).encode() in environment.read_bytes():
                yield int(environment.parent.name)
        except OSError:
            continue


def _send_signal(send: Callable[[int, int], None], pid: int, number: int) -> bool:
    """Send a signal; return whether the process exists."""
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextmanager
def _interrupted_by_termination() -> Iterator[None]:
    """Make SIGTERM and SIGHUP interrupt this process as Ctrl-C does, so that the command does not outlive it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def interrupt(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    before = {
        number: signal.signal(number, interrupt) for number in numbers if signal.getsignal(number) == signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(launch: Launch) -> dict[str, str]:
    settings = {"folder": str(launch.records), **launch.settings}
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        SETTINGS_VARIABLE: json.dumps(settings),
        "PYTHONPATH": os.pathsep.join([str(HOOKS), *([path] if path else [])]),
    }


def _stderr() -> int:
    """Return the standard error of this process; the null device if it is no file, as in tests and notebooks."""
    try:
        return sys.stderr.fileno()
    except (OSError, AttributeError, ValueError):
        return subprocess.DEVNULL


def command_for(words: Sequence[str], *, as_module: bool, folder: Path = Path()) -> tuple[str, ...]:
    """Make the command to run from the user's words. They begin with a script, a module or a command.

    Raises:
        DecayAuditError: there is no such script.
    """
    first = words[0]
    if as_module:
        return (python(), "-m", *words)
    if first.endswith((".py", ".pyw")) or (
        os.sep in first and (folder / first).is_file() and not os.access(folder / first, os.X_OK)
    ):
        if not (folder / first).is_file():
            raise DecayAuditError(f"no such script: {first}", "give a script, `-m package.module`, or a command")
        return (python(), *words)
    return tuple(words)


def python() -> str:
    """Return the Python that `python train.py` would use.

    It is the Python of the active environment; without one, the Python that runs this code. If pipx or uv installed
    decay-audit in an environment of its own, it is the Python on PATH.
    """
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(variable)
        if prefix:
            for name in ("bin/python", "Scripts/python.exe", "python.exe"):
                if (Path(prefix) / name).is_file():
                    return str(Path(prefix) / name)
    return _on_path() if _has_its_own_environment() else sys.executable


def _has_its_own_environment() -> bool:
    """Whether pipx or uv made an environment for this tool alone."""
    return any((Path(sys.prefix) / name).is_file() for name in ("pipx_metadata.json", "uv-receipt.toml"))


def _on_path() -> str:
    from shutil import which

    return which("python") or which("python3") or sys.executable
