"""The update written out: one parameter's optimizer and group go in, its steps with this run's numbers come out.

Each line is one assignment in the order in which the step makes it. Knows no torch; numbers are the group's.
"""

from collections.abc import Callable, Mapping
from math import floor, isfinite, log10

from decay_audit.model.observations import Optimizer, ParamGroup, UpdateFormula
from decay_audit.optimizers.table.forms import SEMANTICS, WORDS, Path
from decay_audit.optimizers.table.lookup import path, row

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


def update(optimizer: Optimizer, group: ParamGroup) -> UpdateFormula:
    """Write out what a step of this optimizer does with a parameter of this group.

    Classes without a formula of their own get the one sentence that their way in the table stands for.
    """
    name = optimizer.type.rpartition("(")[2].rstrip(")")
    known = row((name,))
    way = path(known, group.hyperparameters)
    if SEMANTICS[way] != optimizer.semantics:  # a class of that name in another library
        return UpdateFormula(
            optimizer=optimizer.type, steps=(f"weight_decay {_say(group.weight_decay)}, {optimizer.semantics}",)
        )
    write = _FORMULAS.get((name, way))
    steps = write(group) if write else _general(way, group)
    return UpdateFormula(
        optimizer=optimizer.type,
        steps=tuple(steps),
        zero_gradient=_alone(way, name, group),
        source=SOURCES.get(_family(name, way), ""),
    )


def _family(name: str, way: Path) -> str:
    """Adam with its switch on is AdamW, and AdamW with it off is Adam."""
    if name in ("Adam", "AdamW"):
        return "AdamW" if way == "lr" else "Adam"
    return {"SingleDeviceMuon": "Muon", "MuonWithAuxAdam": "Muon", "LAMB": "Lamb"}.get(name, name)


def _sgd(group: ParamGroup) -> list[str]:
    momentum, dampening = _number(group, "momentum"), _number(group, "dampening")
    steps = _gradient(group, group.weight_decay)
    if momentum:
        kept = f"{_say(1 - dampening)} g (v <- g the first time)" if dampening else "g"
        steps.append(f"v <- {_say(momentum)} v + {kept}")
    direction = "g"
    if momentum:
        direction = f"(g + {_say(momentum)} v)" if group.hyperparameters.get("nesterov") else "v"
    return [*steps, f"w <- w - {_lr(group)} {direction}"]


def _adam(group: ParamGroup) -> list[str]:
    return [*_gradient(group, group.weight_decay), *_moments(group), _adaptive(group)]


def _adamw(group: ParamGroup) -> list[str]:
    return [*_gradient(group), *_shrink(group), *_moments(group), _adaptive(group)]


def _moments(group: ParamGroup) -> list[str]:
    first, second = _betas(group)
    return [
        f"m <- {_say(first)} m + {_say(1 - first)} g",
        f"s <- {_say(second)} s + {_say(1 - second)} g^2",
        *(["z <- max(z, s)"] if group.hyperparameters.get("amsgrad") else []),
    ]


def _adaptive(group: ParamGroup) -> str:
    size = "z^" if group.hyperparameters.get("amsgrad") else "s^"
    return f"w <- w - {_lr(group)} m^ / (sqrt({size}) + {_say(_number(group, 'eps', 1e-8))})"


def _lion(group: ParamGroup) -> list[str]:
    first, second = _betas(group, (0.9, 0.99))
    return [
        *_gradient(group),
        *_shrink(group),
        f"w <- w - {_lr(group)} sign({_say(first)} m + {_say(1 - first)} g)",
        f"m <- {_say(second)} m + {_say(1 - second)} g",
    ]


def _muon(group: ParamGroup) -> list[str]:
    momentum, adjusted = _number(group, "momentum", 0.95), group.hyperparameters.get("adjust_lr_fn")
    nesterov = group.hyperparameters.get("nesterov", True)
    return [
        *_gradient(group),
        f"v <- {_say(momentum)} v + {_say(1 - momentum)} g",
        *([f"u <- {_say(momentum)} v + {_say(1 - momentum)} g"] if nesterov else []),
        *_shrink(group),
        f"w <- w - {_lr(group)}{_SIDES.get(adjusted, '')} orthogonalized({'u' if nesterov else 'v'})",
    ]


_SIDES: Mapping[object, str] = {
    None: " sqrt(max(1, rows / columns))",
    "original": " sqrt(max(1, rows / columns))",
    "match_rms_adamw": " x 0.2 sqrt(max(rows, columns))",
}
"""What Muon multiplies its learning rate by, under each `adjust_lr_fn`."""


