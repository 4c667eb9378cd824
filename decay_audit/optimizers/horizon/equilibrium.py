"""By what angle a step turns a scale-invariant weight once decay and gradients are in balance."""

from math import sqrt

from decay_audit.model.observations import Optimizer, ParamGroup
from decay_audit.optimizers.horizon.arithmetic import step_settings

_ADAMW = "AdamW"
_BETA1 = 0.9
"""The default of torch.optim.AdamW."""


def rotation(optimizer: Optimizer, group: ParamGroup) -> float | None:
    """Compute the angle of a step in equilibrium, in radians; None for classes without a formula, and without decay.

    sqrt(2 lr weight_decay / (1 + momentum)) for SGD, sqrt(2 lr weight_decay (1 - beta1) / (1 + beta1)) for AdamW
    (Kosson et al. 2023, arXiv:2305.17212). Both hold for random gradients and small lr x weight_decay.
    """
    settings = step_settings(group)
    product = (settings.lr or 0.0) * group.weight_decay
    if not product:
        return None
    if optimizer.type == "SGD" and optimizer.semantics == "coupled" and not (settings.dampening or settings.nesterov):
        return sqrt(2 * product / (1 + settings.momentum))
    if optimizer.type == _ADAMW and optimizer.semantics == "decoupled":
        betas = group.hyperparameters.get("betas")
        beta1 = float(betas[0]) if isinstance(betas, list | tuple) and betas else _BETA1
        return sqrt(2 * product * (1 - beta1) / (1 + beta1))
    return None
