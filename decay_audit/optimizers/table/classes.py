"""The table: what `weight_decay` means in each optimizer class, as literal data. Read by `semantics.py`.

Read in the sources of torch 2.13, timm 1.0, bitsandbytes 0.50, muon-optimizer 0.1, torchao 0.18, schedulefree 1.4,
transformers 4 and 5, Apex and DeepSpeed; measured wherever the class runs on a CPU.
"""

from collections.abc import Mapping

from decay_audit.optimizers.table.forms import Row
from decay_audit.optimizers.table.pytorch_optimizer import PYTORCH_OPTIMIZER

_EARLY = "its first steps are plain momentum: the denominator joins when its variance can be estimated"
_CORRECTED = ("corrected_weight_decay",)

_WRAPPER = Row(path="inside")

_TORCH: dict[str, Row] = {
    "ASGD": Row(path="gradient", note="`lambd` (1e-4 by default) shrinks weights as well"),
    "Adadelta": Row(path="denominator"),
    "Adafactor": Row(path="lr"),
    "Adagrad": Row(path="denominator"),
    "Adam": Row(path="denominator", switch="decoupled_weight_decay"),
    "AdamW": Row(path="denominator", default=0.01, switch="decoupled_weight_decay", assumed=True),
    "Adamax": Row(path="denominator"),
    "LBFGS": Row(path="none"),
    "Muon": Row(path="lr", default=0.1),
    "NAdam": Row(path="denominator", switch="decoupled_weight_decay"),
    "RAdam": Row(path="denominator", switch="decoupled_weight_decay", note=_EARLY),
    "RMSprop": Row(path="denominator"),
    "Rprop": Row(path="none"),
    "SGD": Row(path="gradient"),
    "SparseAdam": Row(path="none"),
    "ZeroRedundancyOptimizer": _WRAPPER,
}

_TIMM: dict[str, Row] = {
    "AdaBelief": Row(path="denominator", switch="decoupled_decay", assumed=True, note=_EARLY),
    "Adafactor": Row(path="own", note="with relative steps: the rate is that of the step, not lr"),
    "AdafactorBigVision": Row(path="lr", rescaled=("unscaled_wd", *_CORRECTED)),
    "Adahessian": Row(path="lr"),
    "AdamP": Row(
        path="own", note="tensors of two dimensions and more get `wd_ratio` of it where their step is projected"
    ),
    "AdamWLegacy": Row(path="lr", default=0.01, rescaled=_CORRECTED),
    "Adan": Row(path="lr"),
    "Adopt": Row(path="denominator", switch="decoupled", rescaled=_CORRECTED),
    "Kron": Row(path="norm", switch="decoupled_decay", rescaled=(*_CORRECTED, "stochastic_weight_decay")),
    "LaProp": Row(path="lr", rescaled=_CORRECTED),
    "Lamb": Row(path="norm", default=0.01, switch="decoupled_decay", rescaled=_CORRECTED),
    "Lars": Row(path="norm"),
    "Lion": Row(path="lr", rescaled=_CORRECTED),
    "Lookahead": _WRAPPER,
    "MADGRAD": Row(path="denominator", switch="decoupled_decay", on="own", note="averaging delays a part of it"),
    "Mars": Row(path="lr"),
    "Muon": Row(path="lr"),
    "NAdamLegacy": Row(path="denominator"),
    "NAdamW": Row(path="lr", default=0.01, rescaled=_CORRECTED),
    "NvNovoGrad": Row(path="norm", switch="decoupled_decay", rescaled=_CORRECTED),
    "RAdamLegacy": Row(path="denominator", note=_EARLY),
    "RMSpropTF": Row(path="denominator", switch="decoupled_decay", rescaled=_CORRECTED),
    "SGDP": Row(
        path="own", note="tensors of two dimensions and more get `wd_ratio` of it where their step is projected"
    ),
    "SGDW": Row(path="lr", rescaled=_CORRECTED),
}

_KERNEL = "its kernel decouples it, under the name Adam too"

