"""Tables of the keys of param groups: a table for each meaning, with the libraries that use each key."""

from collections.abc import Mapping

COEFFICIENT_KEYS: Mapping[str, str] = {"weight_decay": "torch", "wd": "fastai"}
"""Keys of the coefficient of a group, the usual key first."""

LR_KEYS: Mapping[str, str] = {
    "lr": "torch",
    "initial_lr": "torch's schedulers",
    "max_lr": "torch's schedulers, optimi",
    "base_lr": "torch's schedulers",
    "peak_lr": "",
}
"""Keys of learning rates: the current rate, and the first, the last or the highest rate of a schedule."""

WITHOUT_LR_KEYS: Mapping[str, str] = {"fixed_decay": "timm's AdaBelief, pytorch-optimizer"}
"""If true, decoupled decay is not multiplied by lr."""

WARMUP_KEYS: Mapping[str, str] = {"warmup_steps": "schedulefree"}
"""For how many steps at the start of a run the optimizer itself lowers the learning rate."""

COMPENSATION_KEYS: Mapping[str, str] = {
    "bf16_stochastic_round": "torchao",
    "kahan_sum": "optimi, pytorch-optimizer",
    "master_weights": "Apex",
    "stochastic_rounding": "pytorch-optimizer",
}
"""If true, the step keeps what the dtype of the parameters would round away."""

PROGRESS_KEYS: Mapping[str, str] = {
    "step": "pytorch-optimizer, Apex",
    "lookahead_step": "timm's Lookahead",
    "k": "schedulefree, prodigyopt",
    "weight_sum": "schedulefree",
    "lr_max": "schedulefree",
    "train_mode": "schedulefree",
    "setup": "optimi",
}
"""Keys that say how far a run has progressed. A copy of the optimizer for a new run gets the class's defaults."""

NOT_LOOKED_UP = frozenset(
    {("SGD", "differentiable"), ("Adagrad", "initial_accumulator_value"), ("SparseAdam", "maximize")}
)
"""Defaults of torch's classes that a step of the class does not look up: pairs of a class and a key.

A group without such a key still steps, so the key is not reported as missing.
"""

FOREACH_DEVICES = frozenset({"cuda", "xpu", "mtia"})
"""Devices on which torch's classes update the tensors of a group together by default."""
