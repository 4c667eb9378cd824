"""What a model says that its forward pass takes, read from the attributes its library gives it. Knows torch.

timm's `default_cfg`, transformers' `main_input_name`, signature and config, Lightning's `example_input_array`,
`dummy_inputs`; and, as a guess that is declared, the first layer of a model that says nothing.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from decay_audit.sources.trace.example_inputs.transformers import (
    IN_PATCHES,
    LAYOUTS,
    LAYOUTS_OF_PATCHES,
    TOKENS,
    dish,
    floats,
    get,
    ids,
)

SIDES = (224, 32, 28, 64, 96, 128, 256, 299, 331, 384, 512)
"""Image sides to try, in this order, where nothing but a first convolution speaks."""


class Meal(Struct, frozen=True, kw_only=True):
    """The arguments of a forward pass, and what was assumed about them."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    constants: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()


def appetite(model: nn.Module) -> tuple[Meal, ...]:
    """Read what a module says that it eats, in the order to try; nothing if it says nothing."""
    example = getattr(model, "example_input_array", None)
    if example is not None:
        return (_example(example),)
    if isinstance(getattr(model, "main_input_name", None), str | list) and hasattr(model, "config"):
        return tuple(_transformer(model))
    for attribute in ("pretrained_cfg", "default_cfg"):
        size = get(getattr(model, attribute, None), "input_size")
        if isinstance(size, tuple | list):
            return (Meal(args=(floats(1, *size),)),)
    dummy = getattr(model, "dummy_inputs", None)
    return (Meal(kwargs=dummy),) if isinstance(dummy, dict) and dummy else ()


LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.RNNBase, nn.Embedding)


def guesses(model: nn.Module) -> tuple[Meal, ...]:
    """Guess the input from the first layer that has parameters, several sizes of it where sizes are free."""
    also = _needed(inspect.signature(model.forward).parameters)[1:]
    return tuple(full for meal in _first_layer(model) for full in _beside(meal, also))


def _beside(meal: Meal, also: Sequence[str]) -> tuple[Meal, ...]:
    """Serve what else has no default: the same again (a second image), or a number for each of the batch (a time)."""
    if not also or not meal.args:
        return (meal,)
    (first,) = meal.args
    servings = ([first] * len(also), [ids(first.shape[0])] * len(also))
    return tuple(replace(meal, args=(first, *more)) for more in servings)


def _first_layer(model: nn.Module) -> tuple[Meal, ...]:
    shapes: list[tuple[int, ...]]
    first = next((module for module in model.modules() if isinstance(module, LAYERS)), None)
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
            return (Meal(args=(ids(),), notes=("traced with int64 ids of shape 1x8, guessed from the first layer",)),)
        case _:
            return ()
    return tuple(Meal(args=(floats(*shape),), notes=(_guessed(shape),)) for shape in shapes)


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


def _transformer(model: nn.Module) -> Iterator[Meal]:
    """Serve what has no default with the main input, first beside the inputs of the other modalities, then alone."""
    config: Any = model.config
    signature = inspect.signature(model.forward).parameters
    named: Any = model.main_input_name
    main = [named] if isinstance(named, str) else list(named)
    needed = _needed(signature)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in signature:
        needed.append("decoder_input_ids")
    told = getattr(model, "input_modalities", ())
    others = [
        MODALITIES[modality] for modality in ([told] if isinstance(told, str) else told) if modality in MODALITIES
    ]
    beside = [name for name in ("bbox",) if name in signature]
    courses = (
        [*needed, *main, *beside, *others],
        [*needed, *main],
        [*needed, *others[:1]],
        [*needed, *main, *others, *PATCHED],
        [*needed, *main, *MODALITIES.values(), *RARE],
        [*needed, *main, "encoder_hidden_states"],
    )
    known = (dict.fromkeys(name for name in names if name in signature) for names in courses)
    settled = {"use_cache": False} if "use_cache" in signature else {}
    for names in dict.fromkeys(tuple(names) for names in known):
        if names and all(dish(name) is not None for name in names):
            yield from (replace(meal, constants={**meal.constants, **settled}) for meal in _servings(names, config))


def _needed(signature: Mapping[str, inspect.Parameter]) -> list[str]:
    """List the arguments without a default."""
    return [
        name
        for name, parameter in signature.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]


MODALITIES = {"text": "input_ids", "image": "pixel_values", "audio": "input_features", "video": "pixel_values_videos"}
PATCHED = ("grid_thw", "image_grid_thw", "target_sizes", "spatial_shapes", "pixel_attention_mask")
RARE = ("input_values", "visual_feats", "visual_pos", "input_features_mask", "image_attention_mask", "actions",
        "rewards", "returns_to_go", "timesteps")  # fmt: skip


def _servings(names: tuple[str, ...], config: Any) -> Iterator[Meal]:  # noqa: ANN401
    patches = IN_PATCHES if not LAYOUTS_OF_PATCHES.isdisjoint(names) else {}
    made = ((name, patches.get(name) or dish(name)) for name in names)
    dishes = {name: make(config) for name, make in made if make is not None}
    for turn in range(max(map(len, dishes.values()))):
        served = {name: servings[min(turn, len(servings) - 1)] for name, servings in dishes.items()}
        yield Meal(
            kwargs={name: tensor for name, tensor in served.items() if name not in LAYOUTS},
            constants={name: tensor for name, tensor in served.items() if name in LAYOUTS},
        )
