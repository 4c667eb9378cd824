"""Locks: a Report becomes a lock and its text; a lock is read from its file, and a Report is compared with it.

model_changes: compare two targets, a lock and a target, or two git revisions of a target
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec.structs import replace

from decay_audit import rulesets
from decay_audit.api.options import DEFAULT_RULES
from decay_audit.api.request import Request
from decay_audit.checks import in_order
from decay_audit.checks.lock import lock_file
from decay_audit.checks.lock.entries import Lock, hash_ruleset, plan_entries
from decay_audit.checks.lock.findings import check_lock
from decay_audit.errors import DecayAuditError, shell_join
from decay_audit.reports.report import Report
from decay_audit.rulesets.plan import Plan, decide
from decay_audit.text import format_coefficient

DEFAULT_LOCK = "decay.lock"


def make_lock(report: Report) -> Lock:
    """Make the lock of a report: all decisions, and what its live optimizers do."""
    plan = report.plan
    live = [optimizer for optimizer in report.optimizers if optimizer.origin == "live"]
    return Lock(
        target=report.inventory.target,
        ruleset=plan.ruleset.name,
        ruleset_hash=hash_ruleset(plan.ruleset),
        weight_decay=format_coefficient(plan.ruleset.weight_decay),
        weight_decay_from=report.weight_decay_from,
        optimizers=", ".join(dict.fromkeys(optimizer.type for optimizer in live)),
        versions=_versions(report),
        entries=plan_entries(plan, report.optimizers, report.observations),
    )


def text(lock: Lock) -> str:
    """Write a lock as the text of its file."""
    return lock_file.write(lock)


def read(path: Path) -> Lock:
    """Read a lock file.

    Raises:
        DecayAuditError: there is no such file, it holds a merge conflict, or a line of it cannot be read.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DecayAuditError(
            f"no such lock: {path}",
            f"decay-audit lock TARGET -o {path} writes it; `decay-audit lock` alone writes those of all audits",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DecayAuditError(f"{path} cannot be read: {error}", "a lock is a text file in UTF-8") from error
    return lock_file.read(content, str(path))


def compare(report: Report, lock: Lock, request: Request) -> Report:
    """Add the differences from a lock to the findings of a report, and a note on each thing that was not compared."""
    file = request.lock or DEFAULT_LOCK
    plan = comparable_plan(report, lock, request)
    entries = plan_entries(plan, report.optimizers, report.observations)
    findings = (*report.findings, *check_lock(lock, entries, file, update_command(request, lock, file)))
    notes = (*report.inventory.notes, *_notes(report, lock, file))
    return replace(report, findings=in_order(findings), inventory=replace(report.inventory, notes=notes))


def refuse_to_lose(path: Path, request: Request) -> None:
    """Refuse to write a lock over a file that is no lock, or over a lock that holds an optimizer if there is none now.

    Raises:
        DecayAuditError: the hint says how to go on.
    """
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return  # there is no file; or writing it will fail, with a message
    if content.strip() and not lock_file.is_lock(content):
        raise DecayAuditError(f"{path} is a file, but not a lock: it is not overwritten", "name another file with -o")
    optimizers = lock_file.recorded_optimizers(content)
    if optimizers and request.optimizer is None:
        raise DecayAuditError(
            f"{path} also holds what {optimizers} does, and --optimizer is not given: it would be lost",
            f"give the optimizer; or delete {path} first, for a lock of decisions only",
        )


def is_stale(old: Lock, new: Lock) -> bool:
    """Whether a lock differs from the one that would be written now. The versions of the programs do not count."""
    return text(replace(old, versions="")) != text(replace(new, versions=""))


def update_command(request: Request, lock: Lock, file: str) -> str:
    """Write the command that rewrites a lock. If the lock holds no optimizer, the command has none."""
    settings = {
        "--rules": "" if request.rules == DEFAULT_RULES else request.rules,
        "--weight-decay": "" if request.weight_decay is None else f"{request.weight_decay:.12g}",
        "--device": "" if request.device == "auto" else request.device,
        "--key": request.key,
        "--model": request.model,
        "--trace": request.trace,
        "--optimizer": request.optimizer if lock.optimizers else None,
    }
    words = [word for option, value in settings.items() if value for word in (option, value)]
    measure = {True: ["--measure"], False: ["--no-measure"], None: []}[request.measure if lock.optimizers else None]
    return shell_join(["decay-audit", "lock", request.target, *words, *measure, "-o", file, "--update"])


def comparable_plan(report: Report, lock: Lock, request: Request) -> Plan:
    """Return the plan to compare with a lock.

    If only one of the two took its coefficient from an optimizer, the plan is decided again with the lock's.
    """
    classified = [decision.classified for decision in report.plan.decisions]
    match lock.weight_decay_from, report.weight_decay_from:
        case "ruleset", "optimizer":
            return decide(classified, request.ruleset or rulesets.load(request.rules))
        case "optimizer", "ruleset":
            return decide(classified, report.plan.ruleset, float(lock.weight_decay))
        case _:
            return report.plan


def _notes(report: Report, lock: Lock, file: str) -> list[str]:
    notes = []
    if lock.ruleset_hash != hash_ruleset(report.plan.ruleset):
        notes.append(f"the ruleset {report.plan.ruleset.name} is not the same as when {file} was written")
    if lock.optimizers and not any(optimizer.origin == "live" for optimizer in report.optimizers):
        notes.append(f"{file} also holds what {lock.optimizers} does, which was not compared: --optimizer is not given")
    return notes


def _versions(report: Report) -> str:
    packages = ["decay-audit", *(["torch"] if report.inventory.kind == "module" else [])]
    return ", ".join(f"{package} {_version(package)}" for package in packages)


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "unknown"
