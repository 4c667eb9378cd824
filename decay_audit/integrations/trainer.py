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
        **trained: object,
    ) -> None:
        """Audit the model and the optimizer before the first step."""
        from torch.nn import Module

        model = trained.get("model")
        if not isinstance(model, Module):
            raise DecayAuditError("the Trainer passed no model to its callback", "call it from a transformers Trainer")
        moment = "after the resume" if state.global_step else "at the start of training"
        self.audit(model, trained.get("optimizer"), moment=moment)


DecayAuditCallback = TrainerAudit
"""The name to import; `integrations.lightning` has the same name for its callback."""
