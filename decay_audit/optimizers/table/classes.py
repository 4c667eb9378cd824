"""The rows of the table: what `weight_decay` does in each optimizer class. The module `lookup` reads them.

The rows are taken from the sources of torch 2.13, timm 1.0, bitsandbytes 0.50, muon-optimizer 0.1, torchao 0.18,
schedulefree 1.4, transformers 4 and 5, Apex and DeepSpeed. Classes that run on a CPU were measured as well.

`form` is what a class does while its `switch` is off. With `on_by_default` the switch is on unless code turns it off:
AdamW, whose `decoupled_weight_decay` is True, is listed as coupled.
"""

from collections.abc import Mapping

from decay_audit.optimizers.table.decay_forms import ClassFacts
from decay_audit.optimizers.table.pytorch_optimizer import PYTORCH_OPTIMIZER

_EARLY = "its first steps are plain momentum, without the denominator"
_PROJECTED = "where the step of a tensor with 2 or more dimensions is projected, its decay is multiplied by `wd_ratio`"
_CORRECTED = ("corrected_weight_decay",)

_WRAPPER = ClassFacts(form="delegated")

_TORCH: dict[str, ClassFacts] = {
    "ASGD": ClassFacts(form="coupled", note="`lambd` (1e-4 by default) shrinks weights as well"),
    "Adadelta": ClassFacts(form="coupled_adaptive"),
    "Adafactor": ClassFacts(form="decoupled"),
    "Adagrad": ClassFacts(form="coupled_adaptive"),
    "Adam": ClassFacts(form="coupled_adaptive", switch="decoupled_weight_decay"),
    "AdamW": ClassFacts(form="coupled_adaptive", default=0.01, switch="decoupled_weight_decay", on_by_default=True),
    "Adamax": ClassFacts(form="coupled_adaptive"),
    "LBFGS": ClassFacts(form="none"),
    "Muon": ClassFacts(form="decoupled", default=0.1),
    "NAdam": ClassFacts(form="coupled_adaptive", switch="decoupled_weight_decay"),
    "RAdam": ClassFacts(form="coupled_adaptive", switch="decoupled_weight_decay", note=_EARLY),
    "RMSprop": ClassFacts(form="coupled_adaptive"),
    "Rprop": ClassFacts(form="none"),
    "SGD": ClassFacts(form="coupled"),
    "SparseAdam": ClassFacts(form="none"),
    "ZeroRedundancyOptimizer": _WRAPPER,
}

_TIMM: dict[str, ClassFacts] = {
    "AdaBelief": ClassFacts(form="coupled_adaptive", switch="decoupled_decay", on_by_default=True, note=_EARLY),
    "Adafactor": ClassFacts(
        form="decoupled_own_rate", note="with relative_step, the rate is the step's own and not lr"
    ),
    "AdafactorBigVision": ClassFacts(form="decoupled", own_rate_switches=("unscaled_wd", *_CORRECTED)),
    "Adahessian": ClassFacts(form="decoupled"),
    "AdamP": ClassFacts(form="decoupled_own_rate", note=_PROJECTED),
    "AdamWLegacy": ClassFacts(form="decoupled", default=0.01, own_rate_switches=_CORRECTED),
    "Adan": ClassFacts(form="decoupled"),
    "Adopt": ClassFacts(form="coupled_adaptive", switch="decoupled", own_rate_switches=_CORRECTED),
    "Kron": ClassFacts(
        form="coupled_normalized", switch="decoupled_decay", own_rate_switches=(*_CORRECTED, "stochastic_weight_decay")
    ),
    "LaProp": ClassFacts(form="decoupled", own_rate_switches=_CORRECTED),
    "Lamb": ClassFacts(form="coupled_normalized", default=0.01, switch="decoupled_decay", own_rate_switches=_CORRECTED),
    "Lars": ClassFacts(form="coupled_normalized"),
    "Lion": ClassFacts(form="decoupled", own_rate_switches=_CORRECTED),
    "Lookahead": _WRAPPER,
    "MADGRAD": ClassFacts(
        form="coupled_adaptive",
        switch="decoupled_decay",
        form_if_on="decoupled_own_rate",
        note="averaging delays a part of the decay",
    ),
    "Mars": ClassFacts(form="decoupled"),
    "Muon": ClassFacts(form="decoupled"),
    "NAdamLegacy": ClassFacts(form="coupled_adaptive"),
    "NAdamW": ClassFacts(form="decoupled", default=0.01, own_rate_switches=_CORRECTED),
    "NvNovoGrad": ClassFacts(form="coupled_normalized", switch="decoupled_decay", own_rate_switches=_CORRECTED),
    "RAdamLegacy": ClassFacts(form="coupled_adaptive", note=_EARLY),
    "RMSpropTF": ClassFacts(form="coupled_adaptive", switch="decoupled_decay", own_rate_switches=_CORRECTED),
    "SGDP": ClassFacts(form="decoupled_own_rate", note=_PROJECTED),
    "SGDW": ClassFacts(form="decoupled", own_rate_switches=_CORRECTED),
}

_KERNEL = "its kernel decouples the decay, also in the class named Adam"

