"""What decay comes to, over a whole run and for the function, as text: for a model below its table, for a parameter."""

from collections.abc import Iterator, Sequence
from math import degrees

from decay_audit.model.horizon import DecayOverRun, GroupOverRun, Horizon, Rotation
from decay_audit.model.parameters import Fed, Scaling, ScalingEffect
from decay_audit.roles.words import Classified, Role
from decay_audit.text import (
    count_noun,
    escape_control,
    format_coefficient,
    format_kept,
    format_number,
    join_words,
    list_numbers,
)

_MAX_LINES = 6
_GAINS: frozenset[Role] = frozenset({"norm_weight", "layer_scale", "scale"})
_FED: dict[Fed, str] = {
    "linear": "a linear layer or convolution",
    "residual": "a residual addition",
    "head": "the layer that computes the output",
}
_EFFECTS: dict[ScalingEffect, str] = {
    "scale-invariant": "scale-invariant: the output of the model stays the same if it is multiplied by 2 (measured)",
    "inert": "inert: the output of the model does not depend on its values (measured), so its decay changes nothing",
    "sensitive": "sensitive: the output of the model changes if it is multiplied by 2 (measured)",
    "not measured": "not measured",
}


def run_text(horizon: Horizon) -> str:
    """Write the length of the run and its learning rate: `117,300 steps (300 epochs), lr 0.1`."""
    epochs = f" ({_epochs(horizon.steps, horizon.epoch_steps)})" if horizon.epoch_steps else ""
    rates = list(dict.fromkeys(_rates(group) for group in horizon.groups))
    rate_text = rates[0] if len(rates) == 1 else "lr differs between groups"
    by = f", {escape_control(horizon.schedule)} after every {horizon.schedule_every}" if horizon.schedule else ""
    return f"{count_noun(horizon.steps, 'step')}{epochs}{by}: {rate_text}"


def group_texts(horizon: Horizon, *, full: bool) -> Iterator[str]:
    """Write a line for the groups that decay alike: what is kept, and for how long a weight remembers."""
    equal_groups: dict[tuple[str, DecayOverRun], list[GroupOverRun]] = {}
    for group in horizon.groups:
        equal_groups.setdefault((group.type, group.decay), []).append(group)
    shown = len(equal_groups) if full else _MAX_LINES
    for (kind, decay), groups in list(equal_groups.items())[:shown]:
        indices = sorted({group.group for group in groups})
        noun = "group" if len(indices) == 1 else "groups"
        group_text = f"{noun} {list_numbers(indices)} of {escape_control(kind)}"
        count = count_noun(sum(len(group.parameters) for group in groups), "parameter")
        yield f"{group_text}, {count}: {decay_text(decay, horizon)}"
    if len(equal_groups) > shown:
        yield f"{len(equal_groups) - shown} more groups; --full shows them"


def decay_text(decay: DecayOverRun, horizon: Horizon) -> str:
    """Write what decay alone leaves of a weight, and how long a weight remembers."""
    if decay.kept is None:
        return decay.reason
    if decay.kept == 1:
        return "nothing decays"
    about = "about " if decay.approximate else ""
    texts = [f"decay alone keeps {about}{format_kept(decay.kept)} of a weight"]
    if decay.timescale_steps is not None:
        half = f", and loses half in {format_number(decay.half_life_steps)}" if decay.half_life_steps else ""
        texts.append(f"it remembers {about}{_steps(decay.timescale_steps, horizon)}{half}")
    return "; ".join(filter(None, (*texts, decay.reason)))


def kept_text(decays: Sequence[DecayOverRun]) -> str:
    """Write what decay alone leaves of several weights: `0.2 %`, `0.2 to 5 %`, `not known: ...`."""
    unknown = [decay.reason for decay in decays if decay.kept is None]
    if unknown or not decays:
        return unknown[0] if unknown else ""
    kept = [decay.kept for decay in decays if decay.kept is not None]
    about = "about " if any(decay.approximate and decay.kept != 1 for decay in decays) else ""
    return about + " to ".join(dict.fromkeys((format_kept(min(kept)), format_kept(max(kept)))))


def _steps(steps: float, horizon: Horizon) -> str:
    """Write a number of steps, also in epochs and as a share of the run."""
    epochs = [_epochs(steps, horizon.epoch_steps)] if horizon.epoch_steps else []
    share = steps / horizon.steps
    share_text = f"{format_number(100 * share)} % of the run" if share <= 1 else f"{format_number(share)} runs"
    return f"{format_number(steps)} steps ({', '.join([*epochs, share_text])})"


def _epochs(steps: float, epoch_steps: int | None) -> str:
    epochs = format_number(steps / (epoch_steps or 1))
    return f"{epochs} {'epoch' if epochs == '1' else 'epochs'}"


def _rates(group: GroupOverRun) -> str:
    """Write the learning rates of a group: `lr 0.1, at the end 0.001`; `lr from 0 to 6e-4, at the end 6e-5`."""
    rates = [part.settings.lr for part in group.steps if part.settings.lr is not None]
    if not rates:
        return "no lr"
    first, largest, last = rates[0], max(rates), rates[-1]
    start = _number(first) if largest == first else f"from {_number(first)} to {_number(largest)}"
    return f"lr {start}" + (f", at the end {_number(last)}" if last != largest else "")


def _number(value: float) -> str:
    return format_coefficient(float(f"{value:.3g}"))


def parameter_texts(horizon: Horizon) -> Iterator[str]:
    """Write what decay comes to for one parameter; the horizon has the groups that hold it."""
    yield run_text(horizon)
    for group in horizon.groups:
        group_text = f"group {group.group} of {escape_control(group.type)}"
        yield f"{group_text}: {decay_text(group.decay, horizon)}"


def gain_texts(classified: Classified) -> Iterator[str]:
    """Write where decay pulls a gain, and what it scales, as far as a trace showed it."""
    parameter = classified.parameter
    rest = parameter.rests_at
    if rest is not None and (rest != 0 or classified.role in _GAINS):
        at = format_coefficient(float(f"{rest:.4g}"))
        yield f"rests at {at}: " + (
            "decay pulls it to 0"
            if rest == 0
            else f"where the parameter is 0, the model uses {at}, so decay pulls the gain to {at}, not to 0 (traced)"
        )
    if parameter.feeds:
        yield f"feeds {join_words([_FED[kind] for kind in parameter.feeds])} (traced)"


def scaling_texts(scaling: Scaling, rotations: Sequence[Rotation]) -> Iterator[str]:
    """Write what the output does when the parameter is multiplied by 2, and what follows for decay."""
    yield _EFFECTS[scaling.effect] + (f": {escape_control(scaling.reason)}" if scaling.reason else "")
    if scaling.effect == "scale-invariant":
        yield (
            "decay does not make the output smaller: it sets the effective learning rate lr / |w|^2 "
            "(arXiv:1706.05350); without decay, |w| only grows"
        )
    for rotation in rotations:
        angle = f"{format_number(degrees(rotation.radians))} degrees"
        yield (
            f"in the long run each step of {escape_control(rotation.optimizer)} turns it by about {angle}, at this lr "
            "(arXiv:2305.17212)"
        )
