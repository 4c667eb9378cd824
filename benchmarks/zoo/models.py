"""The names of the architectures of timm, torchvision and transformers, and how each is built without its weights."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from benchmarks import torchvision_schemas
from decay_audit.sources.module.build_devices import BUILD_DEVICES

SCHEMAS = torchvision_schemas.define()
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def names() -> tuple[str, ...]:
    """List every architecture as `library:name`."""
    return tuple(f"{library}:{name}" for library, (listed, _) in LIBRARIES.items() for name in listed())


def build(name: str, *, real: bool = False) -> tuple[nn.Module, str]:
    """Build an architecture on the meta device, or, if its constructor needs real numbers, on the CPU.

    Args:
        real: build it on the CPU, so that buffers keep their values.

    Returns:
        The model, and how it was built.

    Raises:
        Exception: whatever its constructor raises on the CPU.
    """
    library, _, architecture = name.partition(":")
    make = LIBRARIES[library][1]
    if not real:
        with contextlib.suppress(Exception), BUILD_DEVICES["meta"]():  # constructors that need numbers raise anything
            return make(architecture), "meta"
    with BUILD_DEVICES["streamed"]():
        return make(architecture), "streamed"


def _timm_names() -> Iterator[str]:
    import timm

    yield from timm.list_models()


def _timm(name: str) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False)
    return model


def _torchvision_names() -> Iterator[str]:
    from torchvision import models

    yield from models.list_models()


def _torchvision(name: str) -> nn.Module:
    from torchvision import models

    torchvision_schemas.pretend(SCHEMAS)
    # By default, a detection model downloads weights for its backbone.
    backbone = {"weights_backbone": None} if "rcnn" in name or name.startswith(_DENSE) else {}
    model: nn.Module = models.get_model(name, weights=None, **backbone)
    return model


_DENSE = ("fcos", "retinanet", "ssd", "deeplab", "fcn", "lraspp")


def _transformers_names() -> Iterator[str]:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    yield from sorted(MODEL_MAPPING_NAMES)


def _transformers(name: str) -> nn.Module:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    classes = MODEL_MAPPING_NAMES[name]
    config_class = CONFIG_MAPPING[name]
    model_class = getattr(transformers, classes if isinstance(classes, str) else classes[0])
    config = config_class()
    for key, value in IDS.items():
        if getattr(config, key, 0) is None:
            setattr(config, key, value)
    try:
        model: nn.Module = model_class(config)
    except (ValueError, TypeError, AttributeError):
        model = model_class(_complete_config(config_class))
    return model


def _complete_config(config_class: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Make a configuration with the sizes that its defaults leave open, or that do not fit each other."""
    needs_sizes = "prediction_length" in getattr(config_class, "__annotations__", {})
    config = config_class(**SIZES) if needs_sizes else config_class()
    for part in (config, getattr(config, "text_config", None), getattr(config, "vision_config", None)):
        for key, value in (SIZES | IDS).items():
            if part is not None and getattr(part, key, 0) is None:
                setattr(part, key, value)
    return config


SIZES = {
    "prediction_length": 8,
    "context_length": 16,
    "vocab_size": 1000,
    "pad_token_id": 0,
    "head_dim": 64,
    "num_key_value_heads": 8,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "vocabulary_map": {"<image>": 1},
}
IDS = {"image_token_index": 1, "image_token_id": 1, "num_experts_per_tok": 2}
"""Values that a forward pass needs and a configuration may leave open; no parameter depends on them."""

LIBRARIES: dict[str, tuple[Callable[[], Iterator[str]], Callable[[str], nn.Module]]] = {
    "timm": (_timm_names, _timm),
    "torchvision": (_torchvision_names, _torchvision),
    "transformers": (_transformers_names, _transformers),
}
"""For each library: the function that lists its architectures, and the function that builds one of them."""
