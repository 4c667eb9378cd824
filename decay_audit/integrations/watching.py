"""`decay_audit.watch()`: audit the optimizers of this script or notebook right before their first step."""

import json
from typing import Any

import msgspec

from decay_audit.api.options import DEFAULT_RULES
from decay_audit.api.request import Request
from decay_audit.integrations.training import log_verdict
from decay_audit.model.records import Record

_latest_request: list[Request] = []
"""Has the settings of the latest call of `watch` alone; empty before the first call."""


def watch(
    rules: str = DEFAULT_RULES,
    weight_decay: float | None = None,
    *,
    no_trace: bool = False,
    ignore: tuple[str, ...] = (),
) -> None:
    """Watch the optimizers that are made after this call; log a verdict for each model right before the first step.

    Changes of their param groups in later steps are written to standard error.

    Args:
        rules: a preset, or a YAML file.
        weight_decay: the base coefficient; None takes the one that the optimizer uses.
        no_trace: do not run the forward pass on fake tensors where classes and names leave a role uncertain.
        ignore: prefixes of codes that do not count.
    """
    from decay_audit.api.running import tool_settings
    from decay_audit.sources.run.hooks.decay_audit_recorder import settings, watch as recorder_watch
    from decay_audit.sources.run.hooks.decay_audit_recorder.hooks import construction, listed_modules, training

    request = Request(rules=rules, weight_decay=weight_decay, no_trace=no_trace, ignore=ignore)
    settings.TOOL = tool_settings(request)
    if not _latest_request:
        settings.WATCH = True
        listed_modules.set_hooks()
        construction.set_hooks()
        training.set_hooks()
        recorder_watch.AT_FIRST_STEP.append(_log_verdicts)
    _latest_request[:] = [request]


def _log_verdicts(optimizer: Any) -> None:  # noqa: ANN401 - of any class
    from decay_audit.api.running import reports_of
    from decay_audit.sources.run.hooks.decay_audit_recorder import recording, tool

    results = tool.results(recording.living_optimizers(), optimizer)
    document = recording.document("running", "step", optimizer)
    document |= {**results, "notes": [*document["notes"], *results["notes"]]}
    record = msgspec.json.decode(json.dumps(document, default=repr), type=Record)
    for report in reports_of(record, _latest_request[0], several=False):
        log_verdict(report, report.inventory.target)
