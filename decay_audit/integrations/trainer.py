"""A callback for transformers' Trainer: the audit when training begins, after a resume has restored the optimizer."""

from typing import TYPE_CHECKING

from transformers import TrainerCallback

from decay_audit.errors import DecayAuditError
from decay_audit.integrations.training import TrainingAudit

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class TrainerAudit(TrainingAudit, TrainerCallback):
    """Audit once when training starts. The settings are those of TrainingAudit."""

    def on_train_begin(
        self,
        args: "TrainingArguments",  # noqa: ARG002 - the Trainer passes these three to every callback
        state: "TrainerState",
        control: "TrainerControl",  # noqa: ARG002
        **objects: object,
    ) -> None:
        """Audit the model and the optimizer before the first step."""
        from torch.nn import Module

        model = objects.get("model")
        if not isinstance(model, Module):
            raise DecayAuditError(
                "the Trainer passed no model to its callback",
                "give the callback to a Trainer: Trainer(..., callbacks=[DecayAuditCallback()])",
            )
        moment = "after the resume" if state.global_step else "at the start of training"
        self.audit(model, objects.get("optimizer"), moment=moment)


DecayAuditCallback = TrainerAudit
"""The name under which users import the callback; the one for Lightning has the same name in its own module."""
