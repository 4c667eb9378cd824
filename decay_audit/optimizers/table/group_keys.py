"""Keys of param groups, with the library that reads them in this way. Literal data."""

from collections.abc import Mapping

COEFFICIENT_KEYS: Mapping[str, str] = {"weight_decay": "torch", "wd": "fastai"}
"""The coefficient of a group, the usual name first."""

WITHOUT_LR_KEYS: Mapping[str, str] = {"fixed_decay": "timm's AdaBelief, pytorch-optimizer"}
"""If true, decoupled decay is not multiplied by lr."""

WARMUP_KEYS: Mapping[str, str] = {"warmup_steps": "schedulefree"}
"""How many steps the optimizer itself scales down at the start of a run."""

PROGRESS_KEYS: Mapping[str, str] = {
    "step": "pytorch-optimizer, Apex",
    "lookahead_step": "timm's Lookahead",
    "k": "schedulefree, prodigyopt",
    "weight_sum": "schedulefree",
    "lr_max": "schedulefree",
    "train_mode": "schedulefree",
}
"""How far a run has come. A copy that starts anew gets the class's defaults in their place."""
