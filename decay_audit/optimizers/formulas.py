"""Write out the update of one parameter: the assignments of a step, with the numbers of its optimizer and group.

The assignments are in the order in which the step makes them. `g^2` is a power; `m^` is m with its bias
corrected, as in the paper on Adam. This module does not import torch.
"""

from collections.abc import Callable, Mapping
from math import floor, isfinite, log10

from decay_audit.model.observations import Optimizer, ParamGroup, UpdateFormula
from decay_audit.optimizers.horizon.arithmetic import settled_rate, step_settings
from decay_audit.optimizers.table.decay_forms import SEMANTICS, UPDATES, DecayForm
from decay_audit.optimizers.table.lookup import class_facts, decay_form

SOURCES: Mapping[str, str] = {
    "SGD": "https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html",
    "Adam": "Kingma and Ba 2015 (arXiv:1412.6980), with L2 regularization as in torch.optim.Adam",
    "AdamW": "Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2",
    "Lion": "Chen et al. 2023 (arXiv:2302.06675), algorithm 2",
    "Muon": "Jordan et al. 2024 (kellerjordan.github.io/posts/muon), decayed as in Liu et al. 2025 (arXiv:2502.16982)",
    "RMSprop": "https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html",
    "Adagrad": "Duchi et al. 2011 (JMLR 12), with L2 regularization as in torch.optim.Adagrad",
    "Lamb": "You et al. 2020 (arXiv:1904.00962), algorithm 2",
}
"""Where each algorithm is published."""


def update_formula(optimizer: Optimizer, group: ParamGroup) -> UpdateFormula:
    """Write out what a step of this optimizer does to a parameter of this group.

    A class without a formula here gets the update that its form in the table stands for.
    """
    name = optimizer.type.rpartition("(")[2].rstrip(")")  # the inner class: `SAM(AdamW)` becomes `AdamW`
    form = decay_form(class_facts((name,)), group.hyperparameters)
    if SEMANTICS[form] != optimizer.semantics:  # its step differs from that of the table's class of this name
        coefficient = _number_text(group.weight_decay)
        return UpdateFormula(optimizer=optimizer.type, steps=(f"weight_decay {coefficient}, {optimizer.semantics}",))
    write = _FORMULAS.get((name, form))
    return UpdateFormula(
        optimizer=optimizer.type,
        steps=tuple(write(group) if write else _update_of_form(form, group)),
        zero_gradient=_zero_gradient(form, name, group),
        source=SOURCES.get(_published_as(name, form), ""),
    )


def _published_as(name: str, form: DecayForm) -> str:
    """Return the key in SOURCES. Adam with decoupled_weight_decay=True is AdamW, and AdamW with False is Adam."""
    if name in ("Adam", "AdamW"):
        return "AdamW" if form == "decoupled" else "Adam"
    return {"SingleDeviceMuon": "Muon", "MuonWithAuxAdam": "Muon", "LAMB": "Lamb"}.get(name, name)


def _sgd(group: ParamGroup) -> list[str]:
    momentum, dampening = _setting(group, "momentum"), _setting(group, "dampening")
    steps = _change_of_gradient(group, group.weight_decay)
    if momentum:
        gradient = f"{_number_text(1 - dampening)} g (v <- g the first time)" if dampening else "g"
        steps.append(f"v <- {_number_text(momentum)} v + {gradient}")
    direction = "g"
    if momentum:
        direction = f"(g + {_number_text(momentum)} v)" if group.hyperparameters.get("nesterov") else "v"
    return [*steps, f"w <- w - {_lr_text(group)} {direction}"]


def _adam(group: ParamGroup) -> list[str]:
    return [*_change_of_gradient(group, group.weight_decay), *_moments(group), _adaptive_step(group)]


def _adamw(group: ParamGroup) -> list[str]:
    return [*_change_of_gradient(group), *_decoupled_decay(group), *_moments(group), _adaptive_step(group)]


