"""Say how a script ended; and why there is nothing to audit if it made no optimizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from decay_audit.api.running.script_run import ScriptRun
from decay_audit.errors import DecayAuditError, shell_join
from decay_audit.model.records import Record, ScriptError
from decay_audit.optimizers import recorded
from decay_audit.sources.run import read_records
from decay_audit.text import count_noun

if TYPE_CHECKING:
    from decay_audit.sources.run.launch import LaunchResult
    from decay_audit.sources.run.read_records import ProcessRecords

_LONGEST_QUOTE = 200
"""How many characters of an error's message are quoted."""
_CANNOT_WRITE = ("[Errno 30]", "[Errno 13]")
"""How messages of OSErrors begin that say that a file system is read-only, or that a permission is missing."""
_NEEDS = (
    ("gpu", ("CUDA", "cuda", "NVIDIA", "No GPU")),
    (
        "world",
        ("process group", "init_process_group", "MASTER_ADDR", "RANK expected", "'LOCAL_RANK'", "NCCL"),
    ),
    ("data", ("Dataset not found", "urlopen error", "download=True", "on the Hub")),
)
"""For each word of `--pretend`, parts of messages of errors that it may mend."""
_PRETENDED = {"gpu": "a GPU", "world": "a process group", "data": "data sets of torchvision and of the hub"}
_TRACEBACK = "Traceback (most recent call last):"
"""How a traceback begins that is part of an error's message."""


def describe_end(record: Record, launch_result: "LaunchResult", error_of_command: ScriptError | None) -> str:
    """Say where the script was stopped, or how it ended by itself."""
    classes = ", ".join(dict.fromkeys(recorded.display_name(optimizer) for optimizer in record.optimizers))
    if record.status == "stopped":
        moments = {"step": "before its first step", "backward": "before its first backward pass"}
        moment = moments.get(record.moment, "after many backward passes without a step")
        moment = f"after {count_noun(record.steps, 'step')}" if record.steps else moment
        return f"stopped {moment}; the script made {classes}"
    steps = f"after {count_noun(record.steps, 'step')}" if record.steps else ""
    if launch_result.timed_out:
        ending = f"was ended {steps}, at the timeout" if steps else "did not begin to train in time"
        return f"the script {ending}; this is what it had made until then"
    if record.error is not None:
        only_reports = read_records.comes_from_other_process(record.error)
        error = error_of_command if only_reports and error_of_command else record.error
        return f"the script ended {steps or 'before it trained'}: {_quote(error)}"
    return f"the script ended {steps or 'without a step'}; this is what it had made"


def _quote(error: ScriptError) -> str:
    """Quote the first line of an error's message, with its type and its place.

    A message that contains the traceback of another process is that process's error: its last line is quoted alone.
    """
    lines = [*filter(None, map(str.strip, error.message.splitlines()))]
    if _TRACEBACK in error.message:
        return lines[-1][:_LONGEST_QUOTE]
    text = lines[0] if lines else ""
    if error.type in ("sys.exit", "os._exit"):
        return f"exit code {text}" if text.lstrip("-").isdigit() else text[:_LONGEST_QUOTE]
    location = f" ({Path(error.file).name}:{error.line})" if error.file else ""
    return f"{error.type}{': ' if text else ''}{text[:_LONGEST_QUOTE]}{location}"


def _hint(error: ScriptError, script: ScriptRun, command: Sequence[str]) -> str:
    """Say the way out of an error with which a script ended before it made an optimizer."""
    message = error.message
    if error.type == "ModuleNotFoundError":
        other = f"`{_with_another_python(script)}` runs it with another Python"
        return f"it ran with {command[0]}; is it the right environment? {other}"
    if error.type == "SyntaxError":
        return f"it is not Python, or not for this version: it ran with {command[0]}"
    if script.as_module and error.type == "sys.exit" and message.startswith(f"{command[0]}: "):
        return "give the module as `python -m` takes it, and run in the folder from which it can be imported"
    if not script.scratch and message.startswith(_CANNOT_WRITE):
        return "if its folder cannot be written, `--scratch` runs it in a copy"
    missing = [word for word, parts in _NEEDS if word not in script.pretend and any(part in message for part in parts)]
    if missing:
        things = " and ".join(_PRETENDED[word] for word in missing)
        return f"`--pretend {','.join([*script.pretend, *missing])}` pretends {things}; the script's output is above"
    return "the script itself fails: its output is above"


def _with_another_python(script: ScriptRun) -> str:
    """Return the command that runs the same words with another Python."""
    words = script.words[1:] if "python" in Path(script.words[0]).name else script.words
    module = ("-m",) if script.as_module else ()
    return shell_join(["decay-audit", "run", "--", "/path/to/python", *module, *words])


def no_optimizer_error(
    script: ScriptRun, command: Sequence[str], launch_result: "LaunchResult", processes: "ProcessRecords"
) -> DecayAuditError:
    """Make the error for a command that made no optimizer: what it did instead, and what to try."""
    name = script.words[0]
    backward = max((record.backward_calls for record in processes.records), default=0)
    error = processes.error
    if backward:
        calls = count_noun(backward, "backward pass", "backward passes")
        return DecayAuditError(
            f"{name} makes no optimizer: it calls backward() ({calls}) and does its steps by hand",
            "there are no param groups to audit; `decay-audit inspect` shows what should decay",
        )
    if launch_result.timed_out:
        return DecayAuditError(
            f"{name} made no optimizer in {script.timeout:g} s", "give it more time: --timeout SECONDS"
        )
    if not processes.started_python:
        return DecayAuditError(
            f"no Python process of `{name}` could be watched (exit code {launch_result.code})",
            "its Python must read PYTHONPATH: not `python -I` or `-E`, and no container",
        )
    if error is not None:
        quote = _quote(error).removeprefix(f"{command[0]}: ")  # so `python -m` begins its message
        hint = _hint(error, script, command)
        return DecayAuditError(f"{name} ended before it made an optimizer: {quote}", hint)
    if not processes.imported_torch:
        return DecayAuditError(
            f"{name} did not import torch (exit code {launch_result.code})",
            f"it ran with {command[0]}; another Python: `{_with_another_python(script)}`",
        )
    return DecayAuditError(
        f"{name} made no optimizer (exit code {launch_result.code})",
        "give it the arguments with which it trains"
        + ("" if script.pretend else "; if it needs a GPU: --pretend gpu,world"),
    )
