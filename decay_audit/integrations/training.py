"""The audit of a training job when training starts. Every rank audits, and raises the same error; only rank 0 logs."""

import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from decay_audit import api, reports
from decay_audit.api.options import DEFAULT_RULES
from decay_audit.checks import selected_codes
from decay_audit.model.choices import Severity
from decay_audit.reports.report import Report

if TYPE_CHECKING:
    import torch

LOGGER = logging.getLogger("decay_audit")


class TrainingAudit:
    """Compare the optimizer of a training job with a ruleset, and log one line.

    Args:
        rules: a preset, or a YAML file; `hf-trainer` is what transformers' Trainer itself does.
        weight_decay: the base coefficient; None takes the one that the optimizer uses.
        measure: whether to run step() on a copy of the optimizer and compare the result with the param groups; None:
            only if its class is not known.
        no_trace: do not run the forward pass on fake tensors where classes and names leave a role uncertain.
        fail_on: `error`, `warning` or `note`: findings of this severity or a worse one stop the job; with None, the
            job goes on.
        ignore: prefixes of codes that do not count.
    """

    def __init__(
        self,
        rules: str = DEFAULT_RULES,
        weight_decay: float | None = None,
        *,
        measure: bool | None = None,
        no_trace: bool = False,
        fail_on: Severity | None = None,
        ignore: tuple[str, ...] = (),
    ) -> None:
        super().__init__()  # the callback class of Lightning or transformers may be the next base class
        self.request = api.Request(
            rules=rules, weight_decay=weight_decay, measure=measure, no_trace=no_trace, ignore=tuple(ignore)
        )
        self.fail_on = fail_on

    def audit(self, model: "torch.nn.Module", optimizer: object, *, moment: str) -> Report:
        """Audit once, and log the verdict.

        Args:
            moment: when the audit runs, in words for the log: `at the start of fit`.

        Raises:
            DecayAssertionError: findings are at least as severe as `fail_on`. Every rank raises it.
            DecayAuditError: the model or the optimizer cannot be read.
        """
        report = api.run(replace(self.request, live=api.LiveModel(model=model, optimizer=optimizer)))
        log_verdict(report, moment)
        if self.fail_on is not None:
            api.raise_on_findings(report, self.fail_on)
        return report


def log_verdict(report: Report, subject: str) -> None:
    """Log the verdict on rank 0 in one line, a warning if errors or warnings count; and the table at the level DEBUG.

    Args:
        subject: the words before the verdict: the moment of the audit, or its target.
    """
    if rank() != 0:
        return
    level = logging.WARNING if selected_codes.has_failure(report.findings, "warning") else logging.INFO
    LOGGER.log(level, "decay-audit %s: %s", subject, reports.verdict(report))
    if LOGGER.isEnabledFor(logging.DEBUG):
        LOGGER.debug("%s", reports.render(report))


def rank() -> int:
    """Give this process's rank; 0 where nothing is distributed."""
    from torch import distributed

    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
