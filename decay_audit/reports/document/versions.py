"""The versions that made a report."""

from importlib.metadata import PackageNotFoundError, version

from msgspec import Struct

from decay_audit.checks.lock.entries import hash_ruleset
from decay_audit.reports.report import Report


class Versions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What made the report: versions of the programs, and a hash of the content of the ruleset."""

    decay_audit: str
    torch: str | None
    ruleset: str


def versions_of(report: Report) -> Versions:
    """Name the versions that made a report."""
    return Versions(
        decay_audit=version("decay-audit"),
        torch=_torch_version() if report.inventory.kind == "module" else None,
        ruleset=hash_ruleset(report.plan.ruleset),
    )


def _torch_version() -> str | None:
    try:
        return version("torch").partition("+")[0]
    except PackageNotFoundError:
        return None
