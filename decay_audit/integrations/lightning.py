"""A Lightning callback: the audit when training starts, after a resume has restored the optimizers."""

from typing import TYPE_CHECKING

from decay_audit.integrations.training import TrainingAudit

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class LightningAudit(TrainingAudit, Callback):  # type: ignore[misc]
    """Audit once when training starts; takes the settings of TrainingAudit."""

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Audit the module and its optimizers before the first step."""
        moment = "after the resume" if trainer.ckpt_path else "at the start of fit"
        self.audit(pl_module, list(trainer.optimizers), moment=moment)


DecayAuditCallback = LightningAudit
"""The name under which users import the callback; the one for transformers has the same name in its own module."""
