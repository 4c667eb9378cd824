"""One audit inside a running job: every rank compares, rank 0 says the one-line summary, and all fail together."""

import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from decay_audit import api, reports
from decay_audit.checks import selected_codes
from decay_audit.errors import DecayAssertionError
from decay_audit.model.choices import Severity
from decay_audit.reports.report import Report

if TYPE_CHECKING:
    import torch

LOGGER = logging.getLogger("decay_audit")


class Settings(Struct, frozen=True, kw_only=True):
    """What to compare with, and when to stop the run.

    Attributes:
        weight_decay: the base coefficient; None takes the one that the optimizer works with.
        measured: step copies as well; each rank its own.
        fail_on: findings this bad raise; None only logs them.
        ignore: prefixes of codes that do not count.
    """

    rules: str = api.DEFAULT_RULES
    weight_decay: float | None = None
    measure: bool = False
    fail_on: Severity | None = None
    ignore: tuple[str, ...] = ()


def look(model: "torch.nn.Module", optimizer: object, settings: Settings, *, moment: str) -> Report:
    """Audit once, and log one line: a warning where there are errors or warnings among the findings.

    Args:
        moment: when this is, for the log: `at the start of fit`.

    Raises:
        DecayAssertionError: there are findings as bad as `settings.fail_on`; on every rank.
        DecayAuditError: the model or the optimizer cannot be read.
    """
    whole = api.audit(model, optimizer, settings.rules, settings.weight_decay, measure=settings.measure)
    found = api.with_codes(whole, selected_codes.select_codes((), settings.ignore))
    if rank() == 0:
        level = logging.WARNING if selected_codes.has_failure(found.findings, "warning") else logging.INFO
        LOGGER.log(level, "decay-audit %s: %s", moment, reports.verdict(found))
    if settings.fail_on is not None and selected_codes.has_failure(found.findings, settings.fail_on):
        raise DecayAssertionError(f"{reports.verdict(found)}\n\n{reports.render_findings(found)}")
    return found


def rank() -> int:
    """This process's rank; 0 where nothing is distributed."""
    from torch import distributed

    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