def _moments(group: ParamGroup) -> list[str]:
    first, second = _betas(group)
    return [
        f"m <- {_number_text(first)} m + {_number_text(1 - first)} g",
        f"s <- {_number_text(second)} s + {_number_text(1 - second)} g^2",
        *(["z <- max(z, s)"] if group.hyperparameters.get("amsgrad") else []),
    ]


def _adaptive_step(group: ParamGroup) -> str:
    second_moment = "z^" if group.hyperparameters.get("amsgrad") else "s^"
    return f"w <- w - {_lr_text(group)} m^ / (sqrt({second_moment}) + {_number_text(_setting(group, 'eps', 1e-8))})"


def _lion(group: ParamGroup) -> list[str]:
    first, second = _betas(group, (0.9, 0.99))
    return [
        *_change_of_gradient(group),
        *_decoupled_decay(group),
        f"w <- w - {_lr_text(group)} sign({_number_text(first)} m + {_number_text(1 - first)} g)",
        f"m <- {_number_text(second)} m + {_number_text(1 - second)} g",
    ]


def _muon(group: ParamGroup) -> list[str]:
    momentum, adjusted = _setting(group, "momentum", 0.95), group.hyperparameters.get("adjust_lr_fn")
    nesterov = group.hyperparameters.get("nesterov", True)
    return [
        *_change_of_gradient(group),
        f"v <- {_number_text(momentum)} v + {_number_text(1 - momentum)} g",
        *([f"u <- {_number_text(momentum)} v + {_number_text(1 - momentum)} g"] if nesterov else []),
        *_decoupled_decay(group),
        f"w <- w - {_lr_text(group)}{_MUON_LR_FACTORS.get(adjusted, '')} orthogonalized({'u' if nesterov else 'v'})",
    ]


_MUON_LR_FACTORS: Mapping[object, str] = {
    None: " sqrt(max(1, rows / columns))",
    "original": " sqrt(max(1, rows / columns))",
    "match_rms_adamw": " x 0.2 sqrt(max(rows, columns))",
}
"""What Muon multiplies its learning rate by, under each `adjust_lr_fn`."""


def _rmsprop(group: ParamGroup) -> list[str]:
    alpha, momentum = _setting(group, "alpha", 0.99), _setting(group, "momentum")
    centered = group.hyperparameters.get("centered")
    step = f"g / (sqrt({'s - a^2' if centered else 's'}) + {_number_text(_setting(group, 'eps', 1e-8))})"
    return [
        *_change_of_gradient(group, group.weight_decay),
        f"s <- {_number_text(alpha)} s + {_number_text(1 - alpha)} g^2",
        *([f"a <- {_number_text(alpha)} a + {_number_text(1 - alpha)} g"] if centered else []),
        *([f"v <- {_number_text(momentum)} v + {step}"] if momentum else []),
        f"w <- w - {_lr_text(group)} {'v' if momentum else step}",
    ]


def _adagrad(group: ParamGroup) -> list[str]:
    decay = _setting(group, "lr_decay")
    slower = f" / (1 + {_number_text(decay)} steps)" if decay else ""
    return [
        *_change_of_gradient(group, group.weight_decay),
        "s <- s + g^2",
        f"w <- w - {_lr_text(group)}{slower} g / (sqrt(s) + {_number_text(_setting(group, 'eps', 1e-10))})",
    ]


def _lamb(group: ParamGroup) -> list[str]:
    return [
        *_change_of_gradient(group),
        *_moments(group),
        f"u <- m^ / (sqrt(s^) + {_number_text(_setting(group, 'eps', 1e-6))}) + {_number_text(group.weight_decay)} w",
        f"w <- w - {_lr_text(group)} |w| / |u| u",
    ]


_FORMULAS: Mapping[tuple[str, DecayForm], Callable[[ParamGroup], list[str]]] = {
    ("SGD", "coupled"): _sgd,
    ("Adam", "coupled_adaptive"): _adam,
    ("Adam", "decoupled"): _adamw,
    ("AdamW", "decoupled"): _adamw,
    ("AdamW", "coupled_adaptive"): _adam,
    ("Lion", "decoupled"): _lion,
    ("Muon", "decoupled"): _muon,
    ("SingleDeviceMuon", "decoupled"): _muon,
    ("RMSprop", "coupled_adaptive"): _rmsprop,
    ("Adagrad", "coupled_adaptive"): _adagrad,
    ("Lamb", "coupled_normalized"): _lamb,
}
"""By class and form: the function that writes the steps with a group's numbers."""


