"""Replace a model's tensors by placeholders for a traced forward pass, and restore the whole model after it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from msgspec import Struct
from torch import nn

from decay_audit.sources.trace.tensor_states import TensorStates


def install_placeholders(model: nn.Module, states: TensorStates) -> None:
    """Replace parameters and meta tensors by placeholders, wherever modules keep them."""
    for module in model.modules():
        attributes = vars(module)
        for container in (attributes, *(value for value in attributes.values() if isinstance(value, dict))):
            for name, value in container.items():
                if isinstance(value, torch.Tensor):
                    container[name] = states.placeholder(value)
        for value in attributes.values():
            if isinstance(value, list) and any(isinstance(item, torch.Tensor) for item in value):  # recurrent weights
                value[:] = [states.placeholder(item) if isinstance(item, torch.Tensor) else item for item in value]


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Restore the random state and every module's attributes, with the content of containers, on exit."""
    saved = [(vars(module), _save(vars(module))) for module in model.modules()]
    random_state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(random_state)
        for attributes, values in saved:
            _restore(attributes, values)


class _SavedAttribute(Struct, frozen=True):
    value: Any
    content: Any  # a shallow copy of a container; None for other values


def _save(attributes: dict[str, Any]) -> dict[str, _SavedAttribute]:
    return {name: _SavedAttribute(value, _content(value)) for name, value in attributes.items()}


def _content(value: Any) -> Any:  # noqa: ANN401
    """Copy a container to a dict, list or set: its own class may refuse to be copied."""
    builtin = next((builtin for builtin in (dict, list, set) if isinstance(value, builtin)), None)
    return builtin(value) if builtin is not None else None


def _restore(attributes: dict[str, Any], saved: dict[str, _SavedAttribute]) -> None:
    for name in attributes.keys() - saved.keys():
        del attributes[name]
    for name, attribute in saved.items():
        value, content = attribute.value, attribute.content
        attributes[name] = value
        if content is None or _has_content(value, content):
            continue
        match value:
            case dict() | set():
                value.clear()
                value.update(content)
            case list():
                value[:] = content


def _has_content(value: Any, content: Any) -> bool:  # noqa: ANN401
    """Whether a container still holds the same objects; it is then left alone, as it may refuse changes."""
    saved_items, current_items = (
        [part for item in items.items() for part in item] if isinstance(items, dict) else list(items)
        for items in (content, value)
    )
    same_length = len(saved_items) == len(current_items)
    return same_length and all(old is new for old, new in zip(saved_items, current_items, strict=True))
