"""A Lightning callback: the audit once when training starts, which is after a resume has restored the optimizers."""

from typing import TYPE_CHECKING

from decay_audit import api
from decay_audit.integrations.running import Settings, look
from decay_audit.model.choices import Severity

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class DecayAuditCallback(Callback):  # type: ignore[misc]
    """Compare the module's optimizers with a ruleset at the start of training, and log one line.

    Args:
        rules: a preset, or a file.
        weight_decay: the base coefficient; None takes the one that the optimizers work with.
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

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Audit what is about to train."""
        moment = "after the resume" if trainer.ckpt_path else "at the start of fit"
        look(pl_module, list(trainer.optimizers), self.settings, moment=moment)
