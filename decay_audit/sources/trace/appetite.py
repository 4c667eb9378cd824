"""What a model says that its forward pass takes, read from the attributes its library gives it. Knows torch.

timm's `default_cfg`, transformers' `main_input_name`, signature and config, Lightning's `example_input_array`,
`dummy_inputs`; and, as a guess that is declared, the first layer of a model that says nothing.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from msgspec import Struct
from torch import nn

SIDES = (224, 32, 28, 64, 96, 128, 256, 299, 331, 384, 512)
"""Image sides to try, in this order, where nothing but a first convolution speaks."""
TOKENS = 8


class Meal(Struct, frozen=True, kw_only=True):
    """The arguments of a forward pass, and what was assumed about them."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()


def appetite(model: nn.Module) -> Meal | None:
    """Read what a module says that it eats; None if it says nothing."""
    example = getattr(model, "example_input_array", None)
    if example is not None:
        return _example(example)
    if isinstance(getattr(model, "main_input_name", None), str) and hasattr(model, "config"):
        return _transformer(model)
    for attribute in ("pretrained_cfg", "default_cfg"):
        size = _get(getattr(model, attribute, None), "input_size")
        if isinstance(size, tuple | list):
            return Meal(args=(_floats(1, *size),))
    dummy = getattr(model, "dummy_inputs", None)
    return Meal(kwargs=dummy) if isinstance(dummy, dict) and dummy else None


def guesses(model: nn.Module) -> tuple[Meal, ...]:
    """Guess the input from the first layer that has parameters, several sizes of it where sizes are free."""
    shapes: list[tuple[int, ...]]
    first = next((module for module in model.modules() if list(module.parameters(recurse=False))), None)
    match first:
        case nn.Conv1d():
            shapes = [(2, first.in_channels, side * 8) for side in SIDES[:4]]
        case nn.Conv2d():
            shapes = [(1, first.in_channels, side, side) for side in SIDES]
        case nn.Conv3d():
            shapes = [(1, first.in_channels, 16, side, side) for side in (224, 112, 32)]
        case nn.Linear():
            shapes = [(2, first.in_features), (2, TOKENS, first.in_features)]
        case nn.RNNBase():
            shapes = [(2, TOKENS, first.input_size)]
        case nn.Embedding():
            return (Meal(args=(_ids(),), notes=("traced with int64 ids of shape 1x8, guessed from the first layer",)),)
        case _:
            return ()
    return tuple(Meal(args=(_floats(*shape),), notes=(_guessed(shape),)) for shape in shapes)


def _guessed(shape: tuple[int, ...]) -> str:
    return f"traced with an input of shape {'x'.join(map(str, shape))}, guessed from the first layer"


def _example(example: Any) -> Meal:  # noqa: ANN401
    match example:
        case dict():
            return Meal(kwargs=example)
        case tuple() | list():
            return Meal(args=tuple(example))
        case _:
            return Meal(args=(example,))


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _ids(*shape: int) -> torch.Tensor:
    return torch.empty(shape or (1, TOKENS), dtype=torch.int64, device="meta")


def _get(holder: Any, *names: str) -> Any:  # noqa: ANN401
    """Look names up in a mapping or an object; the first that is set."""
    for name in names:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if value is not None:
            return value
    return None


def _transformer(model: nn.Module) -> Meal | None:
    """Serve the main input, those that have no default, and what an encoder-decoder needs beside them."""
    config: Any = model.config
    signature = inspect.signature(model.forward).parameters
    needed = [
        name
        for name, parameter in signature.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    names = dict.fromkeys([*needed, str(model.main_input_name)])
    modalities = getattr(model, "input_modalities", ())
    if "text" in ([modalities] if isinstance(modalities, str) else modalities) and "input_ids" in signature:
        names |= dict.fromkeys(["input_ids"])
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in signature:
        names |= dict.fromkeys(["decoder_input_ids"])
    names = {name: None for name in names if name in signature or name in needed}
    if not all(name in DISHES for name in names):
        return None
    return Meal(kwargs={name: DISHES[name](config) for name in names})


def _vision(config: Any) -> Any:  # noqa: ANN401
    return _get(config, "vision_config", "backbone_config") or config


def _image(config: Any) -> torch.Tensor:  # noqa: ANN401
    vision = _vision(config)
    size = _get(vision, "image_size", "input_size") or _get(config, "image_size") or 224
    if isinstance(size, Mapping):
        size = (size.get("height", 224), size.get("width", 224))
    height, width = size[-2:] if isinstance(size, list | tuple) and len(size) > 1 else (size, size)
    channels = _get(vision, "num_channels", "in_channels", "in_chans") or 3
    frames = _get(vision, "num_frames", "frames_per_clip")
    images = (1, channels if isinstance(channels, int) else 3, int(height), int(width))
    return _floats(1, frames, *images[1:]) if isinstance(frames, int) else _floats(*images)


def _video(config: Any) -> torch.Tensor:  # noqa: ANN401
    image = _image(config)
    return image if image.dim() == 5 else _floats(1, 16, *image.shape[1:])


def _wave(config: Any) -> torch.Tensor:  # noqa: ANN401
    bins, frames = _get(config, "num_mel_bins"), _get(config, "max_length")
    if bins is not None and frames is not None and hasattr(config, "patch_size"):
        return _floats(1, frames, bins)  # a spectrogram cut into patches
    channels = _get(config, "audio_channels")
    return _floats(1, channels, 16000) if isinstance(channels, int) else _floats(1, 16000)


def _features(config: Any) -> torch.Tensor:  # noqa: ANN401
    audio = _get(config, "audio_config", "encoder_config") or config
    bins = (
        _get(audio, "num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim", "feat_dim", "input_dim")
        or 80
    )
    positions = _get(audio, "max_source_positions")
    if (
        _get(audio, "input_feat_per_channel", "feature_projection_input_dim", "conv_kernel_sizes") is not None
        or positions is None
    ):
        return _floats(1, 256, bins)
    return _floats(1, bins, 2 * positions)


def _past(config: Any) -> torch.Tensor:  # noqa: ANN401
    lags = _get(config, "lags_sequence") or [0]
    length = (_get(config, "context_length", "prediction_length") or 64) + max(lags)
    size = _get(config, "input_size", "num_input_channels") or 1
    return _floats(1, length) if size == 1 and not hasattr(config, "num_input_channels") else _floats(1, length, size)


def _hidden(config: Any) -> torch.Tensor:  # noqa: ANN401
    return _floats(1, TOKENS, _get(config, "hidden_size", "d_model") or 64)


DISHES: dict[str, Callable[[Any], torch.Tensor]] = {
    "input_ids": lambda config: _ids(),  # noqa: ARG005
    "decoder_input_ids": lambda config: _ids(),  # noqa: ARG005
    "attention_mask": lambda config: _ids(),  # noqa: ARG005
    "token_type_ids": lambda config: _ids(),  # noqa: ARG005
    "bbox": lambda config: _ids(1, TOKENS, 4),  # noqa: ARG005
    "pixel_values": _image,
    "pixel_values_videos": _video,
    "input_values": _wave,
    "input_features": _features,
    "past_values": _past,
    "past_time_features": lambda config: _floats(
        1,
        _past(config).shape[1],
        (_get(config, "num_time_features") or 0) + (_get(config, "num_dynamic_real_features") or 0),
    ),
    "past_observed_mask": _past,
    "inputs_embeds": _hidden,
    "hidden_states": _hidden,
    "encoder_hidden_states": _hidden,
}
"""The inputs of transformers' models by argument name: what each is made of, from the config."""
