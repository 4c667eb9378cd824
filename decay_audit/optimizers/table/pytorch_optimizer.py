"""The rows for the library pytorch-optimizer: taken from the source of its version 4.1, and measured."""

from decay_audit.optimizers.table.decay_forms import ClassFacts

_DECOUPLE = "weight_decouple"
_IGNORED = "with the switch off, the step ignores it: nothing decays"
_PROJECTED = "where the step of a tensor with 2 or more dimensions is projected, its decay is multiplied by `wd_ratio`"
_DISTANCE = "multiplied by the distance that the optimizer estimates; nothing decays while all gradients are 0"

PYTORCH_OPTIMIZER: dict[str, ClassFacts] = {
    "A2Grad": ClassFacts(form="none"),
    "ADOPT": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "APOLLO": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate"
    ),
    "ASGD": ClassFacts(form="coupled", switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate"),
    "AccSGD": ClassFacts(form="coupled"),
    "AdEMAMix": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "AdaBelief": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "AdaBound": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "AdaDelta": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "AdaFactor": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate"
    ),
    "AdaGC": ClassFacts(form="coupled_adaptive", default=0.1, switch=_DECOUPLE, on_by_default=True),
    "AdaGO": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "AdaHessian": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "AdaLOMO": ClassFacts(
        form="decoupled_own_rate", note="the coefficient is an attribute: param groups do not show it"
    ),
    "AdaMax": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "AdaMod": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "AdaMuon": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "AdaNorm": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "AdaPNM": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "AdaShift": ClassFacts(form="none"),
    "AdaSmooth": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "AdaTAM": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "Adai": ClassFacts(form="coupled", switch=_DECOUPLE),
    "Adalite": ClassFacts(form="coupled_adaptive", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "AdamC": ClassFacts(
        form="coupled_adaptive",
        switch=_DECOUPLE,
        on_by_default=True,
        form_if_on="decoupled_own_rate",
        note="the rate is lr^2 / max lr",
    ),
    "AdamG": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "AdamMini": ClassFacts(form="decoupled", default=0.1),
    "AdamP": ClassFacts(
        form="none", switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate", note=_PROJECTED
    ),
    "AdamS": ClassFacts(
        form="coupled_adaptive", default=1e-4, switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate"
    ),
    "AdamWSN": ClassFacts(form="none", switch=_DECOUPLE, on_by_default=True, note=_IGNORED),
    "Adan": ClassFacts(form="decoupled"),
    "AggMo": ClassFacts(form="coupled", switch=_DECOUPLE),
    "Aida": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "Alice": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "AliG": ClassFacts(form="none"),
    "Amos": ClassFacts(form="none", note="shrinks weights by its own rule"),
    "Ano": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "ApolloDQN": ClassFacts(form="coupled_adaptive", note="`weight_decay_type` selects l2, decoupled or stable"),
    "AvaGrad": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "BCOS": ClassFacts(form="coupled_adaptive", default=0.1, switch=_DECOUPLE, on_by_default=True),
    "BSAM": ClassFacts(
        form="decoupled_own_rate", default=1e-4, note="a prior precision: it enters mean and variance of the weight"
    ),
    "CAME": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "Conda": ClassFacts(form="decoupled"),
    "DASH": ClassFacts(form="decoupled"),
    "DAdaptAdaGrad": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, form_if_on="decoupled_own_rate", note=_DISTANCE
    ),
    "DAdaptAdam": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, form_if_on="decoupled_own_rate", note=_DISTANCE
    ),
    "DAdaptAdan": ClassFacts(form="decoupled_own_rate", note=_DISTANCE),
    "DAdaptLion": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, form_if_on="decoupled_own_rate", note=_DISTANCE
    ),
    "DAdaptSGD": ClassFacts(form="coupled", switch=_DECOUPLE, form_if_on="decoupled_own_rate", note=_DISTANCE),
    "DeMo": ClassFacts(form="decoupled"),
    "DiffGrad": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "DistributedMuon": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "DualAdam": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "EXAdam": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "EmoFact": ClassFacts(form="coupled_adaptive", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "EmoLynx": ClassFacts(form="coupled_adaptive", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "EmoNavi": ClassFacts(form="coupled_adaptive", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "FAdam": ClassFacts(
        form="decoupled_own_rate", default=0.1, note="scaled by the Fisher information, then clipped, then times lr"
    ),
    "FOCUS": ClassFacts(form="decoupled_own_rate", note="pulls towards a running mean of the weight, not towards 0"),
    "FTRL": ClassFacts(form="none"),
    "Fira": ClassFacts(form="decoupled"),
    "FlashAdamW": ClassFacts(form="decoupled", default=0.01, own_rate_switches=("decouple_lr",)),
    "Fromage": ClassFacts(form="none"),
    "GaLore": ClassFacts(form="decoupled"),
    "Grams": ClassFacts(form="none", switch=_DECOUPLE, on_by_default=True, note=_IGNORED),
    "Gravity": ClassFacts(form="none"),
    "GrokFastAdamW": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "Kate": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "Kron": ClassFacts(
        form="coupled_normalized",
        switch=_DECOUPLE,
        on_by_default=True,
        note="only tensors with two or more dimensions decay",
    ),
    "LARS": ClassFacts(form="coupled_normalized", note="only tensors with two or more dimensions decay"),
    "LaProp": ClassFacts(form="none", switch=_DECOUPLE, on_by_default=True, note=_IGNORED),
    "Lamb": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "Lion": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "LOMO": ClassFacts(form="none"),
    "LoRARite": ClassFacts(form="decoupled"),
    "MADGRAD": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "MARS": ClassFacts(
        form="coupled_adaptive",
        switch=_DECOUPLE,
        on_by_default=True,
        note="1-D tensors follow `weight_decay_1d`, 0.1 by default",
    ),
    "MSVAG": ClassFacts(form="none"),
    "Muon": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "MuonClip": ClassFacts(form="coupled_normalized", switch=_DECOUPLE),
    "Nero": ClassFacts(form="none"),
    "NorMuon": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "NovoGrad": ClassFacts(form="coupled_normalized", switch=_DECOUPLE),
    "PAdam": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "PID": ClassFacts(form="coupled", switch=_DECOUPLE),
    "PNM": ClassFacts(form="coupled", switch=_DECOUPLE, on_by_default=True),
    "Prodigy": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate", note=_DISTANCE
    ),
    "QHAdam": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "QHM": ClassFacts(form="coupled", switch=_DECOUPLE),
    "RACS": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "RAdam": ClassFacts(form="none", switch=_DECOUPLE, on_by_default=True),
    "ROSE": ClassFacts(form="coupled_normalized", default=1e-4, switch=_DECOUPLE),
    "Ranger": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "Ranger21": ClassFacts(
        form="coupled_adaptive",
        default=1e-4,
        switch=_DECOUPLE,
        form_if_on="decoupled_own_rate",
        note="the rate is divided by a normalized variance",
    ),
    "SCION": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "SCIONLight": ClassFacts(form="coupled_normalized", switch=_DECOUPLE, on_by_default=True),
    "SGDP": ClassFacts(
        form="none", switch=_DECOUPLE, on_by_default=True, form_if_on="decoupled_own_rate", note=_PROJECTED
    ),
    "SGDSaI": ClassFacts(form="coupled", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "SGDW": ClassFacts(form="coupled", switch=_DECOUPLE, on_by_default=True),
    "SM3": ClassFacts(form="none"),
    "SOAP": ClassFacts(form="decoupled", default=0.01),
    "SPAM": ClassFacts(form="decoupled", note="in tensors of two dimensions, only the elements of its mask decay"),
    "SPlus": ClassFacts(
        form="coupled_normalized",
        default=0.01,
        switch=_DECOUPLE,
        on_by_default=True,
        form_if_on="decoupled_own_rate",
        note="the rate is lr scaled by the side lengths of the tensor",
    ),
    "SRMM": ClassFacts(form="none"),
    "SWATS": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE),
    "SaRA": ClassFacts(form="decoupled", default=0.01, note="only elements below a threshold are trained"),
    "ScalableShampoo": ClassFacts(form="coupled_normalized", switch="decoupled_weight_decay"),
    "ScheduleFreeAdamW": ClassFacts(form="decoupled"),
    "ScheduleFreeRAdam": ClassFacts(form="decoupled_own_rate", note="early steps are scaled down"),
    "ScheduleFreeSGD": ClassFacts(form="coupled"),
    "ScheduleFreeWrapper": ClassFacts(
        form="unknown",
        note="adds its own weight_decay, which param groups do not show, to the wrapped optimizer's",
    ),
    "Shampoo": ClassFacts(form="coupled_normalized", switch=_DECOUPLE),
    "SignSGD": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "SimplifiedAdEMAMix": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "SophiaH": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "SpectralSphere": ClassFacts(form="coupled_normalized", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "StableAdamW": ClassFacts(
        form="coupled_adaptive",
        default=0.01,
        switch=_DECOUPLE,
        form_if_on="decoupled_own_rate",
        note="the rate is lr / max(1, RMS of the step)",
    ),
    "StableSPAM": ClassFacts(form="decoupled"),
    "TAM": ClassFacts(form="none", switch=_DECOUPLE, on_by_default=True),
    "Tiger": ClassFacts(form="coupled_adaptive", default=0.01, switch=_DECOUPLE, on_by_default=True),
    "VSGD": ClassFacts(form="coupled_adaptive", switch=_DECOUPLE, on_by_default=True),
    "Yogi": ClassFacts(
        form="coupled_adaptive", switch=_DECOUPLE, note="its first moment starts at 1e-6, and moves weights a little"
    ),
    "Magma": ClassFacts(form="unknown", note="skips steps of the wrapped optimizer at random, and scales the others"),
    "TRAC": ClassFacts(
        form="unknown", note="scales the wrapped optimizer's total change since the start, by 1e-8 at first"
    ),
    **{
        name: ClassFacts(form="delegated")
        for name in (
            "FriendlySAM",
            "GSAM",
            "LookSAM",
            "Lookahead",
            "OrthoGrad",
            "PCGrad",
            "SAM",
            "SafeFP16Optimizer",
            "WSAM",
        )
    },
}
