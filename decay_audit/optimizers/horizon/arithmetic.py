"""The arithmetic of decay over a run: the settings of all steps and a law become the part of a weight that is left.

The gradient is zero in every step, so decay is all that moves the weight. This module does not import torch.
"""

from collections.abc import Iterable, Sequence
from math import exp, inf, isfinite, log, log1p, sqrt

from decay_audit.model.horizon import DecayLaw, DecayOverRun, EqualSteps, StepSettings
from decay_audit.model.observations import ParamGroup

NO_SETTLED_RATE = "does not settle: with these settings the weight swings around 0 while it shrinks"
GROWS = "does not settle: lr x weight_decay is so large that the weight grows"

_GROWING = 2.0
"""A step that removes this part of a weight, or more, does not shrink it: the weight changes its sign and grows."""
_LARGEST_EXPONENT = 700
"""`exp` of this and of smaller numbers does not overflow."""

State = tuple[float, float]
"""A weight, and its momentum buffer."""
Matrix = tuple[float, float, float, float]
"""A step as a matrix, row by row: it maps the weight and the momentum buffer before the step to those after it."""
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0)


def decay_over_run(law: DecayLaw, steps: Sequence[EqualSteps]) -> DecayOverRun:
    """Compute what a law leaves of a weight over the steps of a run, and on what timescale."""
    if law.kind == "none" or (law.without_coefficient and not any(part.settings.weight_decay for part in steps)):
        return DecayOverRun(kept=1.0, removed_sum=0.0)
    if law.kind == "unknown":
        return DecayOverRun(reason=law.reason)
    if law.kind not in ("without_lr", "measured_without_lr") and any(part.settings.lr is None for part in steps):
        return DecayOverRun(reason="not known: the group has no lr")
    kept = _kept_with_momentum(steps) if law.kind == "momentum" else _kept(law, steps)
    rates = [_rate_by_law(law, part.settings) for part in steps]
    known = [rate for rate in rates if rate is not None]
    largest = max(known, default=0.0)
    if not isfinite(kept) or kept > 1 or largest >= _GROWING:
        return DecayOverRun(kept=kept if isfinite(kept) else None, reason=GROWS)
    if len(known) < len(rates):
        return DecayOverRun(kept=kept, reason=NO_SETTLED_RATE)
    return DecayOverRun(
        kept=kept,
        removed_sum=sum(rate * part.count for rate, part in zip(known, steps, strict=True)),
        timescale_steps=1 / largest if largest > 0 else None,
        half_life_steps=log(2) / -log1p(-largest) if 0 < largest < 1 else None,
        approximate=law.kind in ("measured", "measured_without_lr"),
    )


def step_settings(group: ParamGroup) -> StepSettings:
    """Read the settings of a step from a group."""
    momentum, dampening = (group.hyperparameters.get(key) for key in ("momentum", "dampening"))
    return StepSettings(
        lr=group.lr,
        weight_decay=group.weight_decay,
        momentum=float(momentum) if isinstance(momentum, int | float) else 0.0,
        dampening=float(dampening) if isinstance(dampening, int | float) else 0.0,
        nesterov=bool(group.hyperparameters.get("nesterov")),
    )


def settled_rate(settings: StepSettings) -> float | None:
    """Compute the part of a weight that one step of SGD removes after momentum has settled.

    A step maps the weight w and the momentum buffer v, both numbers, by

        v <- momentum v + (1 - dampening) weight_decay w
        w <- w - lr v, or with Nesterov's momentum w - lr (weight_decay w + momentum v)

    In the long run each step multiplies both by the largest eigenvalue of this map. Without Nesterov's momentum it is
    the largest root of z^2 - (1 + momentum - a) z + momentum, where a = lr (1 - dampening) weight_decay; the rate is
    then about a / (1 - momentum). If the eigenvalues are complex or negative, no rate settles, and the result is None.
    """
    lr = settings.lr or 0.0
    if not settings.momentum:
        return lr * settings.weight_decay
    first, _, _, last = step_matrix(settings)
    # The two values of 1 - z are computed, not z, because a small rate would be lost to rounding in z.
    half_sum = 1 - (first + last) / 2
    product = lr * (1 - settings.dampening) * settings.weight_decay
    discriminant = half_sum * half_sum - product
    if discriminant < 0 or half_sum <= 0:
        return None
    larger = half_sum + sqrt(discriminant)
    return product / larger if larger <= 1 else None


def step_matrix(settings: StepSettings) -> Matrix:
    """Write a step of SGD with a gradient of zero as a matrix on the weight and its momentum buffer."""
    lr, coefficient, momentum = settings.lr or 0.0, settings.weight_decay, settings.momentum
    if not momentum:
        return (1 - lr * coefficient, 0.0, 0.0, 1.0)
    added = (1 - settings.dampening) * coefficient
    if settings.nesterov:
        return (1 - lr * (coefficient + momentum * added), -lr * momentum * momentum, added, momentum)
    return (1 - lr * added, -lr * momentum, added, momentum)


def _kept_with_momentum(steps: Sequence[EqualSteps]) -> float:
    """Compute the weight after all steps of SGD, as a part of the first weight."""
    state: State = (1.0, 0.0)
    has_buffer = False
    for part in steps:
        settings, count = part.settings, part.count
        if settings.momentum and not has_buffer:
            state = _first_step(state[0], settings)
            has_buffer, count = True, count - 1
        if count:
            matrix = step_matrix(settings)
            state = _apply(matrix if count == 1 else _power(matrix, count), state)
    return abs(state[0])


def _first_step(weight: float, settings: StepSettings) -> State:
    """Take the step in which torch makes the momentum buffer: the gradient enters it without dampening."""
    lr, buffer = settings.lr or 0.0, settings.weight_decay * weight
    direction = buffer + settings.momentum * buffer if settings.nesterov else buffer
    return (weight - lr * direction, buffer)


def _kept(law: DecayLaw, steps: Iterable[EqualSteps]) -> float:
    """Compute the product of what each step keeps."""
    logarithm = 0.0
    for part in steps:
        removed = _rate_by_law(law, part.settings) or 0.0
        if removed < 1:
            logarithm += part.count * log1p(-removed)
        elif removed == 1:
            return 0.0
        else:  # the weight changes its sign in each step
            logarithm += part.count * log(removed - 1)
    return exp(logarithm) if logarithm < _LARGEST_EXPONENT else inf


def _rate_by_law(law: DecayLaw, settings: StepSettings) -> float | None:
    """Return the part of a weight that a step removes; with momentum, after momentum has settled."""
    lr, coefficient = settings.lr or 0.0, settings.weight_decay
    scale = coefficient / law.measured_with if law.measured_with else 1.0
    match law.kind:
        case "fraction":
            return lr * coefficient
        case "without_lr":
            return coefficient
        case "momentum":
            return settled_rate(settings)
        case "measured":
            return lr * law.rate * scale
        case "measured_without_lr":
            return law.rate * scale
        case _:
            return 0.0


def _power(matrix: Matrix, count: int) -> Matrix:
    """Multiply a matrix with itself, by repeated squaring."""
    result = IDENTITY
    while count > 0:
        if count & 1:
            result = _product(matrix, result)
        count >>= 1
        if count:
            matrix = _product(matrix, matrix)
    return result


def _product(left: Matrix, right: Matrix) -> Matrix:
    (a, b, c, d), (e, f, g, h) = left, right
    return (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)


def _apply(matrix: Matrix, state: State) -> State:
    (a, b, c, d), (weight, buffer) = matrix, state
    return (a * weight + b * buffer, c * weight + d * buffer)