_BITSANDBYTES: dict[str, Row] = {
    **{
        f"{paged}{name}{bits}": Row(path="lr", default=default, note=note)
        for name, default, note in (
            ("Adam", 0.0, _KERNEL),
            ("AdamW", 0.01, ""),
            ("AdEMAMix", 0.01, ""),
            ("Lion", 0.0, ""),
        )
        for paged in ("", "Paged")
        for bits in ("", "8bit", "32bit")
    },
    **{f"Adagrad{bits}": Row(path="denominator") for bits in ("", "8bit", "32bit")},
    **{f"RMSprop{bits}": Row(path="denominator") for bits in ("", "8bit", "32bit")},
    **{f"SGD{bits}": Row(path="gradient") for bits in ("", "8bit", "32bit")},
    **{f"LARS{bits}": Row(path="norm") for bits in ("", "8bit", "32bit")},
    **{
        f"LAMB{bits}": Row(path="lr", note="the same kernel as Adam's, with a clipped update")
        for bits in ("", "8bit", "32bit")
    },
    "PytorchLARS": Row(path="norm"),
}

_MUON: dict[str, Row] = {
    "Muon": Row(path="lr"),
    "SingleDeviceMuon": Row(path="lr"),
    "MuonWithAuxAdam": Row(path="lr"),
    "SingleDeviceMuonWithAuxAdam": Row(path="lr"),
}

_APEX: dict[str, Row] = {
    "FusedAdam": Row(path="denominator", switch="adam_w_mode", assumed=True),
    "FusedAdagrad": Row(path="denominator", switch="adagrad_w_mode"),
    "FusedLAMB": Row(path="norm", default=0.01),
    "FusedMixedPrecisionLamb": Row(path="norm", default=0.01),
    "FusedNovoGrad": Row(path="norm"),
    "FusedSGD": Row(path="gradient"),
    "LARC": Row(path="norm", note="takes the coefficient from the optimizer inside; a gradient of 0 gets no decay"),
    "DistributedFusedAdam": Row(path="denominator", switch="adam_w_mode", assumed=True),
    "DistributedFusedLAMB": Row(path="norm"),
}

_DEEPSPEED: dict[str, Row] = {
    "FusedAdam": Row(path="denominator", switch="adam_w_mode", assumed=True),
    "DeepSpeedCPUAdam": Row(path="denominator", switch="adam_w_mode", assumed=True),
    "DeepSpeedCPUAdagrad": Row(path="denominator"),
    "DeepSpeedCPULion": Row(path="lr"),
    "FusedLion": Row(path="lr"),
    "FusedLamb": Row(path="norm"),
    "OnebitAdam": Row(path="lr"),
    "OnebitLamb": Row(path="norm"),
    "ZeroOneAdam": Row(path="lr"),
    "MuonWithAuxAdam": Row(path="lr"),
}

_TORCHAO: dict[str, Row] = {
    **{f"Adam{bits}": Row(path="denominator") for bits in ("8bit", "4bit", "Fp8")},
    **{f"AdamW{bits}": Row(path="lr", default=0.01) for bits in ("8bit", "4bit", "Fp8")},
    "_AdamW": Row(path="lr", default=0.01),
}

_SCHEDULEFREE: dict[str, Row] = {
    **{f"AdamWScheduleFree{form}": Row(path="lr") for form in ("", "Closure", "Reference")},
    "AdamWScheduleFreePaper": Row(path="own", note="averaging delays a part of it"),
    **{f"RAdamScheduleFree{form}": Row(path="own", note="early steps are scaled down") for form in ("", "Closure")},
    **{f"SGDScheduleFree{form}": Row(path="gradient") for form in ("", "Closure", "Reference")},
}

_TRANSFORMERS: dict[str, Row] = {
    "AdamW": Row(path="lr"),
    "Adafactor": Row(path="own", note="with relative steps: the rate is that of the step, not lr"),
}

CLASSES: Mapping[str, Mapping[str, Row]] = {
    "torch": _TORCH,
    "timm": _TIMM,
    "pytorch_optimizer": PYTORCH_OPTIMIZER,
    "bitsandbytes": _BITSANDBYTES,
    "muon": _MUON,
    "apex": _APEX,
    "deepspeed": _DEEPSPEED,
    "torchao": _TORCHAO,
    "schedulefree": _SCHEDULEFREE,
    "transformers": _TRANSFORMERS,
    "accelerate": {"AcceleratedOptimizer": _WRAPPER},
    "lightning": {"LightningOptimizer": _WRAPPER},
    "pytorch_lightning": {"LightningOptimizer": _WRAPPER},
    "lion_pytorch": {"Lion": Row(path="lr", rescaled=("decoupled_weight_decay",))},
    "prodigyopt": {"Prodigy": Row(path="denominator", switch="decouple", on="own", assumed=True)},
}
"""Package, then simple class name. A simple name alone means the first package that has it."""