def _rmsprop(group: ParamGroup) -> list[str]:
    alpha, momentum = _number(group, "alpha", 0.99), _number(group, "momentum")
    centered = group.hyperparameters.get("centered")
    step = f"g / (sqrt({'s - a^2' if centered else 's'}) + {_say(_number(group, 'eps', 1e-8))})"
    return [
        *_gradient(group, group.weight_decay),
        f"s <- {_say(alpha)} s + {_say(1 - alpha)} g^2",
        *([f"a <- {_say(alpha)} a + {_say(1 - alpha)} g"] if centered else []),
        *([f"v <- {_say(momentum)} v + {step}"] if momentum else []),
        f"w <- w - {_lr(group)} {'v' if momentum else step}",
    ]


def _adagrad(group: ParamGroup) -> list[str]:
    decay = _number(group, "lr_decay")
    slower = f" / (1 + {_say(decay)} steps)" if decay else ""
    return [
        *_gradient(group, group.weight_decay),
        "s <- s + g^2",
        f"w <- w - {_lr(group)}{slower} g / (sqrt(s) + {_say(_number(group, 'eps', 1e-10))})",
    ]


def _lamb(group: ParamGroup) -> list[str]:
    return [
        *_gradient(group),
        *_moments(group),
        f"u <- m^ / (sqrt(s^) + {_say(_number(group, 'eps', 1e-6))}) + {_say(group.weight_decay)} w",
        f"w <- w - {_lr(group)} |w| / |u| u",
    ]


_FORMULAS: Mapping[tuple[str, Path], Callable[[ParamGroup], list[str]]] = {
    ("SGD", "gradient"): _sgd,
    ("Adam", "denominator"): _adam,
    ("Adam", "lr"): _adamw,
    ("AdamW", "lr"): _adamw,
    ("AdamW", "denominator"): _adam,
    ("Lion", "lr"): _lion,
    ("Muon", "lr"): _muon,
    ("SingleDeviceMuon", "lr"): _muon,
    ("RMSprop", "denominator"): _rmsprop,
    ("Adagrad", "denominator"): _adagrad,
    ("Lamb", "norm"): _lamb,
}
"""Class and way, then the steps in numbers."""


def _shrink(group: ParamGroup) -> list[str]:
    if not group.weight_decay:
        return []
    factor = f" {_lr(group)} x {_say(group.weight_decay)} w"
    return [f"w <- w -{factor}"]


def _general(way: Path, group: ParamGroup) -> list[str]:
    words = WORDS[way].replace("weight_decay", _say(group.weight_decay))
    return [words.replace("lr", _lr(group)) if way == "lr" else words]


def _alone(way: Path, name: str, group: ParamGroup) -> str:
    """One step with a gradient of zero, from a standstill."""
    if not group.weight_decay:
        return "with a gradient of zero a step leaves w as it is"
    if way == "none":
        return "the coefficient is not used"
    if group.lr is None:
        return ""
    if way == "lr" or (name, way) == ("SGD", "gradient"):
        nesterov = way == "gradient" and group.hyperparameters.get("nesterov")
        boost = 1 + _number(group, "momentum") if nesterov else 1.0
        return f"with a gradient of zero one step keeps {_percent(group.lr * group.weight_decay * boost)} of w"
    if way == "denominator" and name in ("Adam", "AdamW", "NAdam", "Adamax"):
        return f"with a gradient of zero one step moves w by about {_lr(group)} towards 0, whatever the coefficient"
    return ""


def _percent(removed: float) -> str:
    """What is left, with as many digits as three of what is removed take: `99.995 %`."""
    digits = max(0, 2 - floor(log10(100 * removed))) if removed > 0 else 0
    text = f"{100 * (1 - removed):.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} %"


def _number(group: ParamGroup, key: str, otherwise: float = 0.0) -> float:
    value = group.hyperparameters.get(key, otherwise)
    return float(value) if isinstance(value, int | float) and isfinite(value) else otherwise


def _betas(group: ParamGroup, otherwise: tuple[float, float] = (0.9, 0.999)) -> tuple[float, float]:
    match group.hyperparameters.get("betas"):
        case (float() as first, float() as second, *_):
            return first, second
        case _:
            return otherwise


def _gradient(group: ParamGroup, coefficient: float = 0.0) -> list[str]:
    """What becomes of the gradient first: `maximize` turns it around before a coupled coefficient is added."""
    turned = bool(group.hyperparameters.get("maximize"))
    if coefficient:
        return [f"g <- {'-g' if turned else 'g'} + {_say(coefficient)} w"]
    return ["g <- -g"] if turned else []


def _lr(group: ParamGroup) -> str:
    return "lr" if group.lr is None else _say(group.lr)


def _say(value: float) -> str:
    return f"{value:.6g}".replace("e-0", "e-")