def _decoupled_decay(group: ParamGroup) -> list[str]:
    if not group.weight_decay:
        return []
    return [f"w <- w - {_lr_text(group)} x {_number_text(group.weight_decay)} w"]


def _update_of_form(form: DecayForm, group: ParamGroup) -> list[str]:
    """Write the update that a form stands for, whatever the class is."""
    update = UPDATES[form].replace("weight_decay", _number_text(group.weight_decay))
    return [update.replace("lr", _lr_text(group)) if form == "decoupled" else update]


def _zero_gradient(form: DecayForm, name: str, group: ParamGroup) -> str:
    """Say how much of w is left after a step with a gradient of zero and no momentum yet; "" without a short answer."""
    if not group.weight_decay:
        return "with a gradient of zero a step leaves w as it is"
    if form == "none":
        return "weight_decay is not used"
    if group.lr is None:
        return ""
    if form == "decoupled" or (name, form) == ("SGD", "coupled"):
        nesterov = form == "coupled" and group.hyperparameters.get("nesterov")
        # with nesterov, the first step is g + momentum x v, and v is g
        factor = 1 + _setting(group, "momentum") if nesterov else 1.0
        kept = _percent_kept(group.lr * group.weight_decay * factor)
        later = _kept_by_later_steps(form, group)
        steps = f"the first step keeps {kept} of w, {later}" if later else f"one step keeps {kept} of w"
        return f"with a gradient of zero {steps}"
    if form == "coupled_adaptive" and name in ("Adam", "AdamW", "NAdam", "Adamax"):
        return f"with a gradient of zero a step moves w by about {_lr_text(group)} towards 0, whatever the coefficient"
    return ""


def _kept_by_later_steps(form: DecayForm, group: ParamGroup) -> str:
    """Say what a step keeps after momentum has added up earlier decay; "" without momentum."""
    settings = step_settings(group)
    if form != "coupled" or not 0 < settings.momentum < 1 or settings.lr is None:
        return ""
    removed = settled_rate(settings)
    if removed is None:
        return "later steps swing w around 0: lr x weight_decay is large for this momentum"
    # two digits: later steps remove about this much, and less while the momentum builds up
    return f"later steps keep {_percent_kept(float(f'{removed:.2g}'))}"


def _percent_kept(removed: float) -> str:
    """Write the percentage that is left of a weight, so that what is removed has three digits: `99.995 %`."""
    digits = max(0, 2 - floor(log10(100 * removed))) if removed > 0 else 0
    text = f"{100 * (1 - removed):.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} %"


def _setting(group: ParamGroup, key: str, default: float = 0.0) -> float:
    value = group.hyperparameters.get(key, default)
    return float(value) if isinstance(value, int | float) and isfinite(value) else default


def _betas(group: ParamGroup, default: tuple[float, float] = (0.9, 0.999)) -> tuple[float, float]:
    match group.hyperparameters.get("betas"):
        case (float() as first, float() as second, *_):
            return first, second
        case _:
            return default


def _change_of_gradient(group: ParamGroup, coefficient: float = 0.0) -> list[str]:
    """Write what the step does to the gradient first: `maximize` negates it, then a coupled coefficient is added."""
    negated = bool(group.hyperparameters.get("maximize"))
    if coefficient:
        return [f"g <- {'-g' if negated else 'g'} + {_number_text(coefficient)} w"]
    return ["g <- -g"] if negated else []


def _lr_text(group: ParamGroup) -> str:
    return "lr" if group.lr is None else _number_text(group.lr)


def _number_text(value: float) -> str:
    return f"{value:.6g}".replace("e-0", "e-")
