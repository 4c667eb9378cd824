"""A callback for transformers' Trainer: the audit once when training begins, a resumed optimizer already loaded."""

from typing import TYPE_CHECKING

from transformers import TrainerCallback

from decay_audit import api
from decay_audit.errors import DecayAuditError
from decay_audit.integrations.running import Settings, look
from decay_audit.model.choices import Severity

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class DecayAuditCallback(TrainerCallback):
    """Compare the Trainer's optimizer with a ruleset when training begins, and log one line.

    Args:
        rules: a preset, or a file; `hf-trainer` is what the Trainer itself does.
        weight_decay: the base coefficient; None takes the one that the optimizer works with.
        measured: step copies as well, and compare what they do with what the groups say.
        fail_on: `error`, `warning` or `note` stops the run on findings that bad; None only logs.
        ignore: prefixes of codes that do not count.
    """

    def __init__(
        self,
        rules: str = api.DEFAULT_RULES,
        weight_decay: float | None = None,
        *,
        measure: bool = False,
        fail_on: Severity | None = None,
        ignore: tuple[str, ...] = (),
    ) -> None:
        self.settings = Settings(
            rules=rules, weight_decay=weight_decay, measure=measure, fail_on=fail_on, ignore=ignore
        )

    def on_train_begin(
        self,
        args: "TrainingArguments",  # noqa: ARG002 - the Trainer decides what a callback gets
        state: "TrainerState",
        control: "TrainerControl",  # noqa: ARG002
        **given: object,
    ) -> None:
        """Audit what is about to train."""
        from torch.nn import Module

        model = given.get("model")
        if not isinstance(model, Module):
            raise DecayAuditError("the Trainer gave its callback no model", "call it from a transformers Trainer")
        moment = "after the resume" if state.global_step else "at the start of training"
        look(model, given.get("optimizer"), self.settings, moment=moment)