_BITSANDBYTES: dict[str, ClassFacts] = {
    **{
        f"{paged}{name}{bits}": ClassFacts(form="decoupled", default=default, note=note)
        for name, default, note in (
            ("Adam", 0.0, _KERNEL),
            ("AdamW", 0.01, ""),
            ("AdEMAMix", 0.01, ""),
            ("Lion", 0.0, ""),
        )
        for paged in ("", "Paged")
        for bits in ("", "8bit", "32bit")
    },
    **{f"Adagrad{bits}": ClassFacts(form="coupled_adaptive") for bits in ("", "8bit", "32bit")},
    **{f"RMSprop{bits}": ClassFacts(form="coupled_adaptive") for bits in ("", "8bit", "32bit")},
    **{f"SGD{bits}": ClassFacts(form="coupled") for bits in ("", "8bit", "32bit")},
    **{f"LARS{bits}": ClassFacts(form="coupled_normalized") for bits in ("", "8bit", "32bit")},
    **{
        f"LAMB{bits}": ClassFacts(form="decoupled", note="the same kernel as Adam's, with a clipped update")
        for bits in ("", "8bit", "32bit")
    },
    "PytorchLARS": ClassFacts(form="coupled_normalized"),
}

_MUON: dict[str, ClassFacts] = {
    "Muon": ClassFacts(form="decoupled"),
    "SingleDeviceMuon": ClassFacts(form="decoupled"),
    "MuonWithAuxAdam": ClassFacts(form="decoupled"),
    "SingleDeviceMuonWithAuxAdam": ClassFacts(form="decoupled"),
}

_APEX: dict[str, ClassFacts] = {
    "FusedAdam": ClassFacts(form="coupled_adaptive", switch="adam_w_mode", on_by_default=True),
    "FusedAdagrad": ClassFacts(form="coupled_adaptive", switch="adagrad_w_mode"),
    "FusedLAMB": ClassFacts(form="coupled_normalized", default=0.01),
    "FusedMixedPrecisionLamb": ClassFacts(form="coupled_normalized", default=0.01),
    "FusedNovoGrad": ClassFacts(form="coupled_normalized"),
    "FusedSGD": ClassFacts(form="coupled"),
    "LARC": ClassFacts(
        form="coupled_normalized",
        note="uses the coefficient of the wrapped optimizer; no decay where the gradient is 0",
    ),
    "DistributedFusedAdam": ClassFacts(form="coupled_adaptive", switch="adam_w_mode", on_by_default=True),
    "DistributedFusedLAMB": ClassFacts(form="coupled_normalized"),
}

_DEEPSPEED: dict[str, ClassFacts] = {
    "FusedAdam": ClassFacts(form="coupled_adaptive", switch="adam_w_mode", on_by_default=True),
    "DeepSpeedCPUAdam": ClassFacts(form="coupled_adaptive", switch="adam_w_mode", on_by_default=True),
    "DeepSpeedCPUAdagrad": ClassFacts(form="coupled_adaptive"),
    "DeepSpeedCPULion": ClassFacts(form="decoupled"),
    "FusedLion": ClassFacts(form="decoupled"),
    "FusedLamb": ClassFacts(form="coupled_normalized"),
    "OnebitAdam": ClassFacts(form="decoupled"),
    "OnebitLamb": ClassFacts(form="coupled_normalized"),
    "ZeroOneAdam": ClassFacts(form="decoupled"),
    "MuonWithAuxAdam": ClassFacts(form="decoupled"),
}

_TORCHAO: dict[str, ClassFacts] = {
    **{f"Adam{bits}": ClassFacts(form="coupled_adaptive") for bits in ("8bit", "4bit", "Fp8")},
    **{f"AdamW{bits}": ClassFacts(form="decoupled", default=0.01) for bits in ("8bit", "4bit", "Fp8")},
    "_AdamW": ClassFacts(form="decoupled", default=0.01),
}

_SCHEDULEFREE: dict[str, ClassFacts] = {
    **{f"AdamWScheduleFree{form}": ClassFacts(form="decoupled") for form in ("", "Closure", "Reference")},
    "AdamWScheduleFreePaper": ClassFacts(form="decoupled_own_rate", note="averaging delays a part of the decay"),
    **{
        f"RAdamScheduleFree{form}": ClassFacts(form="decoupled_own_rate", note="early steps are scaled down")
        for form in ("", "Closure")
    },
    **{f"SGDScheduleFree{form}": ClassFacts(form="coupled") for form in ("", "Closure", "Reference")},
}

_TRANSFORMERS: dict[str, ClassFacts] = {
    "AdamW": ClassFacts(form="decoupled"),
    "Adafactor": ClassFacts(
        form="decoupled_own_rate", note="with relative_step, the rate is the step's own and not lr"
    ),
}

CLASSES: Mapping[str, Mapping[str, ClassFacts]] = {
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
    "lion_pytorch": {"Lion": ClassFacts(form="decoupled", own_rate_switches=("decoupled_weight_decay",))},
    "prodigyopt": {
        "Prodigy": ClassFacts(
            form="coupled_adaptive", switch="decouple", form_if_on="decoupled_own_rate", on_by_default=True
        )
    },
}
"""Rows by package and simple class name. Where only the simple name is known, the first package that has it counts."""
