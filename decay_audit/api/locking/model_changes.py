"""Compare the decisions on two targets, on a lock and a target, or on two git revisions of a target.

A revision is checked out into a temporary worktree. A separate process reads the target there, because both sides may
have modules of the same names.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decay_audit.api import locking
from decay_audit.api.options import AuditOptions
from decay_audit.api.pipeline import run
from decay_audit.api.request import Request, request_for
from decay_audit.checks.lock.changes import ComparedSide, ModelComparison, compare
from decay_audit.checks.lock.entries import Lock, hash_ruleset, plan_entries
from decay_audit.errors import DecayAuditError
from decay_audit.sources import target as targets

_CHILD_PROGRAM = "import sys; from decay_audit.api.locking.model_changes import write_side; write_side(*sys.argv[1:])"
"""The program of the child process: it calls `write_side` with two arguments."""
_FAILURE_EXIT_CODE = 2
"""The exit code of a child process that wrote a DecayAuditError instead of a side."""

ReadSettings = Callable[[Path], Mapping[str, Any]]
"""A function that reads the options which the settings in a folder give; paths in them are relative to the folder."""


class SideRequest(Struct, frozen=True, kw_only=True):
    """The target that a child process reads, and the options for it."""

    target: str
    options: AuditOptions


def compare_targets(before: str, after: str, request: Request) -> ModelComparison:
    """Compare two targets; either may be a lock file, or a checkpoint.

    Raises:
        DecayAuditError: one of them cannot be read.
    """
    locks = {path: _lock(path) for path in (before, after)}
    any_lock = next((lock for lock in locks.values() if lock is not None), None)
    first, second = (_side(path, locks[path], replace(request, target=path), any_lock) for path in (before, after))
    return ModelComparison(before=first, after=second, changes=compare(first.entries, second.entries))


def compare_revisions(
    request: Request, before: str, after: str | None, settings: ReadSettings | None = None
) -> ModelComparison:
    """Compare the target of a request at two git revisions.

    Args:
        after: the later revision; None for the files as they are now.
        settings: reads the options that a revision itself sets; they replace those of the request.

    Raises:
        DecayAuditError: there is no git repository or no such revision, or the target cannot be read at a revision.
    """
    first = _at_revision(request, before, settings)
    second = _side(request.target, None, request, None) if after is None else _at_revision(request, after, settings)
    return ModelComparison(before=first, after=second, changes=compare(first.entries, second.entries))


def write_side(request: str, output: str) -> None:
    """Read a target in a child process, and write the ComparedSide, or the error, to a file as JSON."""
    side_request = msgspec.json.decode(request, type=SideRequest)
    try:
        side = _side(side_request.target, None, request_for(side_request.target, side_request.options), None)
    except DecayAuditError as error:
        Path(output).write_bytes(msgspec.json.encode([error.message, error.hint]))
        sys.exit(_FAILURE_EXIT_CODE)
    Path(output).write_bytes(msgspec.json.encode(side))


def _lock(path: str) -> Lock | None:
    """Read a lock; return None if the path is not a lock file."""
    file = Path(path)
    is_lock = path.endswith(".lock")
    if not is_lock and targets.exists(file) and file.is_file():
        with file.open("rb") as start:
            is_lock = start.read(16) == b"decay-audit lock"
    return locking.read(file) if is_lock else None


def _side(path: str, lock: Lock | None, request: Request, other: Lock | None) -> ComparedSide:
    """Make a side from a lock, or from a target.

    Args:
        lock: the lock at `path`; None if `path` is a target.
        other: the lock on the other side, if there is one; the plan of the target is made comparable with it.
    """
    if lock is not None:
        return ComparedSide(label=path, entries=lock.entries, ruleset=lock.ruleset, ruleset_hash=lock.ruleset_hash)
    report = run(request)
    plan = report.plan if other is None else locking.comparable_plan(report, other, request)
    return ComparedSide(
        label=report.inventory.target,
        entries=plan_entries(plan, report.optimizers, report.observations),
        ruleset=plan.ruleset.name,
        ruleset_hash=hash_ruleset(plan.ruleset),
        evidence={
            decision.name: f"{evidence.kind}: {evidence.detail}"
            for decision in plan.decisions
            for evidence in decision.classified.evidence[:1]
        },
    )


def _at_revision(request: Request, revision: str, settings: ReadSettings | None) -> ComparedSide:
    request.progress(f"reading {request.target} at {revision}")
    options = {name: getattr(request, name) for name in AuditOptions.__struct_fields__}
    with _worktree(revision) as (root, folder), tempfile.TemporaryDirectory() as scratch:
        own_options = AuditOptions(**{**options, **(settings(folder) if settings else {})})
        side_request = msgspec.json.encode(SideRequest(target=request.target, options=own_options)).decode()
        output = Path(scratch) / "side.json"
        paths = [str(root), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", _CHILD_PROGRAM, side_request, str(output)]
        result = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=False)  # noqa: S603
        content = output.read_bytes() if output.exists() else b""
    if result.returncode == _FAILURE_EXIT_CODE and content:
        message, hint = msgspec.json.decode(content, type=tuple[str, str])
        raise DecayAuditError(f"at {revision}: {message}", hint)
    if result.returncode or not content:
        raise DecayAuditError(f"at {revision}, {request.target} could not be read: see the messages above")
    side = msgspec.json.decode(content, type=ComparedSide)
    return replace(side, label=f"{side.label} at {revision}")


@contextlib.contextmanager
def _worktree(revision: str) -> Iterator[tuple[Path, Path]]:
    """Check out a revision into a temporary worktree; yield its root, and the current folder inside it."""
    top = Path(_git("rev-parse", "--show-toplevel", hint="--from compares revisions of a git repository").strip())
    commit = _git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", name=revision
    ).strip()
    with tempfile.TemporaryDirectory(prefix="decay-audit-") as parent:
        root = Path(parent) / top.name
        _git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(root), commit)
        try:
            folder = root / Path.cwd().resolve().relative_to(top.resolve())
            folder.mkdir(parents=True, exist_ok=True)  # the revision may not have it
            yield root, folder
        finally:
            _git("worktree", "remove", "--force", str(root))


def _git(*arguments: str, name: str = "", hint: str = "") -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError as error:
        raise DecayAuditError("git is not installed", "--from and --to need it") from error
    if result.returncode:
        reason = f"no such revision: {name}" if name else result.stderr.strip().removeprefix("fatal: ")
        raise DecayAuditError(reason, hint or "`git log --oneline --all` lists revisions")
    return result.stdout
