"""Number the layers of a model by its method `group_matcher()`, or by timm's convention if it has none."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

JOINS_PREVIOUS = 99999
"""The last ordinal of a group that belongs to the same layer as the group before it, as timm writes it."""
_LAYER_SIZE = 12
"""Parameters of one layer, by the convention."""

Ordinals = tuple[float, ...]


def layer_numbers(module: nn.Module) -> dict[str, int]:
    """Number the layer of each parameter, from 0 at the input, as `timm.optim.param_groups_layer_decay` does.

    The result is empty for a model that neither has the method nor is timm's.

    Raises:
        Exception: whatever the method raises.
    """
    group_matcher, config = getattr(module, "group_matcher", None), getattr(module, "pretrained_cfg", None)
    if not callable(group_matcher) and not isinstance(config, Mapping):
        return {}
    names = [name for name, _ in module.named_parameters()]
    if callable(group_matcher):
        return by_matcher(names, group_matcher(coarse=False))
    return by_position(names, config.get("classifier")) if isinstance(config, Mapping) else {}


def by_matcher(names: Iterable[str], matcher: Mapping[str, Any] | Callable[[str], Any]) -> dict[str, int]:
    """Number names by a matcher.

    It maps group names to a pattern, or to pairs of a pattern and further ordinals; or it is a function of a name.

    A name belongs to the first pattern that matches its beginning. Groups are ordered by their position in the
    matcher, then by the captured numbers, then by the further ordinals; names without a group come last.
    """
    ordinals = _ordinals_of(matcher)
    keys = {name: ordinals(name) for name in names}
    numbers: dict[Ordinals, int] = {}
    number = -1
    for key in sorted(set(keys.values())):
        if number < 0 or key[-1] != JOINS_PREVIOUS:
            number += 1
        numbers[key] = number
    return {name: numbers[key] for name, key in keys.items()}


def by_position(names: Iterable[str], classifier: str | Sequence[str] | None) -> dict[str, int]:
    """Number names in their order, twelve to a layer, the classifier last. Without a classifier all are one layer."""
    prefixes = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
    in_head = {name: not any(prefixes) or name.startswith(prefixes) for name in names}
    trunk = [name for name, head in in_head.items() if not head]
    layers = {name: index // _LAYER_SIZE for index, name in enumerate(trunk)}
    layer_of_head = -(-len(trunk) // _LAYER_SIZE)  # rounded up
    return {name: layers.get(name, layer_of_head) for name in in_head}


def _ordinals_of(matcher: Mapping[str, Any] | Callable[[str], Any]) -> Callable[[str], Ordinals]:
    if not isinstance(matcher, Mapping):
        return lambda name: _as_ordinals(matcher(name))
    compiled = [
        (re.compile(pattern), position, further)
        for position, spec in enumerate(matcher.values())
        if spec is not None
        for pattern, further in ([(spec, None)] if isinstance(spec, str | re.Pattern) else spec)
    ]

    def ordinals(name: str) -> Ordinals:
        for pattern, position, further in compiled:
            if (match := pattern.match(name)) is not None:
                return (float(position), *map(float, filter(None, match.groups())), *map(float, further or ()))
        return (float("inf"),)

    return ordinals


def _as_ordinals(answer: Any) -> Ordinals:  # noqa: ANN401 - a matcher of the model may return anything
    return tuple(answer) if isinstance(answer, Iterable) else (answer,)
